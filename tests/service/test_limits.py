"""Refusals that need a full disk, a full queue or a dying worker: the parts, without a socket."""

from __future__ import annotations

import asyncio
import errno
import io
import json
import os
import shutil
import types
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from services import Hospital

from heclstm_lib.errors import PlanError, ServiceError, WireError
from heclstm_lib.he.store import load_signature, write_signature
from heclstm_lib.service import __main__ as service_main
from heclstm_lib.service import dispatcher as dispatching
from heclstm_lib.service.__main__ import serve
from heclstm_lib.service.child import Child, WorkerEnded
from heclstm_lib.service.dispatcher import Dispatcher
from heclstm_lib.service.intake import Body, Intake
from heclstm_lib.service.options import ServiceOptions
from heclstm_lib.service.records import Bundle, Job
from heclstm_lib.service.sizes import SizeRange
from heclstm_lib.service.store import Store
from heclstm_lib.service.tokens import add_token
from heclstm_lib.service.uploads import Uploads, disk_refuses
from heclstm_lib.service.worker import Worker

DIGEST = "a" * 64


@pytest.fixture
def store(hospital: Hospital, tmp_path: Path) -> Iterator[Store]:
    store = Store(tmp_path / "state", hospital.plan.digest)
    yield store
    store.close()


class Queue:
    """As much of a Dispatcher as the intake needs."""

    waiting = 0

    async def add(self, record: object) -> None:
        """Nobody is at work."""

    def position(self, _record: object) -> int:
        return 0

    def steps(self, _record: object) -> int:
        return 3


async def _nothing() -> AsyncIterator[bytes]:
    for block in ():
        yield block


def make_intake(hospital: Hospital, store: Store, **limits: int) -> Intake:
    return Intake(hospital.plan, store, Queue(), ServiceOptions(**limits))  # type: ignore[arg-type]


def register(intake: Intake) -> None:
    asyncio.run(intake.register("st-mary", Body(_nothing(), None)))


def submit(intake: Intake) -> None:
    asyncio.run(intake.submit("st-mary", DIGEST, Body(_nothing(), None)))


def test_a_full_queue(hospital: Hospital, store: Store) -> None:
    intake = make_intake(hospital, store, queue=5)
    intake._queue.waiting = 5  # type: ignore[misc]
    with pytest.raises(
        ServiceError, match=r"5 jobs wait already; the queue is full. Try"
    ) as caught:
        register(intake)
    assert (caught.value.status, caught.value.code, caught.value.retry_s) == (503, "queue_full", 5)


@pytest.mark.parametrize(
    ("state", "reason", "message", "retry"),
    [
        ("checking", "", "the bundle is not ready: checking.$", 5),
        ("refused", "key 0: no key.", "the bundle is not ready: refused. key 0: no key.", None),
    ],
)
def test_a_bundle_that_is_not_ready(
    hospital: Hospital, store: Store, state: str, reason: str, message: str, retry: int | None
) -> None:
    store.adopt(store.fresh(), Bundle("st-mary", DIGEST, 1, state, 1.0, reason))
    with pytest.raises(ServiceError, match=message) as caught:
        submit(make_intake(hospital, store))
    assert (caught.value.status, caught.value.code) == (409, "bundle_not_ready")
    assert caught.value.retry_s == retry


def test_too_many_jobs_and_no_result_yet(hospital: Hospital, store: Store) -> None:
    store.adopt(store.fresh(), Bundle("st-mary", DIGEST, 1, "ready", 1.0))
    job = Job("st-mary", "b" * 64, 1, "running", 1.0, bundle=DIGEST)
    store.adopt(store.fresh(), job)
    intake = make_intake(hospital, store, jobs=1)
    with pytest.raises(ServiceError, match="you have 1 jobs here, no more are kept") as caught:
        submit(intake)
    assert (caught.value.status, caught.value.code) == (429, "too_many_jobs")
    with pytest.raises(ServiceError, match=r"there is no result: the job is running.") as caught:
        intake.result(job)
    assert (caught.value.status, caught.value.code, caught.value.retry_s) == (409, "no_result", 5)
    shown = intake.shown(job)
    assert (shown["done"], shown["all"]) == (3, len(hospital.plan.ops))
    assert not {"owner", "crashes"} & set(shown)


def test_places_for_uploads() -> None:
    uploads = Uploads(ServiceOptions(uploads=2))
    with uploads.place("st-mary"):
        with pytest.raises(ServiceError, match="1 uploads of yours are under way") as caught:
            uploads.place("st-mary").__enter__()
        assert (caught.value.status, caught.value.code) == (429, "too_many_uploads")
        with uploads.place("st-john"):
            with pytest.raises(ServiceError, match="all 2 places for uploads are taken") as caught:
                uploads.place("st-anne").__enter__()
            assert (caught.value.status, caught.value.code) == (503, "busy")
    with uploads.place("st-mary"):
        pass  # the places were given back


