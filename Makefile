# Everything a person needs, one target each; `make` alone lists them. Only Python 3.11 or newer and make are needed.

# Settings given on the command line (make run PORT=9000 WORKERS=2) reach the recipes through the environment.
MAKEFLAGS += --no-print-directory
.DEFAULT_GOAL := help

# The first Python that is new enough; another: make run PYTHON=python3.13
NEW_ENOUGH = import sys; sys.exit(sys.version_info < (3, 11))
ifndef PYTHON
PYTHON := $(shell for candidate in python3 python3.14 python3.13 python3.12 python3.11; do \
	$$candidate -c '$(NEW_ENOUGH)' >/dev/null 2>&1 && echo $$candidate && break; done)
endif
VERSION := $(shell $(or $(PYTHON),false) -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null)
INSTALLED = .venv/.installed-$(VERSION)
RUN = .venv/bin/python

# A process for each core: test files share nothing.
PARALLEL = -n auto --dist loadfile

.PHONY: help
help: ## list the targets
	@sed -n 's/^\([a-z0-9-]*\):.*## \(.*\)/  make \1	\2/p' Makefile | expand -t 22

.PHONY: run
run: $(INSTALLED) ## start the service here, emulator and all; Ctrl-C ends it. Settings: make run PORT=9000 WORKERS=2
	@$(RUN) -m local_stack --makeflags "$$MAKEFLAGS"

.PHONY: demo
demo: $(INSTALLED) ## the main job in one go: submit, read, delete, each as a curl with its answer
	@$(RUN) -m local_stack.demo

.PHONY: screenshots
screenshots: $(INSTALLED) ## make the README's pictures of the page anew (needs Debian's package chromium)
	@$(RUN) -m tests.browser.screenshots

.PHONY: test
test: $(INSTALLED) ## all tests but the browser's: first those without an emulator, then those with one
	$(RUN) -m pytest $(PARALLEL)
	$(RUN) -m pytest $(PARALLEL) -m "emulator and not browser"

.PHONY: browser
browser: $(INSTALLED) ## try the page in a browser (needs Debian's package chromium; five minutes)
	$(RUN) -m pytest -m browser

.PHONY: check
check: $(INSTALLED) ## format, lint, types, and the tests that need no emulator, each search whole, with their coverage
	$(RUN) -m ruff format --check .
	$(RUN) -m ruff check .
	$(RUN) -m mypy
	$(RUN) -m deno fmt --check
	$(RUN) -m deno lint
	$(RUN) -m deno check chalicelib
	DEPTH=full $(RUN) -m pytest $(PARALLEL) --cov --cov-report=term --cov-fail-under=90 --ignore=tests/crash
	DEPTH=full $(RUN) -m pytest $(PARALLEL) tests/crash

.PHONY: prove
prove: $(INSTALLED) ## the proof of the protocol, deeper than in the tests, on two emulators (three quarters of an hour)
	@$(RUN) -m tests.crash.prove

.PHONY: prove-breaks
prove-breaks: $(INSTALLED) ## break each clause of the protocol on purpose and see the proof catch it (an hour)
	@$(RUN) -m tests.crash.breaks

RUNS = 3
PEERS = 1

.PHONY: bench
bench: $(INSTALLED) ## cost, speed and scale, beside other libraries (needs Debian's redis-server; a quarter of an hour). PEERS=0 leaves them out
	@$(RUN) -m bench --runs $(RUNS) $(if $(filter 0,$(PEERS)),--no-peers)

.PHONY: admin
admin: STAGE = dev
admin: $(INSTALLED) ## tokens and quotas: make admin DO="token create --name laptop"; a deployed stage's: STAGE=prod
	@$(RUN) -m admin --stage $(STAGE) $(DO)

STAGE = prod

.PHONY: package
package: $(INSTALLED) ## make what goes to the cloud, in package/: make package STAGE=prod
	@$(RUN) -m deployment package --stage $(STAGE)

.PHONY: lock
lock: $(INSTALLED) ## list what ships with its hashes, after a change of requirements.txt (a minute)
	@$(RUN) -m deployment.lock

.PHONY: audit
audit: $(INSTALLED) ## ask a public database for advisories on what ships
	@$(RUN) -m deployment.audit

.PHONY: deploy
deploy: $(INSTALLED) ## deploy to the AWS account of your credentials, or update what is there: make deploy STAGE=prod
	@$(RUN) -m deployment deploy --stage $(STAGE)

.PHONY: destroy
destroy: $(INSTALLED) ## remove a deployment; says what it keeps: make destroy STAGE=prod
	@$(RUN) -m deployment destroy --stage $(STAGE)

.PHONY: e2e
e2e: $(INSTALLED) ## deploy the package to an emulator and use it through API Gateway (two minutes)
	$(RUN) -m pytest -m emulator tests/deployment

.PHONY: format
format: $(INSTALLED) ## put the code into the project's format
	$(RUN) -m ruff format .
	$(RUN) -m ruff check --fix .
	$(RUN) -m deno fmt
	$(RUN) -m deno lint --fix

.PHONY: clean
clean: ## remove the environments and what tools left behind
	rm -rf .venv .emulator .bench package .pytest_cache .mypy_cache .ruff_cache .hypothesis .coverage
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# The project's environment, made again when its lists or the Python change.
$(INSTALLED): requirements.txt requirements-dev.txt
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer is needed; none was found. Install one, or name it: make PYTHON=/path/to/python" >&2; exit 1; }
	@$(PYTHON) -c '$(NEW_ENOUGH)' 2>/dev/null || { echo "Python 3.11 or newer is needed; $(PYTHON) is not. Another: make PYTHON=python3.12" >&2; exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || { echo "Python's venv module is missing. On Debian or Ubuntu: sudo apt install python$(VERSION)-venv" >&2; exit 1; }
	@echo "Making the environment .venv (once) ..." >&2
	@$(PYTHON) -m venv --clear .venv
	@$(RUN) -m pip install --quiet --disable-pip-version-check --retries 2 -r requirements-dev.txt >.venv/pip.log 2>&1 \
	|| { grep -i '^error' .venv/pip.log | tail -1 >&2; \
	echo "The packages could not be installed: is a package index reachable? All that pip said: .venv/pip.log" >&2; exit 1; }
	@touch $@
