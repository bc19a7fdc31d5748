"""`python -m local_stack.demo`, which is what `make demo` calls: the main job in one go, on a stack of its own. Each
request is shown as the curl that a person would type, with its real answer."""

from __future__ import annotations

import json
import os
import shlex
import signal
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from local_stack.errors import StackError
from local_stack.stack import LocalStack, Options

_WIDTH = 150  # JSON that fits into a line is shown in one
_FINISH_SECONDS = 30.0
_LEFT_OUT = ("links", "headers", "expires_at")  # true, but not what this is about
_OF_A_JOB = ("id", "url", "status", "reused")  # what is shown of each job in a list


class NotAsPromised(Exception):
    """Something did not happen as the demo says."""


@dataclass(frozen=True, slots=True)
class HttpAnswer:
    """An HTTP answer."""

    status: int
    headers: Any
    body: bytes

    @property
    def json(self) -> Any:
        """The body, parsed."""
        return json.loads(self.body)


def ask(method: str, url: str, body: object = None, headers: Mapping[str, str] | None = None) -> HttpAnswer:
    """One request, with redirects followed and no proxy between; errors are answers too."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, dict(headers or {}), method=method)
    if data is not None:
        request.add_header("Content-Type", "application/json")
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=30) as response:
            return HttpAnswer(response.status, response.headers, response.read())
    except urllib.error.HTTPError as error:
        with error:
            return HttpAnswer(error.code, error.headers, error.read())


def show(title: str, answer: HttpAnswer, method: str, url: str, body: object = None, *, follow: bool = False) -> None:
    """Print a request as a person would type it, and its answer."""
    words = ["curl", *(["-L"] if follow else []), *(["-X", method] if method == "DELETE" else [])]
    if body is not None:
        words += ["--json", json.dumps(body)]
    print(f"\n# {title}\n$ {shlex.join([*words, url])}\n{answer.status} {HTTPStatus(answer.status).phrase}")
    if "json" in answer.headers.get("Content-Type", ""):
        print(pretty(shorten(answer.json)))
    elif answer.body:
        print(answer.body.decode(errors="replace").rstrip("\n"))


def shorten(value: Any) -> Any:
    """`value` without what is null, what this is not about, and most of each job in a list."""
    if isinstance(value, list):
        return [shorten(item) for item in value]
    if not isinstance(value, dict):
        return value
    kept = {
        name: shorten(member) for name, member in value.items() if member not in (None, []) and name not in _LEFT_OUT
    }
    if "jobs" in kept:
        kept["jobs"] = [{name: job[name] for name in _OF_A_JOB if name in job} for job in kept["jobs"]]
    return kept


def pretty(value: Any, margin: str = "") -> str:
    """JSON, a line for what fits into one."""
    line = json.dumps(value, ensure_ascii=False)
    if not isinstance(value, (dict, list)) or len(margin) + len(line) <= _WIDTH:
        return line
    deeper = margin + "  "
    if isinstance(value, list):
        inside = [deeper + pretty(item, deeper) for item in value]
        return "[\n" + ",\n".join(inside) + f"\n{margin}]"
    inside = [f"{deeper}{json.dumps(name)}: {pretty(member, deeper)}" for name, member in value.items()]
    return "{\n" + ",\n".join(inside) + f"\n{margin}}}"


def expect(holds: bool, promise: str) -> None:
    """Raise NotAsPromised unless the promise holds."""
    if not holds:
        raise NotAsPromised(f"this should be so, and is not: {promise}")


def play(stack: LocalStack) -> None:
    """Submit, poll, read, delete."""
    api, site = stack.api_url, stack.site_url
    hello = f"{site}/hello.txt"
    urls = {"urls": [hello, f"{site}/data.json", hello, "ftp://example.com/file"]}
    answer = ask("POST", f"{api}/batches", urls)
    show("Submit four URLs: one of them twice, one that cannot be fetched.", answer, "POST", f"{api}/batches", urls)
    expect(answer.status == 202, "a batch is accepted")
    batch = answer.json
    expect([rejected["index"] for rejected in batch["rejected"]] == [3], "only the URL at index 3 is rejected")

    batch_url = f"{api}/batches/{batch['id']}"
    answer = ask("GET", batch_url)
    deadline = time.monotonic() + _FINISH_SECONDS
    while answer.status == 200 and not answer.json["finished"] and time.monotonic() < deadline:
        time.sleep(int(answer.headers["Retry-After"]))
        answer = ask("GET", batch_url)
    show("Ask how it is going, every Retry-After seconds, until it is finished.", answer, "GET", batch_url)
    expect(answer.json["counts"]["succeeded"] == 3, "three jobs succeed")

    twins = [job for job in answer.json["jobs"] if job["url"] == hello]
    expect(sorted(job["reused"] for job in twins) == [False, True], "one of two jobs for the same URL is reused")
    first, second = sorted(twins, key=lambda job: bool(job["reused"]))
    second_url = f"{api}/jobs/{second['id']}"
    answer = ask("GET", second_url)
    show(
        "The URL that was submitted twice: two jobs, one of which shares the other's fetch.", answer, "GET", second_url
    )
    expect(answer.json["reused"] is True, "the job is reused")

    count_url = f"{site}/count?path=/hello.txt"
    answer = ask("GET", count_url)
    show("The site saw one request for it.", answer, "GET", count_url)
    expect(answer.json["requests"] == 1, "the site saw one request")

    first_url = f"{api}/jobs/{first['id']}"
    original = ask("GET", hello).body
    answer = ask("GET", f"{first_url}/result")
    show("Read the result: the bytes as they came.", answer, "GET", f"{first_url}/result", follow=True)
    expect(answer.status == 200 and answer.body == original, "the result is what the site sent")

    answer = ask("DELETE", first_url)
    show("Delete the job.", answer, "DELETE", first_url)
    expect(answer.status == 204, "a job can be deleted")
    answer = ask("GET", first_url)
    show("It is gone ...", answer, "GET", first_url)
    expect(answer.status == 404, "a deleted job is not found")
    answer = ask("GET", f"{second_url}/result")
    show("... and the other job keeps what they shared.", answer, "GET", f"{second_url}/result", follow=True)
    expect(answer.status == 200 and answer.body == original, "a shared result outlives one of its jobs")


def main() -> None:
    """Start a stack on free ports, play, end it."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)
    stack = LocalStack(os.environ, Options(port=0, emulator_port=0, site_port=0), print, quiet=True)
    began = time.monotonic()
    try:
        stack.start()
        print("The stack is up: emulator, API, two workers, a sample site. Null members and links are left out.")
        play(stack)
    except (StackError, NotAsPromised) as error:
        print(stack.last_words(), file=sys.stderr)
        sys.exit(f"Fetch Queue: {error}")
    except KeyboardInterrupt:
        sys.exit("Stopped before it was done.")
    finally:
        stack.end()
    print(f"\nAll as promised, in {time.monotonic() - began:.0f} s. Everything has stopped. To run your own: make run")


if __name__ == "__main__":
    main()
