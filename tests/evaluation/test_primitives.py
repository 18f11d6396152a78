"""Costs exist for everything a plan does and are measured once a machine."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from heclstm_lib.evaluation import primitives
from heclstm_lib.he.params import CkksParameters
from heclstm_lib.he.plan import KINDS

PARAMS = CkksParameters(poly_degree=8192, levels=2, scale_bits=40, first_bits=50, special_bits=60)


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    return primitives.measure_primitives(PARAMS, repeats=1)


def test_every_primitive_is_measured_at_every_level_it_exists(table: pd.DataFrame) -> None:
    levels = table.groupby("kind")["level"].apply(set)
    assert set(levels.index) == set(primitives.MEASURED)
    assert set(KINDS) - {"input", "refresh"} <= set(primitives.MEASURED)
    assert levels["rotate"] == levels["encode"] == {0, 1, 2}
    assert levels["rescale"] == levels["mod_switch"] == {1, 2}
    assert levels["weighted_sum"] == levels["square"] == {0, 1, 2}
    assert levels["load"] == {2}
    assert (table.seconds > 0).all() and not table.duplicated(["kind", "level"]).any()


def test_a_weighted_sum_counts_per_argument(table: pd.DataFrame) -> None:
    cost = table.set_index(["kind", "level"])["seconds"]
    assert cost[("weighted_sum", 2)] < cost[("rotate", 2)], "200 products are no single one"


def test_only_what_is_asked_for_is_measured() -> None:
    only = {("add", 1), ("load", 2), ("rescale", 0)}  # the last does not exist
    table = primitives.measure_primitives(PARAMS, repeats=1, only=only)
    assert set(zip(table.kind, table.level, strict=True)) == {("add", 1), ("load", 2)}


def test_cheap_primitives_are_timed_more_often(table: pd.DataFrame) -> None:
    seconds, runs = primitives.median_seconds(lambda: None, repeats=7)
    assert (runs, seconds >= 0) == (7, True)
    ticks = iter([0.0, 10.0] * 20)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(primitives.time, "perf_counter", lambda: next(ticks))
        assert primitives.median_seconds(lambda: None, repeats=7) == (10.0, 3)
    assert (table.runs == 1).all()


def test_costs_are_measured_once_per_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, table: pd.DataFrame
) -> None:
    calls = []

    def measure(params: CkksParameters, *_: object, **__: object) -> pd.DataFrame:
        calls.append(params)
        return table

    monkeypatch.setattr(primitives, "measure_primitives", measure)
    first = primitives.load_primitives(PARAMS, tmp_path)
    pd.testing.assert_frame_equal(first, primitives.load_primitives(PARAMS, tmp_path))
    assert len(calls) == 1
    primitives.load_primitives(PARAMS, tmp_path, refresh=True)
    assert len(calls) == 2
    assert set(first.columns) >= {"kind", "level", "seconds", "cpu", "tenseal", "poly_degree"}
    monkeypatch.setattr(primitives, "cpu_model", lambda: "another processor")
    primitives.load_primitives(PARAMS, tmp_path)
    assert len(calls) == 3 and len(primitives.measured_tables(tmp_path)) == len(table)
    assert primitives.measured_tables(tmp_path / "none").empty
