"""A scheduler that is lost in the middle of a batch, and what is asked of one."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from slow_tasks import take_longer
from stores import Store, put

from heclstm_lib.batch.command import run_batch
from heclstm_lib.batch.report import BatchReport
from heclstm_lib.cluster import command
from heclstm_lib.cluster.command import Places, local_cluster, run_on_dask
from heclstm_lib.cluster.dask_executor import DaskExecutor, SchedulerLost
from heclstm_lib.cluster.need import limit_for
from heclstm_lib.cluster.scheduler import Connection, known_workers
from heclstm_lib.errors import BatchError
from heclstm_lib.robustness.dask_processes import START_S, DaskProcesses
from heclstm_lib.robustness.response_folder import digests
from heclstm_lib.robustness.small_case import SmallCase
from heclstm_lib.storage import download, join, list_names

pytest.importorskip("distributed")


@pytest.fixture
def cluster(
    need_mb: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[DaskProcesses]:
    """Processes of their own, whose workers know the tasks of this folder."""
    path = os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")])
    monkeypatch.setenv("PYTHONPATH", path)
    monkeypatch.setattr(command, "evaluate_remote_job", take_longer)
    with closing(DaskProcesses(tmp_path / "dask", 1, limit_for(need_mb))) as processes:
        yield processes


@pytest.fixture(scope="module")
def right(made: SmallCase, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Digests of the responses of plain local processes."""
    out = tmp_path_factory.mktemp("right")
    assert run_batch(made.plan, made.bundle, made.requests, out).exit_code == 0
    return digests(out)


class Interrupted:
    """Kills the scheduler when the first response is there, then does as it is told."""

    def __init__(self, cluster: DaskProcesses, places: Places, store: Store) -> None:
        self.cluster, self.places, self.store = cluster, places, store
        self.before: set[str] = set()
        self.over = threading.Event()

    def __call__(self, then: Callable[[], object]) -> None:
        while "00.response" not in list_names(self.places.responses):
            if self.over.wait(0.02):  # the batch failed before
                return
        self.cluster.kill_scheduler()
        self.before = {name for (kind, name) in self.store.counts if kind == "PUT"}
        then()

    def during(self, then: Callable[[], object], **options: Any) -> BatchReport:
        """A batch that is interrupted."""
        thread = threading.Thread(target=self, args=(then,))
        thread.start()
        try:
            return run_on_dask(self.places, self.cluster.address, flood_bits=None, **options)
        finally:
            self.over.set()
            thread.join()


@pytest.mark.parametrize("waits", [True, False], ids=["the command waits", "it is given again"])
def test_a_killed_scheduler_loses_no_finished_response(
    made: SmallCase, bucket: str, store: Store, cluster: DaskProcesses, tmp_path: Path,
    right: dict[str, str], capsys: pytest.CaptureFixture[str], waits: bool,
) -> None:  # fmt: skip
    places = put(made, bucket)
    store.counts.clear()
    interrupted = Interrupted(cluster, places, store)
    if waits:
        report = interrupted.during(cluster.restart_scheduler)
        said = capsys.readouterr().err
        assert "waiting up to 600 s for it to come back. Finished responses are kept" in said
        assert "scheduler is back: going on with what is not finished" in said
    else:
        with pytest.raises(BatchError, match=r"none answered there within 0\.5 s") as caught:
            interrupted.during(lambda: None, return_s=0.5)
        assert "Finished responses are kept" in str(caught.value)
        assert "give the same command again" in str(caught.value)
        cluster.restart_scheduler()
        report = run_on_dask(places, cluster.address, wait_s=START_S, flood_bits=None)
        assert "00" in report.finished
    assert sorted((*report.evaluated, *report.finished)) == made.names
    assert report.failed == () and cluster.restarts >= 1
    assert "00.response" in interrupted.before
    assert {store.counts["PUT", name] for name in interrupted.before} == {1}
    responses = [name for name in list_names(places.responses) if name.endswith(".response")]
    assert responses == [f"{name}.response" for name in made.names]
    for name in responses:
        download(join(places.responses, name), tmp_path / "out" / name)
    assert digests(tmp_path / "out") == right


def test_a_scheduler_that_dies_with_a_finished_result_fails_no_request(
    made: SmallCase, bucket: str, cluster: DaskProcesses, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed after it said that a task is finished, before it handed over the result.

    The client notices it first where it asks for the result, as it may on a busy machine.
    """
    from distributed import Client

    fetch, reconnect, killed = Client._gather_remote, Client._reconnect, threading.Event()

    async def killed_first(client: Client, *args: Any, **kwargs: Any) -> dict[str, Any]:
        if not killed.is_set():
            killed.set()
            cluster.kill_scheduler()
            threading.Thread(target=cluster.restart_scheduler).start()
        return await fetch(client, *args, **kwargs)

    async def noticed_later(client: Client) -> None:
        await asyncio.sleep(1)
        await reconnect(client)

    monkeypatch.setattr(Client, "_gather_remote", killed_first)
    monkeypatch.setattr(Client, "_reconnect", noticed_later)
    report = run_on_dask(put(made, bucket), cluster.address, flood_bits=None)
    assert killed.is_set() and report.failed == ()
    assert sorted((*report.evaluated, *report.finished)) == made.names
    assert "00" in report.finished  # its response was there


def test_a_client_that_gave_up_has_lost_its_scheduler(need_mb: int) -> None:
    """As it does when no scheduler is back in time: that concerns the batch, not the request."""
    with (
        local_cluster(1, limit_for(need_mb)) as address,
        closing(Connection(address, 20, print)) as connection,
    ):
        executor = DaskExecutor(connection.client, need_mb)
        connection.client.close()
        with pytest.raises(SchedulerLost, match="Can't send"):
            executor.submit(print)
        with pytest.raises(ConnectionError, match="the client closed itself"):
            known_workers(connection.client)


class Asked:
    """A client whose scheduler has eight workers and counts how often it is asked."""

    def __init__(self) -> None:
        self.times, self.scheduler, self.status = 0, self, "running"
        self.workers = {
            str(number): {"nthreads": 1, "resources": {"memory_MB": 100}} for number in range(8)
        }

    def sync(self, function: Callable[..., Any], **options: Any) -> Any:
        return function(**options)


class TellsFive(Asked):
    """As some releases of distributed: five workers unless asked for all."""

    def scheduler_info(self, n_workers: int = 5) -> None:  # noqa: ARG002
        raise AssertionError("it is overwritten meanwhile")

    def identity(self, n_workers: int = 5) -> dict[str, Any]:
        self.times += 1
        chosen = list(self.workers.items())[: n_workers if n_workers >= 0 else None]
        return {"workers": dict(chosen)}


class TellsAll(Asked):
    """As older ones."""

    def scheduler_info(self, **_: Any) -> None:
        raise AssertionError("it is overwritten meanwhile")

    def identity(self) -> dict[str, Any]:
        self.times += 1
        return {"workers": self.workers}


@pytest.mark.parametrize("kind", [TellsFive, TellsAll])
def test_all_workers_are_known_and_asked_for_seldom(
    kind: type, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = kind()
    assert len(known_workers(client)) == 8
    executor, now = DaskExecutor(client, 100), 50.0
    monkeypatch.setattr("heclstm_lib.cluster.dask_executor.time.monotonic", lambda: now)
    assert [executor.in_flight() for _ in range(3)] == [16] * 3
    assert client.times == 2
    client.workers, now = {}, 51.0  # all gone: as many as were there are expected again
    assert (executor.in_flight(), client.times) == (16, 3)
