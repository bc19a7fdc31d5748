"""The base of our errors, and the one that every layer knows.

    FetchQueueError
    ├── Unavailable          an AWS call failed or was throttled, in spite of its own retries; try again later
    ├── InvalidURL           jobs.urls: what was given cannot be fetched
    ├── InvalidMember        jobs.submitted: a header or a reference of a URL is not valid
    ├── SettingsError        settings: the environment is inconsistent
    ├── Refused              service.errors: a use case refuses the request
    │   ├── NotFound         no such job, batch or result
    │   ├── NotFinished      the job has no result yet
    │   ├── JobFailed        the job has no result, and will have none
    │   ├── NoValidURL       none of a batch's URLs can be fetched
    │   ├── NothingFailed    no job of the batch has failed, so there is nothing to retry
    │   ├── KeyGone          what the idempotency key stands for was deleted, or has expired
    │   ├── KeyReused        the idempotency key stands for something else
    │   ├── InProgress       the first request with the idempotency key is still being stored
    │   ├── NothingToSend    no webhook is told of it, or it is not finished yet
    │   ├── Unauthorized     no valid access token
    │   └── QuotaExceeded    more URLs than the tenant may submit
    ├── ProblemError         api.problems: ends a request with a problem
    ├── Stopped              runner.failures: ends an attempt with a failure
    ├── Undecodable          runner.body: the bytes are not in the coding that the answer names
    ├── CutShort             runner.body: the bytes end before the coding's own end
    ├── UnknownName          runner.lookup: the name has no address
    ├── NoAnswer             runner.lookup: no name server has answered
    └── TooMuchOverhead      runner.tls: endless records without data

A refused condition is an answer, not an error: the table's writes return False.
"""


class FetchQueueError(Exception):
    """The base of all our errors."""


class Unavailable(FetchQueueError):
    """The table, queue or bucket did not answer; it is not known whether the call took effect.

    `late` says that it may even take effect later, and must not hit what others have written by then.
    """

    def __init__(self, text: str, *, late: bool = False) -> None:
        super().__init__(text)
        self.late = late
