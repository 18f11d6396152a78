"""A batch on a Dask cluster of processes: the same results, whatever is killed in the middle."""

from __future__ import annotations

import os
import re
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from queue import Queue
from typing import Any

import numpy as np
import pytest
from slow_tasks import Timed, die_always, die_once, note_key, run_out_of_memory, take_time
from stores import Store, put

from heclstm_lib.batch.command import run_batch
from heclstm_lib.batch.report import BatchReport
from heclstm_lib.batch.task import Result
from heclstm_lib.cluster import command
from heclstm_lib.cluster.command import Places, local_cluster, run_on_dask
from heclstm_lib.cluster.dask_executor import DaskExecutor
from heclstm_lib.cluster.need import limit_for
from heclstm_lib.cluster.scheduler import await_worker, connect
from heclstm_lib.errors import BatchError, ConfigError
from heclstm_lib.party_cli import main
from heclstm_lib.robustness.response_folder import digests
from heclstm_lib.robustness.small_case import SmallCase
from heclstm_lib.storage import download, join, list_names

pytest.importorskip("distributed")
NAMES = ("00", "01", "02", "03")


@pytest.fixture(autouse=True)
def importable(monkeypatch: pytest.MonkeyPatch) -> None:
    """The tasks of this folder, for workers that are started now."""
    here = str(Path(__file__).parent)
    path = os.pathsep.join([here, os.environ.get("PYTHONPATH", "")])
    monkeypatch.setenv("PYTHONPATH", path)


@pytest.fixture
def address(need_mb: int) -> Iterator[str]:
    """A cluster of two worker processes that see this test's environment."""
    with local_cluster(2, limit_for(need_mb)) as found:
        yield found


def evaluate_with(
    task: Callable[..., Result], places: Places, address: str, monkeypatch: pytest.MonkeyPatch
) -> BatchReport:
    monkeypatch.setattr(command, "evaluate_remote_job", task)
    return run_on_dask(places, address, flood_bits=None)


def scores(case: SmallCase, folder: Path) -> np.ndarray:
    return np.array([case.client.decrypt_scores(p) for p in sorted(folder.glob("*.response"))])


def fetched(places: Places, folder: Path) -> Path:
    for name in list_names(places.responses):
        download(join(places.responses, name), folder / name)
    return folder


