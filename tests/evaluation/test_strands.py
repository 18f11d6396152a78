"""One batch over several workers: the very ciphertexts of one server, or a clean end."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import BrokenExecutor, Executor, Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from strand_plans import COSTS, PARAMS, random_plan

from heclstm_lib.batch.workers import make_executor
from heclstm_lib.errors import HeclstmError, PlanError, StrandError, WireError
from heclstm_lib.evaluation import strand_task
from heclstm_lib.evaluation.strands import evaluate_on_strands, op_seconds
from heclstm_lib.he import exchange
from heclstm_lib.he.client import Client
from heclstm_lib.he.memory import coefficients
from heclstm_lib.he.plan import KINDS, Plan
from heclstm_lib.he.seal import from_bytes, load_context
from heclstm_lib.he.server import Server
from heclstm_lib.he.store import write_plan
from heclstm_lib.he.strand import StrandServer
from heclstm_lib.he.wire import iter_chunks


@dataclass
class Case:
    """A plan with a registered client, a request, and one server's answer."""

    plan: Plan
    client: Client
    folder: Path

    def run(self, executor: Executor, response: str = "response", **more: Any) -> dict[str, Any]:
        return evaluate_on_strands(
            self.folder / "plan.npz", self.folder / "bundle", self.folder / "request",
            self.folder / response, executor, more.pop("workers", 2), costs(), **more,
        )  # fmt: skip

    def words(self, response: str) -> list[np.ndarray]:
        context = load_context(PARAMS)
        chunks = iter_chunks(self.folder / response)
        return [coefficients(from_bytes("Ciphertext", chunk, context)) for chunk in chunks]


def costs() -> pd.DataFrame:
    """Dear key switching and almost free transfers: a schedule that uses every worker."""
    rows = [
        (kind, level, 1e-6 if kind == "transfer" else COSTS.get(kind, 0.25))
        for kind in (*KINDS, "load", "transfer")
        for level in range(PARAMS.levels + 1)
    ]
    return pd.DataFrame(rows, columns=["kind", "level", "seconds"])


@pytest.fixture(scope="module")
def case(tmp_path_factory: pytest.TempPathFactory) -> Case:
    folder = tmp_path_factory.mktemp("strands")
    plan = random_plan(seed=11, size=20, outputs=None)
    assert {op.kind for op in plan.ops} == set(KINDS) - {"refresh"}, "every kind is tried"
    write_plan(plan, folder / "plan.npz")
    client = Client(plan.signature)
    client.write_public_bundle(folder / "bundle")
    frames = np.random.default_rng(0).normal(size=(4, 2, 3))
    client.encrypt_batch(frames, folder / "request")
    Server(plan, folder / "bundle").evaluate(folder / "request", folder / "alone")
    return Case(plan, client, folder)


