"""Deleting is for good, and takes nothing from whoever shares the fetch."""

from __future__ import annotations

import pytest

from tests.world import SECOND, World, failure

URL = "https://example.com/"


def delete(w: World, job_id: str) -> int:
    return w.request("DELETE", f"/jobs/{job_id}").status_code


def kinds(w: World) -> list[str]:
    """What kinds of item there are; a deleted job's mark is no job."""
    found = w.items()
    return sorted(key.partition("#")[0] for key, item in found.items() if not key.startswith("JOB#") or "url" in item)


def assert_bare(w: World, *job_ids: str) -> None:
    """A mark says that there was a job, and nothing of it."""
    for job_id in job_ids:
        assert w.items()[f"JOB#{job_id}"].keys() == {"pk", "tenant", "sweep_at", "v"}


def test_a_finished_job(w: World) -> None:
    """With it go result, fetch and claim; the second time is 404."""
    job_id = w.submit(URL)["id"]
    w.run()
    assert delete(w, job_id) == 204
    assert (kinds(w), w.objects()) == ([], set())
    assert_bare(w, job_id)
    for path in (f"/jobs/{job_id}", f"/jobs/{job_id}/result"):
        assert w.request("GET", path).status_code == 404
    assert delete(w, job_id) == 404


def test_a_queued_job(w: World) -> None:
    """It is never fetched, and its message goes."""
    job_id = w.submit(URL)["id"]
    assert delete(w, job_id) == 204
    assert w.run() == []
    assert w.site.requests == {}
    assert kinds(w) == []


def test_a_running_job(w: World) -> None:
    """What its worker still brings is removed, and the message goes."""
    job_id = w.submit(URL)["id"]
    answers = []
    w.site.during = lambda url: answers.append(delete(w, job_id))
    assert w.run() == []
    assert answers == [204]
    assert (kinds(w), w.objects()) == ([], set())
    assert_bare(w, job_id)


def test_a_job_between_two_attempts(w: World) -> None:
    """No further attempt is made."""
    w.site.answers[URL] = [failure(503, retryable=True)]
    job_id = w.submit(URL)["id"]
    w.run()
    assert w.job(job_id)["status"] == "queued"
    assert delete(w, job_id) == 204
    w.pass_time(1000 * SECOND)
    assert w.run() == []
    assert w.site.requests[URL] == 1


def test_a_failed_job(w: World) -> None:
    """A failure is deleted like a result."""
    w.site.answers[URL] = [failure(404)]
    job_id = w.submit(URL)["id"]
    w.run()
    assert delete(w, job_id) == 204
    assert kinds(w) == []


@pytest.mark.parametrize("first", [0, 1])
def test_a_shared_fetch_survives_until_its_last_job(w: World, first: int) -> None:
    """Whichever goes first, the other keeps its result and the window; with the last, the URL is fetched anew."""
    jobs = [w.submit(URL)["id"], w.submit(URL)["id"]]
    w.run()
    gone, stays = jobs[first], jobs[1 - first]
    assert delete(w, gone) == 204
    assert w.request("GET", f"/jobs/{stays}/result").body == b"bytes of " + URL.encode()
    third = w.submit(URL)["id"]
    w.run()
    assert w.job(third)["reused"] is True
    assert [delete(w, job_id) for job_id in (stays, third)] == [204, 204]
    assert (kinds(w), w.objects()) == ([], set())
    again = w.submit(URL)["id"]
    w.run()
    assert w.job(again)["reused"] is False
    assert w.site.requests[URL] == 2


def test_a_job_whose_leader_was_deleted_while_it_ran(w: World) -> None:
    """The message goes on leading the fetch that another job shares."""
    leader, sharer = w.submit(URL)["id"], w.submit(URL)["id"]
    first, second = w.receive()

    def join_and_delete(url: str) -> None:
        w.deliver([second])
        assert delete(w, leader) == 204

    w.site.during = join_and_delete
    assert w.deliver([first]) == []
    assert w.job(sharer)["status"] == "succeeded"
    assert w.request("GET", f"/jobs/{sharer}/result").status_code == 200


def test_a_batch(w: World) -> None:
    """Every job of it goes, with repeats, failures and what is still queued; then it is 404."""
    w.site.answers[URL + "1"] = [failure(404)]
    urls = [f"{URL}{n % 7}" for n in range(20)]
    batch = w.submit_batch(urls)
    outside = w.submit(URL + "3")["id"]
    messages = w.receive()
    w.deliver(messages[:12])
    w.deliver(messages[20:])
    path = f"/batches/{batch['id']}"
    assert w.request("DELETE", path).status_code == 204
    assert w.request("GET", path).status_code == 404
    assert w.request("DELETE", path).status_code == 404
    for job in batch["jobs"]:
        assert w.request("GET", job["links"]["self"]).status_code == 404
    assert w.job(outside)["status"] == "succeeded"
    assert len(w.objects()) == 1
    assert kinds(w) == ["BATCH", "FETCH", "JOB", "URL"]
    assert_bare(w, *(job["id"] for job in batch["jobs"]))
    w.run_until_done()
    assert sum(w.site.requests.values()) == 7


def test_a_batch_of_one_url_many_times(w: World) -> None:
    """More jobs of one fetch than a transaction takes."""
    batch = w.submit_batch([URL] * 120)
    w.run()
    assert w.request("DELETE", f"/batches/{batch['id']}").status_code == 204
    assert (kinds(w), w.objects()) == (["BATCH"], set())
    assert_bare(w, *(job["id"] for job in batch["jobs"]))


def test_some_jobs_of_a_batch_went_before(w: World) -> None:
    """The rest goes all the same."""
    batch = w.submit_batch([f"{URL}{n}" for n in range(3)])
    w.run()
    assert delete(w, batch["jobs"][1]["id"]) == 204
    assert w.request("DELETE", f"/batches/{batch['id']}").status_code == 204
    assert (kinds(w), w.objects()) == (["BATCH"], set())
