"""Plans on disk: what is written is what is read; anything else is a PlanError with the remedy."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from networks import make_frames, make_network

from heclstm_lib.compiler.chain import choose_parameters
from heclstm_lib.compiler.network import plan_network
from heclstm_lib.errors import PlanError
from heclstm_lib.he.clear import evaluate_clear
from heclstm_lib.he.store import load_plan, load_signature, write_plan, write_signature

NETWORK = make_network(hidden=0)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "made" / "plan.npz"
    write_plan(plan_network(NETWORK, choose_parameters(NETWORK, 8192), 4), path)
    return path


def test_round_trip(path: Path) -> None:
    plan, frames = load_plan(path), make_frames(NETWORK, 4)
    np.testing.assert_allclose(
        evaluate_clear(plan, frames)[:, 0], NETWORK.scores(frames), atol=1e-9
    )
    assert [item.name for item in path.parent.iterdir()] == ["plan.npz"]


def test_altered_weight_is_noticed(path: Path) -> None:
    with np.load(path) as stored:
        parts = dict(stored)
    parts["constants"][0] += 1e-9
    np.savez(path, **parts)
    with pytest.raises(PlanError, match=r"plan\.npz: digest does not match"):
        load_plan(path)


@pytest.mark.parametrize("damage", ["empty", "cut", "text", "flipped", "other archive", "missing"])
def test_unreadable_plans(path: Path, damage: str) -> None:
    data = bytearray(path.read_bytes())
    if damage == "flipped":
        for place in range(100, len(data), 997):
            data[place] ^= 255
    if damage == "other archive":
        np.savez(path, scores=np.zeros(3))
        data = bytearray(path.read_bytes())
    damaged = {"empty": b"", "cut": data[: len(data) // 2], "text": b"no plan"}.get(damage, data)
    path.write_bytes(damaged)
    if damage == "missing":
        path.unlink()
    with pytest.raises(PlanError, match=r"plan\.npz"):
        load_plan(path)


def test_signature_round_trip_is_small(path: Path) -> None:
    signature, target = load_plan(path).signature, path.with_name("signature.json")
    write_signature(signature, target)
    assert load_signature(target) == signature
    assert set(json.loads(target.read_text())) == {
        "params", "layout", "inputs", "outputs", "rotations", "refreshes", "digest",
        "input_range", "normalisation", "sha256",
    }  # fmt: skip
    assert sorted(item.name for item in path.parent.iterdir()) == ["plan.npz", "signature.json"]


@pytest.mark.parametrize("damage", ["missing", "cut", "list", "field", "slots", "content"])
def test_unreadable_signatures(path: Path, damage: str) -> None:
    target = path.with_name("signature.json")
    write_signature(load_plan(path).signature, target)
    text = target.read_text()
    raw = json.loads(text)
    raw["layout"] |= {"slots": 2048} if damage == "slots" else {}
    raw["inputs"]["patterns"][0] = raw["inputs"]["patterns"][0][
        : 3 if damage == "content" else None
    ]
    raw |= {"weights": []} if damage == "field" else {}
    damaged = {"cut": text[:40], "list": "[1]"}.get(damage, json.dumps(raw))
    target.write_text(damaged)
    if damage == "missing":
        target.unlink()
    with pytest.raises(PlanError, match=r"03|Plan again"):
        load_signature(target)


def test_a_signature_that_was_altered_is_noticed(path: Path) -> None:
    target = path.with_name("signature.json")
    write_signature(load_plan(path).signature, target)
    raw = json.loads(target.read_text())
    raw["rotations"] = raw["rotations"][1:]
    target.write_text(json.dumps(raw))
    with pytest.raises(PlanError, match=r"signature\.json: its checksum does not match"):
        load_signature(target)
    del raw["sha256"]
    target.write_text(json.dumps(raw))  # as other programs write it
    assert load_signature(target).rotations == tuple(raw["rotations"])


@pytest.mark.parametrize(
    ("place", "value", "field"),
    [
        (("params", "levels"), True, "levels"),
        (("params", "scale_bits"), 1 << 40, "scale_bits"),
        (("params", "poly_degree"), "8192", "poly_degree"),
        (("params", "end_bits"), 61, "end_bits"),
        (("params", "end_bits"), "30", "end_bits"),
        (("params", "end_bits"), False, "end_bits"),
        (("inputs", "frames"), 0.5, "inputs.frames"),
        (("inputs", "shape"), [], "inputs.shape"),
        (("inputs", "patterns"), [], "inputs.patterns"),
        (("outputs", "places"), [[0.0]], "outputs.places"),
        (("rotations",), [1, 1], "rotations"),
        (("rotations",), ["1"], "rotations"),
        (("digest",), "abc", "digest"),
        (("refreshes",), [{"sent_level": 0, "level": 99, "scale": 1.0}], "refreshes"),
    ],
)
def test_a_signature_with_impossible_fields(
    path: Path, place: tuple[str, ...], value: object, field: str
) -> None:
    target = path.with_name("signature.json")
    write_signature(load_plan(path).signature, target)
    raw = json.loads(target.read_text())
    del raw["sha256"]
    parent = raw
    for key in place[:-1]:
        parent = parent[key]
    parent[place[-1]] = value
    target.write_text(json.dumps(raw))
    with pytest.raises(PlanError, match=field):
        load_signature(target)


def test_weights_of_another_type_are_noticed(path: Path) -> None:
    with np.load(path) as stored:
        parts = dict(stored)
    parts["constants"] = parts["constants"].view(np.int64)  # the same bytes, the same digest
    np.savez(path, **parts)
    with pytest.raises(PlanError, match="constants are 1-dimensional int64"):
        load_plan(path)
