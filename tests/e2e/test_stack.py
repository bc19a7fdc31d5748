"""The stack itself: it ends whole, it stays on loopback, and a person's own configuration changes nothing."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.running import FREE_PORTS, ROOT, Running, running, runs, until
from tests.processes import END_SECONDS

CONFIG = """
[default]
region = eu-central-1
ignore_configured_endpoint_urls = true
[profile real]
endpoint_url = https://dynamodb.eu-central-1.amazonaws.com
"""
CREDENTIALS = """
[default]
aws_access_key_id = AKIAIOSFODNN7EXAMPLE
aws_secret_access_key = wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY
"""


def launch(**settings: str) -> subprocess.CompletedProcess[str]:
    """A stack that is not expected to start."""
    return subprocess.run(
        [sys.executable, "-m", "local_stack"],
        cwd=ROOT,
        env={**os.environ, **FREE_PORTS, **settings},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_ctrl_c_ends_everything(tmp_path: Path) -> None:
    """With status 0, and it says that the data has gone."""
    with running(tmp_path) as stack:
        pids = stack.pids
        assert all(map(runs, pids))
        os.killpg(stack.process.pid, signal.SIGINT)
        assert stack.process.wait(END_SECONDS) == 0
        assert stack.said.rstrip().endswith("Stopped. The emulator's data is gone.")
        assert "Traceback" not in stack.said
        assert not [pid for pid in pids if runs(pid)]


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGHUP])
def test_nothing_outlives_the_launcher(tmp_path: Path, number: signal.Signals) -> None:
    """Whatever it dies of."""
    with running(tmp_path) as stack:
        pids = stack.pids
        os.kill(stack.process.pid, number)
        stack.process.wait(END_SECONDS)
        until(lambda: not [pid for pid in pids if runs(pid)], END_SECONDS, what=stack.said)


def test_without_its_emulator_the_stack_ends(tmp_path: Path) -> None:
    """Its data is gone: it says so, and does not go on with an empty one."""
    with running(tmp_path) as stack:
        pids = stack.pids
        os.kill(stack.facts["pids"]["emulator"], signal.SIGKILL)
        assert stack.process.wait(END_SECONDS) == 1
        assert "Fetch Queue: the emulator was ended by signal 9" in stack.said
        assert not [pid for pid in pids if runs(pid)]


@pytest.mark.parametrize("variable", ["PORT", "EMULATOR_PORT", "SITE_PORT"])
def test_a_taken_port(variable: str) -> None:
    """One line, which names a command that helps."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = launch(**{variable: str(port)})
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f"Fetch Queue: port {port} is taken; choose another: make run {variable}=")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("setting", "value", "words"),
    [
        ("LEASE_SECONDS", "10", "LEASE_SECONDS must be at least FUNCTION_SECONDS + SKEW_SECONDS"),
        ("FETCH_SECONDS", "soon", "FETCH_SECONDS must be a whole number"),
        ("WORKERS", "many", "WORKERS must be a whole number"),
    ],
)
def test_a_setting_that_cannot_be(setting: str, value: str, words: str) -> None:
    """One line, before anything starts."""
    done = launch(**{setting: value})
    assert (done.returncode, done.stdout) == (1, "")
    assert words in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_hostile_configuration_changes_nothing(tmp_path: Path) -> None:
    """A profile that does not exist, endpoints that are ignored, keys that look real, a proxy that is not there."""
    home = tmp_path / "home"
    (home / ".aws").mkdir(parents=True)
    (home / ".aws" / "config").write_text(CONFIG)
    (home / ".aws" / "credentials").write_text(CREDENTIALS)
    hostile = {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "AWS_PROFILE": "nobody",
        "AWS_ENDPOINT_URL_S3": "https://s3.eu-central-1.amazonaws.com",
        "AWS_ENDPOINT_URL_DYNAMODB": "https://dynamodb.eu-central-1.amazonaws.com",
        "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS": "true",
        "AWS_SESSION_TOKEN": "real",
        "AWS_REGION": "eu-central-1",
        "http_proxy": "http://127.0.0.1:9",
        "https_proxy": "http://127.0.0.1:9",
        "STAGE": "prod",
    }
    with running(tmp_path, given=hostile) as stack:
        for path in ("/hello.txt", "/image.png"):
            job = stack.finished(stack.submit(stack.page(path))["id"])
            assert job["status"] == "succeeded"
            assert stack.ask("GET", f"/jobs/{job['id']}/result").status == 200


@pytest.mark.skipif(not Path("/proc/net/tcp").exists(), reason="reads the kernel's tables, as Linux shows them")
def test_every_listener_is_on_loopback(stack: Running) -> None:
    """TCP and UDP, of each process of the stack."""
    inodes = set()
    for pid in stack.pids:
        for descriptor in Path(f"/proc/{pid}/fd").iterdir():
            target = str(descriptor.readlink())
            if target.startswith("socket:["):
                inodes.add(target[len("socket:[") : -1])
    listening = []
    for table, state in (("tcp", "0A"), ("tcp6", "0A"), ("udp", "07"), ("udp6", "07")):
        file = Path(f"/proc/net/{table}")
        for line in file.read_text().splitlines()[1:] if file.exists() else []:
            fields = line.split()
            if fields[3] == state and fields[9] in inodes:
                listening.append((table, fields[1].partition(":")[0]))
    # 127.0.0.1 in the kernel's order: the API's, the sample site's and the emulator's.
    assert listening == [("tcp", "0100007F")] * 3


def test_chalice_local_would_find_the_stack(stack: Running) -> None:
    """What config.json lists for stage dev is what a stack on the default ports has."""
    config = json.loads((ROOT / ".chalice" / "config.json").read_text())
    listed = config["stages"]["dev"]["environment_variables"]
    port = stack.facts["emulator"].rpartition(":")[2]
    for name, value in stack.facts["variables"].items():
        assert value == listed[name].replace(":4566/", f":{port}/")
    assert stack.facts["emulator"] == listed["AWS_ENDPOINT_URL"].replace(":4566", f":{port}")


def test_no_workers(tmp_path: Path) -> None:
    """The API alone accepts, and says so."""
    with running(tmp_path, {"WORKERS": "0"}) as stack:
        assert stack.workers == []
        assert stack.submit(stack.page("/hello.txt"))["status"] == "queued"
        assert "jobs stay queued" in stack.said
