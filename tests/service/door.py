"""The whole main job by the use cases alone: no HTTP, and no Chalice. Prints what it finds, a line a step.

python -m tests.service.door
"""

from __future__ import annotations

import itertools
import sys
from dataclasses import replace

import botocore.session
from botocore.credentials import ReadOnlyCredentials
from moto import mock_aws

from chalicelib import wiring
from chalicelib.jobs.access import Access
from chalicelib.jobs.addresses import AddressPolicy
from chalicelib.jobs.submitted import SubmittedURL
from chalicelib.metrics import OFF
from chalicelib.service import delete, read, submit, submit_batch
from chalicelib.service.errors import NotFound
from chalicelib.service.service import Service
from chalicelib.settings import Settings
from chalicelib.storage import calls
from chalicelib.wiring import Outside
from local_stack import resources

NOW = 1_767_225_600_000


def main() -> None:
    """Submit one URL and three, read them, delete them."""
    with mock_aws():
        service = _service()
        access = Access(tenant="someone")
        job = submit.submit_job(service, access, SubmittedURL(url="https://example.com/"), key=None).job
        print(read.read_job(service, access.tenant, job.job.id).status, job.job.url)
        texts = ["https://example.com/a", "ftp://example.com/", "https://example.com/b"]
        urls = [SubmittedURL(url=text) for text in texts]
        accepted = submit_batch.submit_batch(service, access, urls, key="k")
        page = read.read_page(service, access.tenant, accepted.batch.id, cursor=0, status=None)
        print(page.total, [each.job.url for each in page.jobs], [each.url for each in accepted.rejected])
        delete.delete_job(service, access.tenant, job.job.id)
        delete.delete_batch(service, access.tenant, accepted.batch.id)
        for ask in (
            lambda: read.read_job(service, access.tenant, job.job.id),
            lambda: read.read_batch(service, access.tenant, accepted.batch.id),
        ):
            try:
                ask()
            except NotFound as error:
                print(error)
    print("chalice" in sys.modules)


def _service() -> Service:
    session = botocore.session.Session()
    session.set_credentials("test", "test")
    services = ("cloudformation", "dynamodb", "sqs", "s3")
    clients = {name: session.create_client(name, region_name="us-east-1") for name in services}
    settings = Settings()
    names = resources.create(clients["cloudformation"], settings, "door")
    ids = (f"{number:032x}" for number in itertools.count())
    outside = Outside(
        client=clients.__getitem__,
        credentials=lambda: ReadOnlyCredentials("test", "test", None),
        parallel=calls.serial,
        clock=lambda: NOW,
        sleep=lambda seconds: None,
        new_id=lambda: next(ids),
        random=lambda: 1.0,
        metrics=OFF,
    )
    named = replace(
        settings, table_name=names["TABLE_NAME"], queue_url=names["QUEUE_URL"], bucket_name=names["BUCKET_NAME"]
    )
    return wiring.make_service(named, outside, AddressPolicy())


if __name__ == "__main__":
    main()
