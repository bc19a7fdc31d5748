"""`fetch-queue submit`: what it prints, what it saves, and what it ends with."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.client.conftest import Ran
from tests.client.fake import LOST, Fault, Service, Time

Command = Callable[..., Ran]
A, B, C = (f"https://example.com/{name}" for name in "abc")


def saved(directory: Path) -> dict[str, bytes]:
    """The results in a directory."""
    return {
        path.name: path.read_bytes()
        for path in directory.iterdir()
        if not path.name.startswith(".") and path.name != "manifest.jsonl"
    }


def entries(path: Path) -> dict[int, dict[str, object]]:
    """What became of each URL, by a manifest."""
    return {
        record["index"]: record for line in path.read_text().splitlines() if "index" in (record := json.loads(line))
    }


def test_submitting(service: Service, command: Command) -> None:
    """An id for each batch, and the exit code 0; nobody waits."""
    ran = command("submit", A, B)
    (batch,) = service.batches.values()
    assert ran == Ran(0, f"{batch.id}  2 URLs accepted\n", "")
    assert service.asked("GET", "") == 0


def test_a_long_list(service: Service, command: Command, tmp_path: Path) -> None:
    """It is cut into batches of a thousand; comments and blank lines are none of it."""
    urls = [f"https://example.com/{number}" for number in range(2345)]
    (tmp_path / "urls.txt").write_text("# mine\n\n" + "\n".join(urls) + "\n")
    ran = command("submit", "-f", str(tmp_path / "urls.txt"))
    assert (ran.code, len(ran.out.splitlines())) == (0, 3)
    assert service.submitted() == urls
    assert [len(batch.urls) for batch in service.batches.values()] == [1000, 1000, 345]


def test_standard_input(service: Service, command: Command, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """As a dash."""
    (tmp_path / "urls.txt").write_text(f"{A}\n{B}\n")
    with (tmp_path / "urls.txt").open() as file:
        monkeypatch.setattr("sys.stdin", file)
        assert command("submit", "-f", "-", C).code == 0
    assert service.submitted() == [C, A, B]


def test_rejected(service: Service, command: Command) -> None:
    """Said for each, and the exit code is 1; the others are submitted."""
    ran = command("submit", "ftp://x/", A, "nonsense")
    assert (ran.code, service.submitted()) == (1, [A])
    assert ran.out.endswith("  1 URL accepted, 2 rejected\n")
    assert ran.err == (
        "rejected  ftp://x/  (the scheme must be http or https)\n"
        "rejected  nonsense  (the scheme must be http or https)\n"
    )


def test_all_rejected(service: Service, command: Command, tmp_path: Path) -> None:
    """The service refuses the batch, which is no failure of ours; the next run does not ask again."""
    for _ in range(2):
        ran = command("submit", "ftp://x/", "nonsense", "--output", str(tmp_path))
        assert (ran.code, ran.out) == (1, "")
        assert "2 URLs: 2 rejected, in 0 s.\n" in ran.err
    assert len(service.seen) == 1


def test_waiting(service: Service, command: Command, time: Time) -> None:
    """Until the end, asking as often as the service says; what failed is said."""
    service.polls_to_finish = 4
    service.first_poll = 3
    service.failing.add(B)
    ran = command("submit", A, B, "--wait")
    assert ran.code == 1
    assert [round(slept) for slept in time.slept] == [3, 2, 2, 2]
    assert ran.err == (f"failed    {B}  (the site answered 404 Not Found)\n2 URLs: 1 succeeded, 1 failed, in 9 s.\n")
    assert command("submit", A, "--wait").code == 0


def test_progress_where_there_is_no_terminal(service: Service, command: Command, time: Time) -> None:
    """A line every ten seconds, if there is something new, and no bar."""
    service.polls_to_finish = 20
    service.finished_first = 1
    ran = command("submit", A, B, "--wait")
    assert ran.err == "Fetched 1 of 2\nFetched 2 of 2\n2 URLs: 2 succeeded, in 38 s.\n"


UNTIL = "2026-11-24T14:05:00.000Z"


def test_waiting_for_a_host(service: Service, command: Command) -> None:
    """How many do is said beside the progress, as long as it is so; of one URL, for which host and until when."""
    service.polls_to_finish = 20
    service.waiting |= {A: UNTIL, B: UNTIL}
    ran = command("submit", A, B, C, "--wait")
    assert ran.err == ("Fetched 0 of 3, 2 wait for their host\nFetched 3 of 3\n3 URLs: 3 succeeded, in 38 s.\n")
    ran = command("submit", A, "--wait")
    assert ran.err.splitlines()[0] == f"Fetched 0 of 1, waits for example.com until {UNTIL}"


def test_hours_in_line(service: Service, command: Command, time: Time) -> None:
    """They are waited for without an end, and asked about no more often than the service says."""
    service.polls_to_finish = 10_000
    service.waiting[A] = UNTIL
    ran = command("submit", A, "--wait", "--give-up-after", "60")
    assert (ran.code, time.now - 1000) == (0, 2.0 * 9_999)


def test_saving(service: Service, command: Command, tmp_path: Path) -> None:
    """Every result in a file, and a manifest that says all about it."""
    service.pages[B] = ("image/png", b"\x89PNG\0")
    service.failing.add(C)
    out = tmp_path / "new" / "out"
    ran = command("submit", A, B, C, A, "ftp://x/", "--output", str(out))
    assert ran.code == 1
    assert saved(out) == {
        "example.com_a.txt": b"This is https://example.com/a\n",
        "example.com_b.png": b"\x89PNG\0",
        "example.com_a-2.txt": b"This is https://example.com/a\n",
    }
    assert ran.err.endswith(f"Saved in {out}; what became of each URL is in {out}/manifest.jsonl.\n")
    kept = entries(out / "manifest.jsonl")
    assert [kept[index]["status"] for index in range(5)] == ["succeeded"] * 2 + ["failed", "succeeded", "rejected"]
    batch_id = next(iter(service.batches.values())).id
    assert kept[1] == {
        "index": 1,
        "url": B,
        "batch_id": batch_id,
        "job_id": f"{batch_id}-1",
        "status": "succeeded",
        "file": "example.com_b.png",
        "size": 5,
        "sha256": hashlib.sha256(b"\x89PNG\0").hexdigest(),
        "content_type": "image/png",
        "error_type": None,
        "error": None,
    }
    assert kept[2]["error"] == "the site answered 404 Not Found"
    assert (kept[4]["job_id"], kept[4]["error_type"]) == (None, "rejected")


def test_hostile_urls_stay_inside(service: Service, command: Command, tmp_path: Path) -> None:
    """Whatever they are called."""
    out = tmp_path / "out"
    urls = ["https://x/../../etc/passwd", "http://con/", "https://x/%2e%2e%2f%2e%2e%2fowned", f"https://x/{'y' * 5000}"]
    urls += ["https://manifest.jsonl/", "https://x/\U0001f600", "https://X/\U0001f600"]
    assert command("submit", *urls, "--output", str(out)).code == 0
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    assert len(saved(out)) == len(urls)
    assert {len({name.casefold() for name in saved(out)})} == {len(urls)}


def test_results_are_saved_before_the_last_job_is_finished(service: Service, command: Command, tmp_path: Path) -> None:
    """A hundred at a time: one slow site does not hold up the others."""
    service.polls_to_finish, service.finished_first = 10, 150
    seen: list[int] = []
    serve = service.batch

    def batch(*arguments: object) -> object:
        seen.append(len(saved(tmp_path)))
        return serve(*arguments)  # type: ignore[arg-type]

    service.batch = batch  # type: ignore[method-assign, assignment]
    urls = [f"https://example.com/{number}" for number in range(300)]
    (tmp_path / ".urls").write_text("\n".join(urls))
    assert command("submit", "-f", str(tmp_path / ".urls"), "--output", str(tmp_path)).code == 0
    assert seen == [0] + [150] * 9
    assert len(saved(tmp_path)) == 300
    assert set(service.downloads.values()) == {1}


def test_json(service: Service, command: Command, tmp_path: Path) -> None:
    """A line for each URL on standard output, whatever was known before, and nothing else."""
    service.failing.add(B)
    given = ["submit", A, B, "ftp://x/", "--output", str(tmp_path), "--json"]
    for _ in range(2):
        ran = command(*given)
        lines = [json.loads(line) for line in ran.out.splitlines()]
        assert {line["url"]: line["status"] for line in lines} == {A: "succeeded", B: "failed", "ftp://x/": "rejected"}
        assert len(lines) == 3
        assert ran.code == 1


def test_json_without_waiting(service: Service, command: Command, tmp_path: Path) -> None:
    """The jobs that now are there."""
    ran = command("submit", A, "ftp://x/", B, "--json", "--manifest", str(tmp_path / "m"))
    lines = [json.loads(line) for line in ran.out.splitlines()]
    batch_id = next(iter(service.batches.values())).id
    assert sorted((line["index"], line["job_id"], line["status"]) for line in lines) == [
        (0, f"{batch_id}-0", "queued"),
        (1, None, "rejected"),
        (2, f"{batch_id}-1", "queued"),
    ]
    assert list(entries(tmp_path / "m").values()) == sorted(lines, key=lambda line: line["status"] == "queued")


def test_submit_now_and_save_later(service: Service, command: Command, tmp_path: Path) -> None:
    """The same manifest, first without waiting, then with a directory, then with another."""
    manifest = ["--manifest", str(tmp_path / "m")]
    assert command("submit", A, B, *manifest).code == 0
    for name in ("out", "other"):
        assert command("submit", A, B, *manifest, "--output", str(tmp_path / name)).code == 0
        assert len(saved(tmp_path / name)) == 2
    assert service.submitted() == [A, B]


def test_deleted_in_the_meantime(service: Service, command: Command, tmp_path: Path) -> None:
    """A job or a batch that is gone is said to be, and asked about again by the next run."""
    given = ["submit", *(f"https://example.com/{number}" for number in range(7)), "--batch-size", "5"]
    given += ["--manifest", str(tmp_path / "m")]
    command(*given)
    first, second = service.batches.values()
    service.deleted |= {f"{first.id}-3", second.id}
    for _ in range(2):
        ran = command(*given, "--output", str(tmp_path / "out"))
        assert ran.code == 1
        assert "7 URLs: 4 succeeded, 3 gone" in ran.err
        assert len(saved(tmp_path / "out")) == 4
    service.deleted.clear()
    assert command(*given, "--output", str(tmp_path / "out")).code == 0
    assert len(saved(tmp_path / "out")) == 7
    assert set(service.downloads.values()) == {1}


def test_a_job_of_another_url(service: Service, command: Command, tmp_path: Path) -> None:
    """A service that mixes up its jobs is not believed, and nothing is saved under a wrong name."""
    command("submit", A, B, "--manifest", str(tmp_path / "m"))
    (batch,) = service.batches.values()
    batch.urls.reverse()
    ran = command("submit", A, B, "--manifest", str(tmp_path / "m"), "--output", str(tmp_path / "out"))
    assert ran.code == 4
    assert f"job {batch.id}-0 is for {B}, but {A} was submitted as that job" in ran.err
    assert saved(tmp_path / "out") == {}


def test_a_batch_that_is_gone_before_its_answer_came(service: Service, command: Command, tmp_path: Path) -> None:
    """Its key is no good any more, and what to do is said."""
    given = ["submit", A, B, "--output", str(tmp_path), "--give-up-after", "0"]
    service.fail("POST", LOST)
    assert command(*given).code == 4
    service.fail("POST", Fault(409, name="deleted", detail="Use a new key."))
    ran = command(*given)
    assert ran.code == 3
    assert ran.err.startswith("fetch-queue: URLs 1 to 2 were submitted before, and that batch is gone")


def test_a_job_with_an_odd_id(service: Service, command: Command, tmp_path: Path) -> None:
    """No traceback."""
    lines = service.results

    def results(*arguments: object) -> tuple[bytes, dict[str, str]]:
        return lines(*arguments)[0].replace(b'-0"', b'-zero"'), {}  # type: ignore[arg-type]

    service.results = results  # type: ignore[method-assign, assignment]
    ran = command("submit", A, "--output", str(tmp_path))
    assert ran.code == 4
    assert "is not the id of a job in a batch" in ran.err


def test_a_result_that_comes_damaged(service: Service, command: Command, tmp_path: Path) -> None:
    """Is not saved as if it were right; the next run tries again."""
    serve = service.submit

    def submit(*arguments: object) -> object:
        answer = serve(*arguments)  # type: ignore[arg-type]
        job_id = answer[1]["jobs"][0]["id"]
        service.fail(f"GET /{job_id}", *[Fault(200, body=b"something else")] * 3)
        return answer

    service.submit = submit  # type: ignore[method-assign, assignment]
    ran = command("submit", A, B, "--output", str(tmp_path))
    assert ran.code == 1
    assert "corrupt" in ran.err
    assert list(saved(tmp_path)) == ["example.com_b.txt"]
    assert command("submit", A, B, "--output", str(tmp_path)).code == 0
    assert len(saved(tmp_path)) == 2


def test_many_failures_are_not_all_shown(service: Service, command: Command) -> None:
    """Twenty lines are; the manifest has them all."""
    ran = command("submit", *(f"ftp://x/{number}" for number in range(100)), "--wait")
    assert len(ran.err.splitlines()) == 22


def test_strangers_text_does_nothing_to_a_terminal(service: Service, command: Command) -> None:
    """It is shown, not obeyed."""
    ran = command("submit", "ftp://x/\x1b[31m\x9b2J\u202e")
    assert "ftp://x/\\x1b[31m\\x9b2J\\u202e" in ran.err


def test_a_quota_is_waited_for(service: Service, command: Command, time: Time) -> None:
    """And said, once."""
    quota = Fault(429, {"Retry-After": "60"}, name="quota-exceeded", detail="You may submit 10 URLs a minute.")
    service.fail("POST /batches", quota, quota)
    ran = command("submit", A)
    assert ran.code == 0
    assert sum(time.slept) > 120
    assert ran.err == f"{service.url}: You may submit 10 URLs a minute. Trying again in 61 s, for 300 s at most.\n"


def test_a_quota_below_the_batches(service: Service, command: Command, tmp_path: Path) -> None:
    """What was cut too large stays so: it is said how to begin anew, and that works."""
    urls = [f"https://example.com/{number}" for number in range(30)]
    refusal = {
        "type": "https://fetch-queue.dev/problems/invalid-request",
        "detail": "30 URLs are more than the 20 that you may submit in a minute. Split them.",
        "errors": [{"pointer": "/urls", "detail": "Too many."}],
    }
    service.fail("POST /batches", Fault(422, body=json.dumps(refusal).encode()))
    ran = command("submit", *urls, "--output", str(tmp_path / "first"))
    path = tmp_path / "first" / "manifest.jsonl"
    assert ran.code == 3
    assert ran.err.splitlines() == [
        "fetch-queue: 30 URLs are more than the 20 that you may submit in a minute. Split them.",
        f"Start over with a smaller --batch-size, and another directory or manifest: the batches of {path} are fixed.",
    ]
    assert command("submit", *urls, "--output", str(tmp_path / "second"), "--batch-size", "20").code == 0
    assert [len(batch.urls) for batch in service.batches.values()] == [20, 10]


def test_a_quota_of_tomorrow_is_not(service: Service, command: Command, time: Time, tmp_path: Path) -> None:
    """The exit code is 4, and how to go on is said."""
    service.fail("POST /batches", Fault(429, {"Retry-After": "40000"}, name="quota-exceeded", detail="None left."))
    ran = command("submit", A, "--output", str(tmp_path))
    assert (ran.code, time.slept) == (4, [])
    assert ran.err == (
        f"fetch-queue: {service.url}: None left. Gave up: that is in 40000 s, and the longest wait is 300 s.\n"
        f"Run the same command again to go on from here; what it needs is in {tmp_path}/manifest.jsonl.\n"
    )
    assert command("submit", A, "--output", str(tmp_path)).code == 0


def test_smaller_batches(service: Service, command: Command) -> None:
    """For a quota below a thousand."""
    command("submit", A, B, C, "--batch-size", "2")
    assert [len(batch.urls) for batch in service.batches.values()] == [2, 1]


def test_another_list_is_refused(service: Service, command: Command, tmp_path: Path) -> None:
    """With the exit code of a wrong command line, and nothing is sent."""
    command("submit", A, "--output", str(tmp_path))
    asked = len(service.seen)
    ran = command("submit", B, "--output", str(tmp_path))
    assert (ran.code, len(service.seen)) == (2, asked)
    assert ran.err.startswith(f"fetch-queue: {tmp_path}/manifest.jsonl is for other URLs: number 1 is not")


def test_a_service_that_is_lost_while_it_works(service: Service, command: Command, tmp_path: Path) -> None:
    """The exit code is 4; the next run goes on, and submits nothing."""
    service.fail("GET /batches", *[LOST] * 40)
    ran = command("submit", A, "--output", str(tmp_path), "--give-up-after", "30")
    assert ran.code == 4
    assert "does not answer" in ran.err
    service._faults.clear()
    assert command("submit", A, "--output", str(tmp_path)).code == 0
    assert service.asked("POST", "") == 1
