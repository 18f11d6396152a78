"""The whole protocol through worker processes, resuming, and the agreement's numbers."""

from __future__ import annotations

import json
import shutil
from concurrent.futures import Executor, Future
from pathlib import Path

import numpy as np
import pytest
from threadpoolctl import threadpool_info

from heclstm_lib.batch.workers import make_executor
from heclstm_lib.compiler.chain import choose_parameters
from heclstm_lib.compiler.network import plan_network
from heclstm_lib.errors import HeclstmError, PlanError, WireError
from heclstm_lib.evaluation.agreement import agreement
from heclstm_lib.evaluation.encrypted import evaluate_encrypted
from heclstm_lib.evaluation.fanout import evaluate_request
from heclstm_lib.evaluation.statistics import wilson_interval
from heclstm_lib.he.store import write_plan, write_signature
from heclstm_lib.models.folded import FoldedNetwork
from heclstm_lib.provenance import thread_counts


class Inline(Executor):
    """Runs a task at once in this process."""

    def submit(self, fn, /, *args, **kwargs):  # type: ignore[no-untyped-def]
        future: Future[object] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as error:
            future.set_exception(error)
        return future


class Refusing(Executor):
    """Fails the test when anything is evaluated."""

    def submit(self, *_args, **_kwargs):  # type: ignore[no-untyped-def]
        pytest.fail("nothing is left to evaluate, but a request was submitted")


@pytest.fixture(scope="module")
def case(tmp_path_factory: pytest.TempPathFactory) -> tuple[FoldedNetwork, Path, np.ndarray]:
    """A network without LSTM (3 levels, N=8192), its plan on disk and frames of five sequences."""
    rng = np.random.default_rng(3)
    network = FoldedNetwork(
        frames=2,
        image_size=10,
        stride=2,
        conv_weight=rng.normal(size=(2, 1, 4, 4)) / 4,
        conv_bias=rng.normal(size=2) / 10,
        dense=(),
        gates=(),
        gate_input=np.zeros((4, 0, 0)),
        gate_bias=np.zeros((4, 0)),
        gate_recurrent=np.zeros((4, 0, 0)),
        spatial=rng.normal(size=(2, 32)) / 6,
        temporal=np.zeros((2, 0)),
        bias=0.2,
    )
    plan = plan_network(network, choose_parameters(network, 8192), sequences=2)
    path = tmp_path_factory.mktemp("plan") / "plan.npz"
    write_plan(plan, path)
    write_signature(plan.signature, path.with_name("signature.json"))
    return network, path, rng.normal(size=(5, 2, 1, 10, 10))


def test_worker_process_agrees_with_float64(
    case: tuple[FoldedNetwork, Path, np.ndarray], tmp_path: Path
) -> None:
    network, plan, frames = case
    with make_executor(1) as executor:
        run = evaluate_encrypted(plan, frames, tmp_path, executor, in_flight=2)
    found = agreement(network.scores(frames), run.scores, threshold=0.2)
    assert found["n"] == 5
    assert found["worst_bits"] > 12
    assert list(run.batches.sequences) == [2, 2, 1]
    assert (run.batches.server_s > 0).all()
    assert set(run.operations.kind) >= {"input", "multiply_plain", "square", "rotate"}
    leftovers = [path for path in tmp_path.iterdir() if path.name != "finished"]
    assert leftovers == [], "requests, responses and keys are removed"


