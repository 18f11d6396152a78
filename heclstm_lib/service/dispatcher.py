"""The queue: checks and jobs, nearly first come first served, by processes that may die."""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections import deque
from contextlib import suppress
from dataclasses import dataclass, replace

from heclstm_lib.service.child import Child, WorkerEnded
from heclstm_lib.service.options import ServiceOptions
from heclstm_lib.service.records import WAITING, Bundle, Job, Key, Record
from heclstm_lib.service.store import BODY, RESPONSE, Store

CRASHES = 2
"""Workers a record may take down before it is given up."""

IN_A_ROW = 8
"""Jobs of one bundle that a worker may take before older ones, since changing keys is slow."""

log = logging.getLogger("heclstm.service")


@dataclass
class _Running:
    child: Child
    steps: int = 0


class Dispatcher:
    """Hands waiting records to workers and keeps what became of them."""

    def __init__(self, store: Store, options: ServiceOptions) -> None:
        self._store, self._options = store, options
        self._waiting: deque[Key] = deque()
        self._running: dict[Key, _Running] = {}
        self._changed = asyncio.Condition()
        self._lanes: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Queue what an earlier service did not end, then start the workers."""
        left = [r for r in self._store.records.values() if r.state in WAITING]
        for record in sorted(left, key=lambda record: record.created):
            if isinstance(record, Job) and record.state == "running":
                self._store.put(replace(record, state="queued", started=0.0))
            await self.add(record)
        if left:
            log.info("%d unfinished bundle(s) and job(s) are queued again", len(left))
        threads = max(1, (os.cpu_count() or 1) // self._options.workers)
        for _ in range(self._options.workers):
            child = Child(self._options, self._store.model, threads)
            self._lanes.append(asyncio.create_task(self._work(child)))

    async def add(self, record: Record) -> None:
        """Queue a record."""
        async with self._changed:
            self._waiting.append(record.key)
            self._changed.notify()

    @property
    def waiting(self) -> int:
        """Records in the queue."""
        return len(self._waiting)

    def position(self, record: Record) -> int | None:
        """How many are before a record in the queue; None when it is not in it."""
        return self._waiting.index(record.key) if record.key in self._waiting else None

    def steps(self, record: Record) -> int:
        """Steps done of a running record."""
        running = self._running.get(record.key)
        return running.steps if running else 0

    async def drop(self, record: Record) -> None:
        """Take a record off the queue, or end the worker that is at it; call after removing it."""
        with suppress(ValueError):
            self._waiting.remove(record.key)
        if running := self._running.get(record.key):
            await running.child.kill()

    async def close(self) -> None:
        """End the workers; what they were doing is queued again at the next start."""
        for lane in self._lanes:
            lane.cancel()
        await asyncio.gather(*self._lanes, return_exceptions=True)

    async def _work(self, child: Child) -> None:
        loaded: tuple[str, str] | None = None
        in_a_row = 0
        try:
            while True:
                async with self._changed:
                    await self._changed.wait_for(lambda: self._waiting)
                    record = self._next(loaded if in_a_row < IN_A_ROW else None)
                if record is None:
                    continue
                bundle = _bundle_of(record)
                in_a_row = in_a_row + 1 if bundle == loaded else 0
                loaded = bundle or loaded
                await self._handle(child, record)
        finally:
            await child.kill()

    def _next(self, loaded: tuple[str, str] | None) -> Record | None:
        """The oldest waiting job of the bundle a worker has loaded, else the oldest of all."""
        for key in self._waiting:
            record = self._store.records.get(key)
            if loaded is not None and record is not None and _bundle_of(record) == loaded:
                self._waiting.remove(key)
                return record
        return self._store.records.get(self._waiting.popleft())

    async def _handle(self, child: Child, record: Record) -> None:
        running = self._running[record.key] = _Running(child)
        if isinstance(record, Job):
            record = replace(record, state="running", started=time.time())
            self._keep(record)

        def on_steps(steps: int) -> None:
            running.steps = steps

        try:
            state, reason = await child.run(self._task(record), on_steps)
        except WorkerEnded as ended:
            await self._crashed(record, str(ended))
        else:
            self._end(record, state, reason)
        finally:
            if self._running.get(record.key) is running:
                del self._running[record.key]

    def _task(self, record: Record) -> dict[str, str]:
        folder, bundle = self._store.place(record), record.name
        if isinstance(record, Job):
            bundle = record.bundle
        keys = self._store.root / Bundle.folder / record.owner / bundle / BODY
        return {
            "kind": record.kind,
            "bundle": str(keys),
            "request": str(folder / BODY),
            "response": str(folder / RESPONSE),
        }

    async def _crashed(self, record: Record, how: str) -> None:
        if not self._store.holds(record):
            return  # removed by its owner, which is why the worker was ended
        log.warning("a worker was lost at %s %s: %s", record.kind, record.name[:12], how)
        record = replace(record, crashes=record.crashes + 1)
        if record.crashes >= CRASHES:
            self._end(
                record, "failed",
                f"{record.crashes} worker processes were lost at it ({how}), most often for lack "
                "of memory or because of bytes that SEAL does not survive. Make it anew.",
            )  # fmt: skip
            return
        waiting = "checking" if isinstance(record, Bundle) else "queued"
        self._keep(replace(record, state=waiting))
        await self.add(record)

    def _end(self, record: Record, state: str, reason: str) -> None:
        if isinstance(record, Job):
            state = "done" if state == "done" else "failed"
            record = replace(record, ended=time.time())
        elif state != "ready":
            state = "refused"
        self._keep(replace(record, state=state, reason=reason))
        if self._store.holds(record) and state == "done":
            with suppress(OSError):
                (self._store.place(record) / BODY).unlink()
        seconds = time.time() - record.created
        log.info("%s %s: %s, %.1f s after it came", record.kind, record.name[:12], state, seconds)

    def _keep(self, record: Record) -> None:
        try:
            self._store.put(record)
        except OSError as error:  # a full disk: right in memory, tried again after a restart
            log.error("the state of %s cannot be written: %s", record.name[:12], error.strerror)


def _bundle_of(record: Record) -> tuple[str, str] | None:
    """Whose keys a job needs loaded; None for a check, which loads none for long."""
    return (record.owner, record.bundle) if isinstance(record, Job) else None
