"""The work itself, the same for every library: fetch a URL and keep its bytes."""

from __future__ import annotations

from functools import cache

import requests
from requests.adapters import HTTPAdapter

from bench.peers.apps import store
from bench.peers.site import HOSTS

THREADS = 32
TIMEOUT_SECONDS = 30


@cache
def session() -> requests.Session:
    """This process's session, with a connection for each thread."""
    new = requests.Session()
    new.trust_env = False
    new.mount("http://", HTTPAdapter(pool_connections=HOSTS, pool_maxsize=THREADS))
    return new


def run(url: str, fetch: str) -> None:
    """Fetch `url` for the job `fetch`."""
    try:
        answer = session().get(url, timeout=TIMEOUT_SECONDS)
        answer.raise_for_status()
    except requests.RequestException:
        store.fail(url, fetch)
    else:
        store.finish(fetch, answer.content)