def test_workers_share_the_cores() -> None:
    cores = int(thread_counts()["available"] or 1)
    with make_executor(2) as executor:
        libraries = executor.submit(threadpool_info).result()
    assert {library["user_api"] for library in libraries} >= {"blas"}
    assert max(library["num_threads"] for library in libraries) <= max(1, cores // 2)


def test_finished_batches_are_not_evaluated_again(
    case: tuple[FoldedNetwork, Path, np.ndarray], tmp_path: Path
) -> None:
    _, plan, frames = case
    first = evaluate_encrypted(plan, frames, tmp_path, Inline(), in_flight=1)
    again = evaluate_encrypted(plan, frames, tmp_path, Refusing(), in_flight=1)
    np.testing.assert_array_equal(first.scores, again.scores)
    (tmp_path / "finished" / "batch-2.json").unlink()
    repaired = evaluate_encrypted(plan, frames, tmp_path, Inline(), in_flight=1)
    np.testing.assert_array_equal(first.scores[:2], repaired.scores[:2])
    np.testing.assert_allclose(first.scores, repaired.scores, atol=1e-3)


def test_finished_batches_of_other_frames_do_not_count(
    case: tuple[FoldedNetwork, Path, np.ndarray], tmp_path: Path
) -> None:
    network, plan, frames = case
    evaluate_encrypted(plan, frames[:2], tmp_path, Inline(), in_flight=1)
    other = evaluate_encrypted(plan, frames[2:4], tmp_path, Inline(), in_flight=1)
    np.testing.assert_allclose(other.scores, network.scores(frames[2:4]), atol=1e-3)


def test_the_client_side_never_opens_the_plan(
    case: tuple[FoldedNetwork, Path, np.ndarray], tmp_path: Path
) -> None:
    _, plan, frames = case
    alone = tmp_path / "client" / "plan.npz"  # there is no such file
    alone.parent.mkdir()
    with pytest.raises(PlanError, match=r"signature\.json.*notebook \(03\)"):
        evaluate_encrypted(alone, frames, tmp_path / "work", Refusing(), in_flight=1)
    shutil.copy(plan.with_name("signature.json"), alone.parent)
    first = evaluate_encrypted(plan, frames, tmp_path / "work", Inline(), in_flight=1)
    again = evaluate_encrypted(alone, frames, tmp_path / "work", Refusing(), in_flight=1)
    np.testing.assert_array_equal(first.scores, again.scores)
    with pytest.raises(PlanError, match=r"plan\.npz"):  # it is the server that wants the plan
        evaluate_encrypted(alone, frames, tmp_path / "other", Inline(), in_flight=1)


def test_server_failure_reaches_the_caller(
    case: tuple[FoldedNetwork, Path, np.ndarray], tmp_path: Path
) -> None:
    _, plan, _ = case
    with pytest.raises(HeclstmError, match="register the client again"):
        evaluate_request(plan, tmp_path / "none", tmp_path / "request", tmp_path / "response")
    damaged = tmp_path / "damaged"
    damaged.write_bytes(b"HECLSTM1" + json.dumps({}).encode())
    with pytest.raises(WireError):
        evaluate_request(plan, damaged, tmp_path / "request", tmp_path / "response")


def test_agreement_counts_flips_and_bits() -> None:
    clear = np.array([0.5, -0.5, 0.01, 1.0])
    found = agreement(clear, clear + np.array([0, 2**-9, -(2**-5), 2**-9]), threshold=0.0)
    assert (found["n"], found["flips"], found["flip_rate"]) == (4, 1, 0.25)
    assert found["worst_bits"] == pytest.approx(5)
    assert found["precision_bits"] == pytest.approx(-np.log2((2**-8 + 2**-5) / 4))
    assert found["flip_rate_low"] < 0.25 < found["flip_rate_high"]


def test_several_networks_on_one_sequence_are_one_trial() -> None:
    """Five seeds on 40 sequences: all 200 decisions counted, the interval that of 40."""
    clear = np.tile(np.linspace(-1, 1, 40), 5)
    encrypted = clear + np.where(np.arange(200) % 20 == 0, 5.0, 1e-6)  # ten of them flip
    names = [f"s{i}" for i in range(40)] * 5
    found = agreement(clear, encrypted, 0.0, names)
    flips = int(np.sum((clear >= 0) != (encrypted >= 0)))
    assert (found["n"], found["n_sequences"], found["flips"]) == (200, 40, flips)
    assert found["flip_rate"] == flips / 200
    expected = wilson_interval(flips / 5, 40)
    assert (found["flip_rate_low"], found["flip_rate_high"]) == pytest.approx(expected)
    alone = agreement(clear, encrypted, 0.0)
    assert alone["n_sequences"] == 200 and alone["flip_rate_high"] < found["flip_rate_high"]
