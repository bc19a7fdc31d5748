"""A client of the API that repeats what was not answered well, and notes each answer that it should never have got."""

from __future__ import annotations

import http.client
import json
import threading
from collections import Counter
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from local_stack.demo import HttpAnswer

PAUSE_SECONDS = 0.2  # instead of the 5 that a 503 asks for: less time, more calls that can go wrong
NONE = 0
GIVE_UP_SECONDS = 900.0  # generous: a client that never gets through


class Client:
    """May be used by several threads."""

    def __init__(self, api_url: str) -> None:
        self.wrong: list[str] = []  # answers that no fault of AWS excuses
        self.statuses: Counter[str] = Counter()  # by method and status
        self._host = urlsplit(api_url).netloc
        self._pause = threading.Event()

    def ask(self, method: str, target: str, body: object = None, **headers: str) -> HttpAnswer:
        """One request; redirects are answers, and so is none, as status 0: an API that takes too long is ended."""
        connection = http.client.HTTPConnection(self._host, timeout=120)
        try:
            data = None if body is None else json.dumps(body).encode()
            if data is not None:
                headers = {**headers, "Content-Type": "application/json"}
            connection.request(method, target, data, headers)
            response = connection.getresponse()
            answer = HttpAnswer(response.status, response.headers, response.read())
        except (OSError, http.client.HTTPException):
            answer = HttpAnswer(NONE, {}, b"")
        finally:
            connection.close()
        self.statuses[f"{method} {answer.status}"] += 1
        return answer

    def submit(self, path: str, body: object, key: str) -> dict[str, Any]:
        """What is accepted at last: 503 is repeated, and 409 while the first request may still be at work."""
        headers = {"Idempotency-Key": key}

        def accepted() -> HttpAnswer | None:
            answer = self.ask("POST", path, body, **headers)
            if answer.status == 409 and answer.json["type"].endswith("/in-progress"):
                self._pause.wait(int(answer.headers["Retry-After"]))
                return None
            return self._judge(answer, f"POST {path}", {202})

        job_or_batch: dict[str, Any] = self._until(accepted, f"POST {path}").json
        return job_or_batch

    def read(self, target: str, expected: set[int]) -> HttpAnswer | None:
        """One reading of what is there; None where AWS was away."""
        return self._judge(self.ask("GET", target), f"GET {target}", expected)

    def read_on(self, target: str, expected: set[int]) -> HttpAnswer:
        """Read until it is answered."""
        return self._until(lambda: self.read(target, expected), f"GET {target}")

    def delete(self, target: str) -> None:
        """Delete what is there; a repeat may find it gone."""
        expected = {204}

        def deleted() -> HttpAnswer | None:
            answer = self._judge(self.ask("DELETE", target), f"DELETE {target}", expected)
            expected.add(404)
            return answer

        self._until(deleted, f"DELETE {target}")

    def _judge(self, answer: HttpAnswer, request: str, expected: set[int]) -> HttpAnswer | None:
        if answer.status in expected:
            return answer
        if answer.status not in (503, NONE):
            self.wrong.append(f"{request}: {answer.status} {answer.body[:300].decode(errors='replace')}")
        return None

    def _until(self, answered: Callable[[], HttpAnswer | None], request: str) -> HttpAnswer:
        for _ in range(int(GIVE_UP_SECONDS / PAUSE_SECONDS)):
            if (answer := answered()) is not None:
                return answer
            self._pause.wait(PAUSE_SECONDS)
        raise AssertionError(f"{request} never succeeded; wrong so far: {self.wrong[:5]}")
