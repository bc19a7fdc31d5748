"""The service's processes with a `Proxy` before the emulator: the API, the workers, and what a test looks at behind
their backs."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3

from chalicelib import settings as service_settings
from chalicelib.settings import Settings
from chalicelib.storage.items import decode_item
from local_stack import emulator, environment, resources, sockets
from local_stack.children import Child, end_all, module
from local_stack.site import Site
from tests.e2e.running import until
from tests.faults.proxy import Proxy

WORKERS = 2
_WATCH_SECONDS = 0.1


@dataclass
class Parts:
    """What runs, and where."""

    settings: Settings
    proxy: Proxy
    site: Site
    api_url: str
    bucket_name: str
    table_name: str
    _s3: Any
    _dynamodb: Any

    def objects(self) -> set[str]:
        """The bucket's keys."""
        pages = self._s3.get_paginator("list_objects_v2").paginate(Bucket=self.bucket_name)
        return {entry["Key"] for page in pages for entry in page.get("Contents", [])}

    def uploads(self) -> int:
        """How many multipart uploads are under way."""
        return len(self._s3.list_multipart_uploads(Bucket=self.bucket_name).get("Uploads", []))

    def items(self) -> dict[str, dict[str, Any]]:
        """The table's items by key, as plain values."""
        pages = self._dynamodb.get_paginator("scan").paginate(TableName=self.table_name, ConsistentRead=True)
        return {item["pk"]["S"]: decode_item(item) for page in pages for item in page["Items"]}


@contextmanager
def parts(directory: Path, settings: Mapping[str, str], seed: int) -> Iterator[Parts]:
    """Everything, started and ended; a process that ends by itself is started again, as Lambda would."""
    backend = emulator.Emulator(emulator.install(print), sockets.free_port(0, "EMULATOR_PORT"), directory)
    with (directory / "log.txt").open("wb") as output, Proxy(backend.url, seed) as proxy, Site() as site:
        children: list[Child] = []
        ended = threading.Event()
        listener = sockets.listen(0, "PORT")
        watcher = threading.Thread(target=_watch, args=(children, ended))
        try:
            backend.start()
            variables = environment.scrubbed({**os.environ, **settings}, backend.url)
            told = service_settings.from_environment(variables)
            with environment.applied(variables):
                session = boto3.session.Session()
                names = resources.create(session.client("cloudformation"), told)
                s3, dynamodb = session.client("s3"), session.client("dynamodb")
            for name, value in names.items():  # the queues' URLs say whom to ask
                variables[name] = value.replace(backend.url, proxy.url)
            variables["AWS_ENDPOINT_URL"] = proxy.url
            descriptor = listener.fileno()
            command = module("api", "--lifeline", "--descriptor", str(descriptor))
            api = Child("the API", command, variables, descriptors=[descriptor], output=output)
            workers = [
                Child(f"worker {number}", module("worker", "--lifeline"), variables, output=output)
                for number in range(WORKERS)
            ]
            children += [api, *workers]
            for child in children:
                child.start()
            watcher.start()
            api_url = sockets.url_of(listener)
            until(lambda: emulator.answers(f"{api_url}/health"), 60, what="the API does not start")
            names_of = (names["BUCKET_NAME"], names["TABLE_NAME"])
            yield Parts(told, proxy, site, api_url, *names_of, s3, dynamodb)
        finally:
            ended.set()
            if watcher.ident is not None:
                watcher.join()
            end_all(children, 4)
            backend.end(1)
            listener.close()


def _watch(children: list[Child], ended: threading.Event) -> None:
    while not ended.wait(_WATCH_SECONDS):
        for child in children:
            child.restart_if_ended(print)