def test_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    uploads, sizes = Uploads(ServiceOptions(spare_mb=1)), SizeRange(1, 1 << 30)
    usage = types.SimpleNamespace(free=3 << 20)
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: usage)
    uploads.check_announced(2 << 20, sizes, tmp_path)
    with pytest.raises(ServiceError, match=r"disk does not take it .No space left") as caught:
        uploads.check_announced((2 << 20) + 1, sizes, tmp_path)
    assert (caught.value.status, caught.value.code) == (507, "disk_full")
    assert "Permission denied" in str(
        disk_refuses(OSError(errno.EACCES, os.strerror(errno.EACCES)))
    )


def test_what_a_worker_says_of_failures(
    hospital: Hospital, monkeypatch: pytest.MonkeyPatch
) -> None:
    events = io.StringIO()
    worker = Worker(hospital.plan, hospital.folder, events)
    lives = []
    for error in (WireError("no key."), RuntimeError("odd"), MemoryError(), OSError(28, "full")):
        monkeypatch.setattr(worker, "_do", lambda _task, error=error: _raise(error))
        lives.append(worker.run({}))
    said = [json.loads(line) for line in events.getvalue().splitlines()]
    assert [one["state"] for one in said] == ["refused", "refused", "failed", "failed"]
    assert [one["reason"] for one in said] == [
        "no key.", "RuntimeError: odd", "the worker ran out of memory (--memory-mb).",
        "full at the server; submit it again.",
    ]  # fmt: skip
    assert lives == [True, True, False, True]


def _raise(error: Exception) -> None:
    raise error


def test_what_takes_two_workers_down_is_given_up(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Dying(Child):
        async def run(self, *_: object) -> tuple[str, str]:
            raise WorkerEnded("it was ended by SIGSEGV")

    monkeypatch.setattr(dispatching, "Child", Dying)
    bundle = Bundle("st-mary", DIGEST, 1, "checking", 1.0)
    job = Job("st-mary", "b" * 64, 1, "running", 2.0, bundle=DIGEST)
    for record in (bundle, job):
        store.adopt(store.fresh(), record)

    async def serve_until_idle() -> None:
        queue = Dispatcher(store, ServiceOptions())
        await queue.start()
        for _ in range(100):
            await asyncio.sleep(0.01)
        await queue.close()

    asyncio.run(serve_until_idle())
    found = [store.records[record.key] for record in (bundle, job)]
    assert [one.state for one in found] == ["refused", "failed"]
    for one in found:
        assert "2 worker processes were lost at it (it was ended by SIGSEGV)" in one.reason


def test_records_go_from_a_disk_without_room(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    bundle = Bundle("st-mary", DIGEST, 1, "ready", 1.0)
    store.adopt(store.fresh(), bundle)

    def full() -> Path:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(store, "fresh", full)
    store.remove(bundle)
    assert not store.place(bundle).exists() and bundle.key not in store.records


@pytest.mark.parametrize("command", [["/nowhere/python"], ["echo", "no event"]])
def test_a_worker_that_cannot_be_asked(tmp_path: Path, command: list[str]) -> None:
    child = Child(ServiceOptions(), tmp_path, 1)
    child._command = command
    with pytest.raises(WorkerEnded, match="it could not be asked: "):
        asyncio.run(child.run({}, lambda _steps: None))


def test_a_stuck_worker_is_ended(tmp_path: Path) -> None:
    async def wait() -> None:
        child = Child(replace(ServiceOptions(), stall_s=0.2), tmp_path, 1)
        child._command = ["sleep", "60"]
        with pytest.raises(WorkerEnded, match=r"nothing came of it for 0.2 s"):
            await child.run({}, lambda _steps: None)
        assert child.pid is None
        child._command, child._stall_s = ["false"], 60
        with pytest.raises(WorkerEnded, match="it ended with code 1"):
            await child.run({}, lambda _steps: None)

    asyncio.run(wait())


def test_a_signature_of_another_plan(hospital: Hospital, tmp_path: Path) -> None:
    add_token(tmp_path / "tokens", "st-mary")
    shutil.copy(hospital.folder / "plan.npz", tmp_path)
    other = replace(load_signature(hospital.folder / "signature.json"), digest="f" * 64)
    write_signature(other, tmp_path / "signature.json")
    options = ServiceOptions(
        plan=tmp_path / "plan.npz", tokens=tmp_path / "tokens", state=tmp_path / "state"
    )
    with pytest.raises(ServiceError, match=r"signature.json: of plan ffffffffffff, but plan.npz"):
        serve(options)


def test_a_plan_with_refreshes_is_not_served(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_token(tmp_path / "tokens", "st-mary")
    plan = types.SimpleNamespace(refreshes=(1, 2))
    monkeypatch.setattr(service_main, "load_plan", lambda _path: plan)
    monkeypatch.setattr(service_main, "verify_plan", lambda *_args, **_more: None)
    with pytest.raises(PlanError, match=r"re-encrypted by the client 2 time.*Plan without refresh"):
        serve(ServiceOptions(plan=tmp_path / "plan.npz", tokens=tmp_path / "tokens"))


def test_half_of_a_folder_is_cleared_away(hospital: Hospital, tmp_path: Path) -> None:
    orphan = tmp_path / "state" / "jobs" / "st-mary" / DIGEST
    orphan.mkdir(parents=True)
    (orphan / "response").write_bytes(b"of a job that was deleted as it ended")
    Store(tmp_path / "state", hospital.plan.digest).close()
    assert not orphan.exists()
