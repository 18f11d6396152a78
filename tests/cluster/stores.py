"""A store's log of requests, and a case put into a store; importable by tests."""

from __future__ import annotations

import logging
import re
from collections import Counter

from heclstm_lib.cluster.command import Places
from heclstm_lib.robustness.small_case import SmallCase
from heclstm_lib.storage import join, upload


class Store(logging.Handler):
    """Requests to a server, whole files only (200, not 206), by method and name."""

    def __init__(self) -> None:
        super().__init__()
        self.counts: Counter[tuple[str, str]] = Counter()

    def emit(self, record: logging.LogRecord) -> None:
        found = re.search(r'(GET|PUT) ([^ ?]+)\S* HTTP.*" 200 ', record.getMessage())
        if found:
            self.counts[found[1], found[2].rpartition("/")[2]] += 1


def put(case: SmallCase, folder: str) -> Places:
    """A case's files in a store, and the addresses of the batch."""
    names = {"plan.npz": case.plan, "public.bundle": case.bundle}
    names |= {f"requests/{name}.request": case.requests / f"{name}.request" for name in case.names}
    for name, path in names.items():
        upload(path, join(folder, name))
    parts = ("plan.npz", "public.bundle", "requests", "responses")
    return Places.of(*(join(folder, part) for part in parts))
