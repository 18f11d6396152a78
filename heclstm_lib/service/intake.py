"""What the service does for a hospital, without HTTP: register, submit, look, fetch, delete.

Everything is looked up under its owner's name, so that what belongs to another hospital is as
unknown as what does not exist. A body sent twice is the same bundle or job: nothing is done twice.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import shutil
import struct
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from heclstm_lib.errors import ServiceError, WireError
from heclstm_lib.he.header import shared_terms
from heclstm_lib.he.plan import Plan
from heclstm_lib.he.server import read_request_ids
from heclstm_lib.he.wire import MAGIC, read_header
from heclstm_lib.service.dispatcher import Dispatcher
from heclstm_lib.service.options import ServiceOptions
from heclstm_lib.service.records import WAITING, Bundle, Job, Record
from heclstm_lib.service.sizes import SizeRange, bundle_sizes, header_bytes, request_sizes
from heclstm_lib.service.store import BODY, RESPONSE, Store
from heclstm_lib.service.uploads import RETRY_S, Uploads, disk_refuses

log = logging.getLogger("heclstm.service")


@dataclass(frozen=True)
class Body:
    """A body that is coming: its blocks, and its Content-Length if there is one."""

    stream: AsyncIterator[bytes]
    announced: int | None


class Intake:
    """One service: its plan, its folder, its queue."""

    def __init__(self, plan: Plan, store: Store, queue: Dispatcher, opts: ServiceOptions) -> None:
        self.plan, self.options = plan, opts
        self._store, self._queue = store, queue
        self._uploads = Uploads(opts)
        self._parsing = asyncio.Lock()

    async def register(self, owner: str, body: Body) -> tuple[Record, bool]:
        """Take a public bundle and have it checked; its record and whether it is new."""
        self._check_queue()
        self._check_quota(Bundle, owner, self.options.bundles)
        made = Bundle(owner, "", 0, "checking", time.time())
        return await self._take(made, body, bundle_sizes(self.plan), "")

    async def submit(self, owner: str, digest: str, body: Body) -> tuple[Record, bool]:
        """Take a request for a bundle and queue it; its record and whether it is new."""
        bundle = self.find(Bundle, owner, digest)
        if bundle.state != "ready":
            retry = RETRY_S if bundle.state == "checking" else None
            raise ServiceError(
                f"the bundle is not ready: {bundle.state}. {bundle.reason}".rstrip(),
                409, "bundle_not_ready", retry,
            )  # fmt: skip
        self._check_queue()
        self._check_quota(Job, owner, self.options.jobs)
        made = Job(owner, "", 0, "queued", time.time(), bundle=digest)
        return await self._take(made, body, request_sizes(self.plan), digest)

    def find(self, kind: type[Record], owner: str, name: str) -> Any:
        """An owner's record; ServiceError (404) when there is none of that name."""
        record = self._store.records.get((kind.folder, owner, name))
        if record is None:
            raise ServiceError(
                f"no such {'bundle' if kind is Bundle else 'job'}. Check its name; it may have "
                "been deleted.",
                404, "unknown",
            )  # fmt: skip
        return record

    def owned(self, kind: type[Record], owner: str) -> list[dict[str, Any]]:
        """What an owner may see of all records of a kind."""
        return [self.shown(record) for record in self._store.owned(kind, owner)]

    def shown(self, record: Record) -> dict[str, Any]:
        """What its owner may see of a record: state, progress, place in the queue."""
        total = 2 + len(self.plan.rotations)
        if isinstance(record, Job):
            total = len(self.plan.ops)
        done = total if record.state in ("ready", "done") else self._queue.steps(record)
        more = {"done": done, "all": total, "waiting_before": self._queue.position(record)}
        return record.shown() | more

    def result(self, job: Job) -> Path:
        """The response file of a job; ServiceError (409) until it is done."""
        path = self._store.place(job) / RESPONSE
        if job.state != "done" or not path.is_file():
            retry = RETRY_S if job.state in WAITING else None
            raise ServiceError(
                f"there is no result: the job is {job.state}. {job.reason}".rstrip(),
                409, "no_result", retry,
            )  # fmt: skip
        return path

    async def remove(self, record: Record) -> None:
        """Delete a job, or a bundle with all its jobs; work on them is stopped."""
        jobs = self._store.owned(Job, record.owner) if isinstance(record, Bundle) else []
        for one in [j for j in jobs if isinstance(j, Job) and j.bundle == record.name] + [record]:
            self._store.remove(one)
            await self._queue.drop(one)
        log.info("%s %s of %s: deleted", record.kind, record.name[:12], record.owner)

    async def _take(
        self, made: Bundle | Job, body: Body, sizes: SizeRange, salt: str
    ) -> tuple[Record, bool]:
        with self._uploads.place(made.owner):
            try:
                folder = self._store.fresh()
                try:
                    return await self._receive(made, body, sizes, salt, folder)
                finally:
                    shutil.rmtree(folder, ignore_errors=True)
            except OSError as error:
                raise disk_refuses(error) from error

    async def _receive(
        self, made: Bundle | Job, body: Body, sizes: SizeRange, salt: str, folder: Path
    ) -> tuple[Record, bool]:
        path = folder / BODY
        self._uploads.check_announced(body.announced, sizes, folder)
        digest = await self._uploads.receive(body.stream, path, sizes)
        name = hashlib.sha256((salt + digest).encode()).hexdigest() if salt else digest
        made = replace(made, name=name, bytes=path.stat().st_size)
        if isinstance(old := self._store.records.get(made.key), Record):
            return await self._again(old)
        async with self._parsing:  # a header may take megabytes: one at a time
            made = await asyncio.to_thread(self._read, made, path)
        return await self._adopt(made, folder)

    async def _adopt(self, made: Bundle | Job, folder: Path) -> tuple[Record, bool]:
        if old := self._store.records.get(made.key):  # came twice at the same time
            return old, False
        if isinstance(made, Job):
            self.find(Bundle, made.owner, made.bundle)  # may have been deleted meanwhile
        limit = self.options.bundles if isinstance(made, Bundle) else self.options.jobs
        self._check_quota(type(made), made.owner, limit)
        self._check_queue()
        self._store.adopt(folder, made)
        await self._queue.add(made)
        log.info("%s %s of %s: %d bytes", made.kind, made.name[:12], made.owner, made.bytes)
        return made, True

    async def _again(self, old: Record) -> tuple[Record, bool]:
        """The same body once more: what failed is tried again, everything else stays."""
        if old.state in ("failed", "refused"):
            state = "checking" if isinstance(old, Bundle) else "queued"
            old = replace(old, state=state, reason="", crashes=0)
            self._store.put(old)
            await self._queue.add(old)
        return old, False

    def _read(self, made: Bundle | Job, path: Path) -> Bundle | Job:
        """The record with what the body's header says; WireError unless it fits the plan."""
        with path.open("rb") as file:
            begin, length = struct.unpack(f"<{len(MAGIC)}sI", file.read(len(MAGIC) + 4))
        longest, size = header_bytes(self.plan), path.stat().st_size
        if begin == MAGIC and longest < length < size:  # a foreign file is told as one below
            raise WireError(f"body: header claims {length} bytes, no message of this plan does.")
        if isinstance(made, Job):
            return replace(made, sequences=len(read_request_ids(path, self.plan)))
        chunks = 2 + len(self.plan.rotations)
        read_header(path, "public", self.plan.digest, chunks, shared_terms(self.plan))
        return made

    def _check_queue(self) -> None:
        if self._queue.waiting >= self.options.queue:
            raise ServiceError(
                f"{self._queue.waiting} jobs wait already; the queue is full. Try later.",
                503, "queue_full", RETRY_S,
            )  # fmt: skip

    def _check_quota(self, kind: type[Record], owner: str, limit: int) -> None:
        if len(self._store.owned(kind, owner)) >= limit:
            raise ServiceError(
                f"you have {limit} {kind.folder} here, no more are kept. Delete one you need no "
                "longer.",
                429, f"too_many_{kind.folder}",
            )  # fmt: skip
