"""The errors that cross a layer.

    FetchQueueError
    └── Unavailable    an AWS call failed or was throttled after its own retries; to be tried again later

A refused condition is an answer, not an error: the writes of the table return False.
"""


class FetchQueueError(Exception):
    """The one base of our errors."""


class Unavailable(FetchQueueError):
    """Table, queue or bucket did not answer; whether the call took effect is not known.

    `late` says that it may even take effect later, and must not meet what others write by then.
    """

    def __init__(self, text: str, *, late: bool = False) -> None:
        super().__init__(text)
        self.late = late
