"""`heclstm plan`: JSON for machines, a table for people, no key anywhere."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from heclstm_lib import cli
from heclstm_lib.compiler.untrained import untrained_model
from heclstm_lib.config import load_profile
from heclstm_lib.he.params import GUIDELINES_2024, STANDARD_2018
from heclstm_lib.he.store import load_plan, load_signature
from heclstm_lib.models.checkpoint import TrainedModel, write_bundle
from heclstm_lib.models.normalise import Normaliser

LAYERS = ["blocks.0.conv", "blocks.0.activation", "lstm.input", "lstm.t0", "lstm.t1", "voting"]
PROFILE = """
name: tiny
studies:
  - dataset: embedded
    data: {{frames: {frames}, image_size: 28, colour: gray}}
    model: {{conv_channels: [4], hidden: 4}}
    he: {{poly_degree: {degree}, sequences: 1}}
"""


def run_json(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, Any]:
    assert cli.main(["plan", *arguments, "--json"]) == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def test_json_is_within_both_security_tables(capsys: pytest.CaptureFixture[str]) -> None:
    plan = run_json(capsys, "--profile", "smoke")
    security, degree = plan["security"], plan["security"]["poly_degree"]
    assert degree == 16384 and security["secure"] and security["within_2018"]
    assert security["total_bits"] <= min(STANDARD_2018[degree], GUIDELINES_2024[degree])
    assert security["limit_2018_bits"] == STANDARD_2018[degree]
    assert security["limit_2024_bits"] == GUIDELINES_2024[degree]
    assert plan["levels"] == plan["depth"]
    assert set(LAYERS) <= {row["layer"] for row in plan["layers"]}
    assert sum(plan["operations"].values()) == len(plan["ops"])
    assert plan["galois_keys"] == len(plan["rotation_steps"])


def test_table_for_people(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["plan", "--profile", "smoke"]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith("layer ") and all(f"\n{layer} " in shown for layer in LAYERS)
    assert "within both" in shown and "EXCEEDED" not in shown
    assert "N = 16384, 8192 slots, 8 sequence(s) together" in shown
    assert "by predicted time" in shown and " chosen" in shown


def test_model_sequences_and_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    torch.manual_seed(0)
    model = untrained_model(load_profile("smoke").studies[0])
    normaliser = Normaliser(np.zeros(1, np.float32), np.ones(1, np.float32))
    write_bundle(TrainedModel(model, normaliser, 0.0), tmp_path / "polynomial.pt")
    options = ["--profile", "smoke", "--model", str(tmp_path / "polynomial.pt")]
    plan = run_json(capsys, *options, "--batch", "2", "--out", str(tmp_path / "plan.npz"))
    assert plan["sequences_per_batch"] == 2
    assert load_plan(tmp_path / "plan.npz").digest == plan["digest"]
    assert load_signature(tmp_path / "signature.json").digest == plan["digest"]


def test_candidates_and_limits(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    path = tmp_path / "tiny.yml"
    path.write_text(PROFILE.format(frames=2, degree=16384).replace(", sequences: 1", ""))
    free = run_json(capsys, "--profile", str(path), "--sequences", "600")
    first, *others = free["candidates"]
    assert first["verdict"] == "chosen" and first["sequences"] == free["sequences_per_batch"]
    usable = [one["task_s"] for one in others if not one["verdict"]]
    assert len(usable) > 5 and [first["task_s"], *usable] == sorted([first["task_s"], *usable])
    limit = str(first["batch_s"] * 0.9)
    quick = run_json(capsys, "--profile", str(path), "--sequences", "600", "--latency-s", limit)
    assert quick["candidates"][0]["batch_s"] < float(limit)
    assert any("are allowed" in one["verdict"] for one in quick["candidates"])


@pytest.mark.parametrize(
    ("frames", "degree", "message"),
    [
        (2, 12345, "poly_degree 12345 has no entry"),
        (4, 16384, "the network needs 19 levels"),
    ],
)
def test_what_does_not_fit_is_one_message(
    frames: int, degree: int, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "tiny.yml"
    path.write_text(PROFILE.format(frames=frames, degree=degree), encoding="utf-8")
    assert cli.main(["plan", "--profile", str(path)]) == 2
    captured = capsys.readouterr()
    assert captured.out == "" and message in captured.err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--profile", "nosuch"], "unknown profile 'nosuch'; shipped: breakhis, default"),
        (["--dataset", "nosuch"], "has no data set 'nosuch'"),
        (["--sequences", "0"], "--sequences: expected at least 1, got 0"),
        (["--model", "no/such.pt"], "no/such.pt: cannot be read"),
    ],
)
def test_unknown_inputs_are_one_message(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["plan", *arguments]) == 2
    assert message in capsys.readouterr().err


def test_refresh_shows_segments(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ("--profile", "smoke", "--refresh", "--degree", "16384")
    plan = run_json(capsys, *arguments)
    trips = plan["round_trips"]
    assert trips >= 1 and len(plan["segments"]) == trips + 1
    assert plan["hiding_bits"] > 40 and plan["operations"]["refresh"] == trips
    assert [segment["level_in"] for segment in plan["segments"]] == [7] + [5] * trips
    sizes = [segment["sent_bytes"] + segment["returned_bytes"] for segment in plan["segments"]]
    assert sizes[-1] == 0 and sum(sizes) == plan["refresh_bytes_per_batch"] > 0
    assert cli.main(["plan", *arguments]) == 0
    shown = capsys.readouterr().out
    assert f"refreshes       {trips} round trips, " in shown and " segment " in shown