@pytest.fixture(scope="module")
def right(made: SmallCase, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The responses of plain local processes."""
    out = tmp_path_factory.mktemp("right")
    assert run_batch(made.plan, made.bundle, made.requests, out).exit_code == 0
    return out


def test_scores_are_those_of_processes_and_nothing_large_crosses_the_scheduler(
    made: SmallCase, bucket: str, store: Store, address: str, tmp_path: Path, right: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    from distributed.protocol import dumps

    from heclstm_lib.cluster import dask_executor

    sent: list[int] = []
    submit = DaskExecutor.submit

    def measured(self: DaskExecutor, fn: Any, /, *args: Any, **kwargs: Any) -> Any:
        sent.append(sum(map(len, dumps((dask_executor.run_on_worker, fn, args)))))
        return submit(self, fn, *args, **kwargs)

    monkeypatch.setattr(DaskExecutor, "submit", measured)
    places = put(made, bucket)
    store.counts.clear()
    report = run_on_dask(places, address, flood_bits=None)
    assert report.evaluated == NAMES
    assert max(sent) < 4000 and len(sent) == len(NAMES)
    assert store.counts["GET", "public.bundle"] == 1  # two workers, one disk
    out = fetched(places, tmp_path / "out")
    np.testing.assert_array_equal(scores(made, out), scores(made, right))
    assert digests(out) == digests(right)
    assert run_on_dask(places, address).finished == NAMES


def test_a_worker_killed_once_costs_nothing(
    made: SmallCase, bucket: str, address: str, tmp_path: Path, right: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    places = put(made, bucket)
    report = evaluate_with(die_once, places, address, monkeypatch)
    assert (sorted((*report.evaluated, *report.finished)), report.failed) == (list(NAMES), ())
    assert digests(fetched(places, tmp_path / "out")) == digests(right)


def test_a_task_is_called_after_its_request(
    made: SmallCase, address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    places = Places.of(made.plan, made.bundle, made.requests, tmp_path)
    assert evaluate_with(note_key, places, address, monkeypatch).evaluated == NAMES
    for name in NAMES:
        assert (tmp_path / f"{name}.key").read_text().startswith(f"evaluate-{name}-")


def test_a_worker_out_of_memory_is_replaced(
    made: SmallCase, address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, right: Path
) -> None:
    places = Places.of(made.plan, made.bundle, made.requests, tmp_path / "out")
    report = evaluate_with(run_out_of_memory, places, address, monkeypatch)
    assert report.exit_code == 0
    assert digests(tmp_path / "out") == digests(right)


@pytest.mark.slow
def test_a_request_that_kills_every_worker_is_found_out(
    made: SmallCase, address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    places = Places.of(made.plan, made.bundle, made.requests, tmp_path / "out")
    report = evaluate_with(die_always, places, address, monkeypatch)
    # A worker may end between its response and its word of it: then the next one finds it finished.
    assert sorted(report.evaluated + report.finished) == ["00", "02", "03"]
    assert [one.name for one in report.failed] == ["01"]
    assert "each worker that tried it ended" in report.failed[0].reason


def test_memory_limits_how_many_run_on_a_worker(tmp_path: Path) -> None:
    jobs = [Timed(str(number), tmp_path) for number in range(3)]
    with local_cluster(1, 1000, threads=3) as address, connect(address, 20) as client:
        for need_mb, most in ((600, 1), (350, 2)):
            await_worker(client, need_mb, 20)
            executor = DaskExecutor(client, need_mb)
            assert executor.in_flight() == most + 1
            for future in [executor.submit(take_time, job) for job in jobs]:
                assert future.result(20).state == "evaluated"
            spans = [tuple(map(float, (tmp_path / j.name).read_text().split())) for j in jobs]
            at_once = [sum(b <= begin < e for b, e in spans) for begin, _ in spans]
            assert max(at_once) == most
        with pytest.raises(BatchError, match="takes about 1500 MB, but of 1 worker"):
            await_worker(client, 1500, 0)


def test_workers_that_are_all_gone_are_missed(address: str, need_mb: int) -> None:
    told = Queue[str]()
    more_mb = need_mb + 1
    with connect(address, 20) as client:
        await_worker(client, need_mb, 20)
        with DaskExecutor(client, need_mb).absence_told(told.put, 0.2):
            time.sleep(0.7)
            assert told.empty()
        with DaskExecutor(client, more_mb).absence_told(told.put, 0.2):  # none offers so much
            said = told.get(timeout=20)
    assert f"no Dask worker offers {more_mb} MB of memory_MB" in said


def test_no_scheduler_and_no_library(
    made: SmallCase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    places = Places.of(made.plan, made.bundle, made.requests, tmp_path / "out")
    with pytest.raises(BatchError, match=r"no Dask scheduler answers at tcp://127\.0\.0\.1:9"):
        run_on_dask(places, "tcp://127.0.0.1:9", wait_s=1)
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(ConfigError, match=r"pip install -e '\.\[cluster\]'"):
        run_on_dask(places)


def test_the_command_tries_dask_here(
    made: SmallCase, need_mb: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With a dashboard, on a port of the system's choice."""
    out = tmp_path / "out"
    where = ["--plan", str(made.plan), "--public", str(made.bundle), "--out", str(out)]
    limit = ["--memory-mb", str(limit_for(need_mb))]
    command = ["evaluate", str(made.requests), *where, "--executor", "dask", *limit]
    assert main([*command, "--dashboard", "127.0.0.1:0"]) == 0
    said = capsys.readouterr()
    assert "4 requests: 4 evaluated" in said.out
    assert re.search(r"dashboard: http://127\.0\.0\.1:\d+/status", said.err)
    assert len(digests(out)) == 4


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ("--executor processes --scheduler tcp://x:1", "--scheduler is for --executor dask"),
        ("--scheduler tcp://x:1 --workers 2", "--workers: not with --scheduler, whose workers run"),
        ("--scheduler tcp://x:1 --workers 1 --memory-mb 9", "--workers, --memory-mb: not with"),
        ("--executor dask --scheduler tcp://x:1 --dashboard", "--dashboard: not with --scheduler"),
        ("--dashboard", "--dashboard is for --executor dask"),
        ("--executor dask --dashboard here", "expected HOST:PORT or :PORT, got here"),
        ("--executor dask --workers 0", "--workers: expected at least 1, got 0"),
    ],
)
def test_options_that_do_not_go_together(
    options: str, expected: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["evaluate", "requests", "--plan", "plan.npz", *options.split()]) == 2
    assert expected in capsys.readouterr().err
