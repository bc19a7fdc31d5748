"""What the API's server knows of the requests in progress."""

from __future__ import annotations

import threading

from local_stack.progress import Busy, Watch


def test_busy_waits_for_requests_in_progress() -> None:
    """A server that ends lets what it has begun finish, but not for ever."""
    busy = Busy()
    busy.wait(0)
    inside, go_on = threading.Event(), threading.Event()

    def request() -> None:
        with busy:
            inside.set()
            go_on.wait(10)

    thread = threading.Thread(target=request)
    thread.start()
    inside.wait(10)
    busy.wait(0.01)
    assert thread.is_alive()
    go_on.set()
    busy.wait(10)
    thread.join()


def test_the_watch_calls_who_is_late() -> None:
    """Once, and nobody who ended; and it knows when somebody will be late again."""
    now = [100.0]
    watch = Watch(10, clock=lambda: now[0])
    called: list[str] = []

    def first() -> None:
        called.append("first")

    def second() -> None:
        called.append("second")

    assert watch.look() == 10
    watch.begin(first)
    now[0] += 4
    watch.begin(second)
    now[0] += 5.5
    assert (watch.look(), called) == (0.5, [])
    now[0] += 0.5
    assert (watch.look(), called) == (4, ["first"])
    assert not watch.end(first)
    assert watch.end(second)
    now[0] += 20
    assert (watch.look(), called) == (10, ["first"])


def test_the_watch_looks_by_itself() -> None:
    """Also after a while in which nobody was there; and no more once it is closed."""
    watch = Watch(0.01)
    watch.start()
    for _ in range(3):
        late = threading.Event()
        watch.begin(late.set)
        assert late.wait(30)
    watch.close()
    for thread in [thread for thread in threading.enumerate() if thread.name == "watch"]:
        thread.join(30)
        assert not thread.is_alive()