@pytest.fixture(autouse=True)
def shared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A place for the exchange folders of one test; nothing may be left there."""
    place = tmp_path / "shared"
    place.mkdir()
    monkeypatch.setattr(exchange, "SHARED_MEMORY", place)
    yield place
    assert list(place.iterdir()) == []


@pytest.mark.parametrize("workers", [1, 2, 3])
def test_the_same_ciphertexts_as_one_server(case: Case, workers: int) -> None:
    with ThreadPoolExecutor(workers) as executor:
        found = case.run(executor, workers=workers)
    assert len(found["strands"]) == workers
    for one, many in zip(case.words("alone"), case.words("response"), strict=True):
        np.testing.assert_array_equal(one, many)
    alone = case.client.decrypt_outputs(case.folder / "alone")
    np.testing.assert_array_equal(alone, case.client.decrypt_outputs(case.folder / "response"))


def test_worker_processes(case: Case) -> None:
    with make_executor(2) as executor:
        found = [case.run(executor, response) for response in ("first", "second")]
    for one, first, second in zip(*map(case.words, ("alone", "first", "second")), strict=True):
        np.testing.assert_array_equal(one, first)
        np.testing.assert_array_equal(one, second)
    for run in found:
        assert run["response_bytes"] > 0
        assert run["server_s"] > 0
        assert [part["strand"] for part in run["strands"]] == [0, 1]
        for part in run["strands"]:
            spent = part["compute_s"] + part["move_s"] + part["wait_s"]
            assert 0 < part["compute_s"] < spent <= part["server_s"]
        kinds = {row["kind"] for row in run["operations"]}
        assert kinds >= {"rotate", "input", "wait", "receive", "send"}


def test_keys_are_loaded_once(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[StrandServer] = []

    class Counted(StrandServer):
        def __init__(self, *args: Any) -> None:
            super().__init__(*args)
            made.append(self)

    monkeypatch.setattr(strand_task, "StrandServer", Counted)
    with ThreadPoolExecutor(2) as executor:
        for _ in range(3):
            case.run(executor)
    assert sorted(server.number for server in made) == [0, 1]
    used = [set(server.plan.rotations) for server in made]
    assert used[0] | used[1] == set(case.plan.rotations)


def test_a_failing_strand_stops_the_others(
    case: Case, shared: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    evaluate = StrandServer.evaluate

    def fail(self: StrandServer, *args: Any) -> Any:
        if self.number == 1:
            raise HeclstmError("out of paper")
        return evaluate(self, *args)

    monkeypatch.setattr(StrandServer, "evaluate", fail)
    with ThreadPoolExecutor(2) as executor:
        with pytest.raises(HeclstmError, match=r"^out of paper$"):
            case.run(executor)
        monkeypatch.undo()
        monkeypatch.setattr(exchange, "SHARED_MEMORY", shared)
        case.run(executor)


def test_a_damaged_request_is_refused(case: Case, tmp_path: Path) -> None:
    data = bytearray((case.folder / "request").read_bytes())
    data[-100] ^= 1
    other = Case(case.plan, case.client, tmp_path)
    for name in ("plan.npz", "bundle"):
        (tmp_path / name).symlink_to(case.folder / name)
    (tmp_path / "request").write_bytes(data)
    with ThreadPoolExecutor(2) as executor, pytest.raises(WireError, match="checksum"):
        other.run(executor)
    assert not (tmp_path / "response").exists()


def test_a_pool_that_is_too_small_or_busy(case: Case) -> None:
    with (
        ThreadPoolExecutor(1) as executor,
        pytest.raises(StrandError, match=r"has 1 worker\(s\), the schedule 2 strands"),
    ):
        case.run(executor)
    with ThreadPoolExecutor(2) as executor:
        release = Future[None]()
        executor.submit(release.result)
        with pytest.raises(StrandError, match=r"fewer than the 2 workers.* began within"):
            case.run(executor, meeting_s=0.2)
        release.set_result(None)


def test_a_worker_that_dies_is_told_from_an_error(case: Case) -> None:
    class Dying(Executor):
        def submit(self, *_args: Any, **_more: Any) -> Future[Any]:
            future: Future[Any] = Future()
            future.set_exception(BrokenExecutor("terminated abruptly"))
            return future

    with pytest.raises(StrandError, match=r"ended in the middle.*memory.*terminated abruptly"):
        case.run(Dying())


def test_an_operation_costs_what_its_kind_does_at_its_level() -> None:
    plan = random_plan(seed=11, size=20, outputs=None)
    table = pd.DataFrame(
        [("rotate", 3, 3.0), ("rotate", 1, 1.0), ("weighted_sum", 3, 0.5), ("load", 3, 9.0)],
        columns=["kind", "level", "seconds"],
    )
    seconds = op_seconds(plan, table)
    for op in plan.ops:
        if op.kind == "rotate":
            assert seconds(op) == (3.0 if op.level >= 2 else 1.0), "of the nearest level"
        elif op.kind == "weighted_sum":
            assert seconds(op) == 0.5 * len(op.args)
        elif op.kind == "input":
            assert seconds(op) == 9.0
    with pytest.raises(PlanError, match=r"no cost of rescale\..*calibrate"):
        seconds(next(op for op in plan.ops if op.kind == "rescale"))
