"""Refreshes across processes: files that wait for each other."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from heclstm_lib.compiler.refresh_plan import choose_refresh_parameters, plan_refresh
from heclstm_lib.errors import WireError
from heclstm_lib.evaluation import correspondence
from heclstm_lib.evaluation.correspondence import Correspondent, open_messages, reply_path
from heclstm_lib.evaluation.encrypted import evaluate_encrypted
from heclstm_lib.he.store import load_signature, write_plan, write_signature
from heclstm_lib.models.folded import GATES, FoldedNetwork, GateForm


@pytest.fixture(scope="module")
def network() -> FoldedNetwork:
    """Three frames of 6x6 pixels, two units."""
    rng = np.random.default_rng(5)
    form = GateForm.from_coefficients(np.array([0.5, 0.25, 0.05]))
    return FoldedNetwork(
        frames=3,
        image_size=6,
        stride=3,
        conv_weight=rng.normal(size=(1, 1, 3, 3)) / 3,
        conv_bias=rng.normal(size=1) / 10,
        dense=(),
        gates=(form,) * len(GATES),
        gate_input=rng.normal(size=(4, 2, 4)) / 10,
        gate_bias=rng.normal(size=(4, 2)) / 10 + form.shift,
        gate_recurrent=rng.normal(size=(4, 2, 2)) / 10,
        spatial=rng.normal(size=(3, 4)) / 4,
        temporal=rng.normal(size=(3, 2)),
        bias=0.2,
    )


@pytest.fixture(scope="module")
def plan_path(network: FoldedNetwork, tmp_path_factory: pytest.TempPathFactory) -> Path:
    plan = plan_refresh(network, choose_refresh_parameters(network, 16384), 2)
    path = tmp_path_factory.mktemp("plan") / "plan.npz"
    write_plan(plan, path)
    write_signature(plan.signature, path.with_name("signature.json"))
    return path


def test_signature_tells_the_client_what_to_refresh(plan_path: Path) -> None:
    refreshes = load_signature(plan_path.with_name("signature.json")).refreshes
    assert [(one.sent_level, one.level) for one in refreshes] == [(1, 5), (1, 5)]


def test_batches_with_refreshes_through_a_worker(
    network: FoldedNetwork, plan_path: Path, tmp_path: Path
) -> None:
    frames = np.random.default_rng(6).normal(size=(3, 3, 1, 6, 6))
    with ThreadPoolExecutor(1) as executor:
        run = evaluate_encrypted(plan_path, frames, tmp_path, executor, in_flight=2)
    np.testing.assert_allclose(run.scores, network.scores(frames), atol=1e-4)
    batches = run.batches
    assert list(batches.sequences) == [2, 1] and list(batches.round_trips) == [2, 2]
    assert (batches.refresh_bytes > 2 * 800_000).all() and (batches.refresh_s > 0).all()
    assert {"mask", "refresh"} < set(run.operations.kind) and "wait" not in set(run.operations.kind)
    assert [path.name for path in tmp_path.iterdir()] == ["finished"]


def test_messages_are_open_until_they_have_a_reply(tmp_path: Path) -> None:
    for name in (
        "response-0.refresh0",
        "response-2.refresh1",
        ".response-4.refresh0.part",
        "other",
    ):
        (tmp_path / name).touch()
    first, second = open_messages(tmp_path)
    assert (first.name, second.name) == ("response-0.refresh0", "response-2.refresh1")
    reply_path(first).touch()
    assert open_messages(tmp_path) == [second]


def test_a_message_cleared_meanwhile_is_not_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "response.refresh0").touch()

    def server_clears(message: Path) -> Path:
        message.unlink()
        return reply_path(message)

    monkeypatch.setattr(correspondence, "reply_path", server_clears)
    assert open_messages(tmp_path) == []


def test_a_server_waits_and_cleans_up(tmp_path: Path) -> None:
    message = tmp_path / "response.refresh0"
    message.write_bytes(b"12345")
    reply_path(message).write_bytes(b"123")
    ask = Correspondent(patience_s=0.01)
    assert ask(message) == reply_path(message)
    assert (ask.round_trips, ask.refresh_bytes) == (1, 8)
    ask.clear()
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(WireError, match=r"did not re-encrypt the state in 0\.01 s"):
        ask(message)
