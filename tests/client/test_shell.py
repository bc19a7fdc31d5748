"""The program: one line for whatever goes wrong, an exit code for each kind, and never a traceback."""

from __future__ import annotations

import os
import pty
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from tests.client.conftest import Ran
from tests.client.fake import Fault, Service
from tests.processes import END_SECONDS, started

ROOT = Path(__file__).parent.parent.parent
A = "https://example.com/a"
ID = "0" * 32
Command = Callable[..., Ran]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["submit"], "fetch-queue submit: no URLs were given; give some, or a file of them with -f"),
        (["submit", "-f", "/nowhere"], "'/nowhere': No such file or directory"),
        (["submit", "-f", "/bin/sh"], "/bin/sh is not UTF-8 in line 1; is it a list of URLs?"),
        (["submit", A, "--output", "/bin/sh"], "Directory '/bin/sh' is a file"),
        (["submit", A, "--batch-size", "2000"], "2000 is not in the range"),
        (["submit", A, "--url", "example.com"], "example.com is not an address such as http"),
        (["submit", A, "--url", "https://me:mine@example.com"], "must have no user name"),
        (["submit", A, "--url", "http://[x"], "is not an address"),
        (["status", "nonsense"], "nonsense is not an id: 32 hexadecimal digits"),
        (["status", "../../health"], "../../health is not an id"),
        (["status"], "Missing argument 'ID'"),
        (["batch", f"{ID}-3"], f"{ID}-3 is a job; its batch is {ID}"),
        (["result", ID, "--json"], "--json needs -o FILE"),
        (["statsu", ID], "No such command 'statsu'"),
    ],
)
def test_a_wrong_command_line(service: Service, command: Command, arguments: list[str], says: str) -> None:
    """2, and nothing is sent."""
    ran = command(*arguments)
    assert (ran.code, ran.out, service.seen) == (2, "", [])
    assert says in ran.err
    assert len(ran.err.splitlines()) == 1


@pytest.mark.parametrize("arguments", [["submit", A], ["status", ID], ["batch", ID], ["result", ID], ["delete", ID]])
def test_no_access(service: Service, command: Command, arguments: list[str]) -> None:
    """3, and what to do."""
    service.token = "fq_right"
    ran = command(*arguments)
    assert (ran.code, ran.out) == (3, "")
    assert ran.err.startswith("fetch-queue: Send an access token that is valid. Put it in FETCH_QUEUE_TOKEN.\n")


@pytest.mark.parametrize("arguments", [["status", ID], ["batch", ID], ["result", ID], ["delete", ID]])
def test_no_such_id(command: Command, arguments: list[str]) -> None:
    """3, in one line."""
    assert command(*arguments) == Ran(3, "", "fetch-queue: No such job or batch.\n")


def test_nobody_there(command: Command) -> None:
    """4; what is tried is said first."""
    ran = command("status", ID, "--url", "http://127.0.0.1:1/")
    assert (ran.code, ran.out) == (4, "")
    first, last = ran.err.splitlines()
    assert first == "http://127.0.0.1:1 does not answer: connection refused. Trying again in 0 s, for 15 s at most."
    assert re.fullmatch(r"fetch-queue: http://127.0.0.1:1 does not answer: .* Gave up after \d+ s\.", last)


def test_something_else_answers(service: Service, command: Command) -> None:
    """4, and the address is what to look at."""
    service.fail("GET /", Fault(200, body=b"<html>Welcome to the hotel</html>"))
    ran = command("batch", ID)
    assert ran.code == 4
    assert ran.err == f"fetch-queue: {service.url}/batches/{ID} answered, but not like a Fetch Queue; is --url right?\n"


def test_a_directory_that_cannot_be_written(command: Command, tmp_path: Path) -> None:
    """4, with its name."""
    (tmp_path / "file").touch()
    ran = command("submit", A, "--output", str(tmp_path / "file" / "out"))
    assert ran.code == 4
    assert ran.err.startswith(f"fetch-queue: {tmp_path}/file/out: Not a directory\n")


