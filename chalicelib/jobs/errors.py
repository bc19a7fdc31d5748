"""The base of our errors, and the one that every layer knows.

    FetchQueueError
    ├── Unavailable          an AWS call failed or was throttled after its own retries; to be tried again later
    ├── InvalidURL           jobs.urls: what was given cannot be fetched
    ├── SettingsError        settings: the environment does not hold together
    ├── Refused              service.errors: a use case says no to whoever asked
    │   ├── NotFound         no such job, batch or result
    │   ├── NotFinished      the job has no result yet
    │   ├── JobFailed        the job has no result, and will have none
    │   ├── NoValidURL       none of a batch's URLs can be fetched
    │   ├── KeyGone          what the idempotency key stands for was deleted, or has expired
    │   ├── KeyReused        the idempotency key stands for something else
    │   ├── InProgress       the first request with the idempotency key is still being stored
    │   ├── Unauthorized     no valid access token
    │   └── QuotaExceeded    more URLs than the tenant may submit
    ├── ProblemError         api.problems: ends a request with a problem
    ├── Stopped              runner.failures: ends an attempt with a failure
    ├── Undecodable          runner.body: the bytes are not in the coding that they are said to be in
    ├── CutShort             runner.body: the bytes end before the coding says that they are whole
    ├── UnknownName          runner.lookup: the name has no address
    ├── NoAnswer             runner.lookup: no name server has answered
    └── TooMuchOverhead      runner.tls: records without end, and no data in them

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
