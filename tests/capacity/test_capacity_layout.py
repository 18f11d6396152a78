"""A plan's facts against its real messages, workers and a real batch of encrypted requests."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from networks import make_network

from heclstm_lib.capacity.layout import layout_of
from heclstm_lib.capacity.layouts import layouts_of, plan_layouts
from heclstm_lib.capacity.validate import (
    Case,
    batch_spread,
    load_validation,
    summary_table,
    validate,
    write_validation,
)
from heclstm_lib.compiler.planner import Candidate
from heclstm_lib.errors import PlanError, ReportError
from heclstm_lib.evaluation.cost_model import CostLibrary
from heclstm_lib.service.sizes import bundle_sizes, request_sizes

COSTS = CostLibrary(pd.DataFrame(columns=["kind", "level", "seconds", "poly_degree", "levels"]))


@pytest.fixture(scope="module")
def found() -> list[Candidate]:
    network = make_network(hidden=0)
    return plan_layouts(network, 8192, COSTS.seconds, 8.0, together=(1, 4, 64))


def test_layouts_are_the_fastest_plans(found: list[Candidate]) -> None:
    layouts = layouts_of(found, COSTS.seconds)
    assert [layout.together for layout in layouts] == [1, 4, 64]
    a_sequence = [layout.batch_s / layout.together for layout in layouts]
    assert a_sequence == sorted(a_sequence, reverse=True)
    for layout, candidate in zip(layouts, found, strict=True):
        assert layout.batch_s >= candidate.seconds
        sizes = request_sizes(candidate.plan)
        assert sizes.least <= layout.request_bytes <= sizes.most
        keys = bundle_sizes(candidate.plan)
        assert keys.least <= layout.bundle_bytes <= keys.most
        assert layout.memory_bytes > candidate.plan.key_bytes()


def test_efficiency_scales_seconds_only(found: list[Candidate]) -> None:
    plain = layout_of(found[0].plan, COSTS.seconds)
    half = layout_of(found[0].plan, COSTS.seconds, efficiency=0.5)
    assert half.batch_s == pytest.approx(2 * plain.batch_s)
    assert half.load_s == pytest.approx(2 * plain.load_s)
    assert half.request_bytes == plain.request_bytes


def test_no_layout_at_all_says_why() -> None:
    network = make_network(frames=4, hidden=4)
    with pytest.raises(PlanError, match="levels"):
        plan_layouts(network, 8192, COSTS.seconds, 8.0, together=(1, 2))


def test_real_batches_beside_their_prediction(found: list[Candidate], tmp_path: Path) -> None:
    case = Case("tiny", found[1].name, found[1].plan, requests=3)
    said: list[str] = []
    runs = validate([case], COSTS.seconds, workers=(1, 2), repeats=1, say=said.append)
    assert runs.workers.tolist() == [1, 2] and len(said) == 3
    assert (runs.precision_bits > 8).all()
    for name in ("request_bytes", "response_bytes", "bundle_bytes"):
        ratio = runs[f"predicted_{name}"] / runs[f"measured_{name}"]
        assert ratio.between(0.97, 1.03).all(), name
    assert (runs.measured_worker_bytes > 50e6).all() and (runs.cpu_s > 0).all()
    assert (runs.measured_seconds > 0).all()

    page = write_validation(runs, tmp_path, "a command")
    write_validation(runs, tmp_path, "again")  # replaces
    kept = load_validation(tmp_path)
    assert len(kept) == 2 and len(batch_spread(kept)) == 2
    record = json.loads(page.read_text(encoding="utf-8"))
    assert [run["command"] for run in record["runs"]] == ["again"] and record["provenance"]["cpu"]
    summary = summary_table(kept)
    one = summary[(summary.quantity == "seconds") & (summary.workers == 1)].iloc[0]
    assert one.error == pytest.approx(one.predicted / one.measured - 1)
    assert np.isfinite(one.measured)
    with pytest.raises(ReportError, match="--validate"):
        load_validation(tmp_path / "nothing")


def test_the_committed_validation_is_whole(root: Path) -> None:
    if not (root / "reports" / "capacity").is_dir():
        pytest.skip("no validation runs are committed: run `heclstm capacity --validate`")
    runs = load_validation(root / "reports" / "capacity")
    assert set(runs.workers) == {1, 2}
    assert (runs.groupby(["case", "layout", "workers"]).size() >= 3).all()
    assert runs[["case", "layout"]].drop_duplicates().shape[0] >= 2
    assert (runs.precision_bits > 8).all()