@pytest.mark.parametrize("given", ["option", "variable"])
def test_the_token(
    service: Service, command: Command, given: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """From the option or the variable; it is sent, and neither printed nor kept."""
    service.token = "fq_0123_secret"
    arguments = ["submit", A, "ftp://x/", "--output", str(tmp_path), "--json"]
    if given == "option":
        arguments += ["--token", service.token]
    else:
        monkeypatch.setenv("FETCH_QUEUE_TOKEN", f" {service.token}\n")
    service.fail("GET /batches", Fault(503, {"Retry-After": "1"}))
    ran = command(*arguments)
    assert ran.code == 1
    assert len(ran.out.splitlines()) == 2
    assert "secret" not in ran.out + ran.err + (tmp_path / "manifest.jsonl").read_text()


@pytest.mark.parametrize("token", ["fq_secret with a space", "fq_sécret", "fq_secret\nX-Other: 1"])
def test_what_is_no_token(service: Service, command: Command, token: str) -> None:
    """Refused, and not shown."""
    ran = command("status", ID, "--token", token)
    assert (ran.code, service.seen) == (2, [])
    assert "cret" not in ran.err


def test_a_token_in_the_clear(command: Command) -> None:
    """Sent where it is asked for, and said."""
    ran = command("status", ID, "--url", "http://fetch-queue.invalid", "--token", "fq_x", "--give-up-after", "0")
    assert ran.err.startswith("The token goes to http://fetch-queue.invalid unencrypted")


def test_help(command: Command) -> None:
    """Each command says what it ends with."""
    for arguments in ([], ["submit"], ["status"], ["batch"], ["result"], ["delete"]):
        ran = command(*arguments, "--help")
        assert (ran.code, ran.err) == (0, "")
        assert "130  ended by Ctrl-C" in ran.out


# As a process


def start(
    service: Service, *arguments: str, stdout: int = subprocess.PIPE, stderr: int = subprocess.PIPE
) -> AbstractContextManager[subprocess.Popen[bytes]]:
    """The program, as `python -m client` from the repository's root."""
    return started(
        [sys.executable, "-m", "client", *arguments],
        cwd=ROOT,
        env={
            "PATH": os.environ["PATH"],
            "FETCH_QUEUE_URL": service.url,
            "LANG": "C",
            "TERM": "xterm",
            "COLUMNS": "100",
        },
        stdout=stdout,
        stderr=stderr,
    )


def test_ctrl_c(service: Service, tmp_path: Path) -> None:
    """130, at once, with a line that says how to go on."""
    service.polls_to_finish = 1000
    with start(service, "submit", A, "--output", str(tmp_path)) as process:
        assert process.stdout is not None
        assert process.stdout.readline().endswith(b"  1 URL accepted\n")
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=END_SECONDS)
    assert process.returncode == 130
    assert err.decode().splitlines() == [
        "",  # ends the line that shows ^C
        "fetch-queue: stopped",
        f"Run the same command again to go on from here; what it needs is in {tmp_path}/manifest.jsonl.",
    ]


def test_ctrl_c_while_results_are_read(service: Service, tmp_path: Path) -> None:
    """A storage that does not answer is not waited for."""
    service.hanging = True
    try:
        with start(service, "submit", A, "--output", str(tmp_path)) as process:
            assert service.reached.wait(END_SECONDS)
            process.send_signal(signal.SIGINT)
            process.communicate(timeout=END_SECONDS)
    finally:
        service.release.set()
    assert process.returncode == 130


def test_a_bar_on_a_terminal(service: Service) -> None:
    """On standard error; standard output has the ids alone. A terminal that knows no Unicode is no problem."""
    service.polls_to_finish = 2
    ours, theirs = pty.openpty()
    shown = b""
    with (
        os.fdopen(ours, "rb", buffering=0) as terminal,
        os.fdopen(theirs, "wb", buffering=0) as stderr,
        start(service, "submit", "https://example.com/東", "ftp://x/", "--wait", stderr=theirs) as process,
    ):
        stderr.close()
        while True:
            try:
                block = terminal.read(65536)
            except OSError:  # Linux's way to say that the other side is closed
                break
            if not block:
                break
            shown += block
        out, _ = process.communicate(timeout=END_SECONDS)
    assert process.returncode == 1
    assert re.fullmatch(r"[0-9a-f]{32}  1 URL accepted, 1 rejected\n", out.decode())
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown.decode())
    assert re.search(r"Fetched .*1/2.*1 failed", text)
    assert "2 URLs: 1 rejected, 1 succeeded" in text or "2 URLs: 1 succeeded, 1 rejected" in text


def test_a_full_disk(service: Service, command: Command) -> None:
    """4, in a line, for what is printed and for a result."""
    command("submit", A)
    batch_id = next(iter(service.batches.values())).id
    command("status", batch_id)
    for arguments in (["--help"], ["batch", batch_id], ["result", batch_id]):
        with Path("/dev/full").open("wb") as full, start(service, *arguments, stdout=full.fileno()) as process:
            _, err = process.communicate(timeout=END_SECONDS)
        assert (process.returncode, err.decode()) == (4, "fetch-queue: No space left on device\n"), arguments


def test_a_reader_that_goes_away(service: Service, command: Command) -> None:
    """As `head` does: quietly."""
    command("submit", *(f"https://example.com/{number}/{'x' * 2000}" for number in range(400)))
    with start(service, "batch", next(iter(service.batches.values())).id) as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr is not None
        assert process.stderr.read() == b""
        assert process.wait(END_SECONDS) == 1
