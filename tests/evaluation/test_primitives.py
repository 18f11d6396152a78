"""Costs exist for everything a plan does, and the floor adds them up."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from heclstm_lib.evaluation import primitives
from heclstm_lib.he.params import CkksParameters

PARAMS = CkksParameters(poly_degree=8192, levels=2, scale_bits=40, first_bits=50, special_bits=60)


def test_every_primitive_is_measured_at_every_level_it_exists(tmp_path: Path) -> None:
    table = primitives.load_primitives(PARAMS, tmp_path, repeats=1)
    levels = table.groupby("kind")["level"].apply(set)
    assert set(levels.index) == set(primitives.MEASURED)
    assert levels["rotate"] == {0, 1, 2}
    assert levels["rescale"] == {1, 2}
    assert (table.seconds > 0).all()


def test_costs_are_measured_once_per_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = primitives.load_primitives(PARAMS, tmp_path, repeats=1)
    monkeypatch.setattr(primitives, "measure_primitives", lambda *_: pytest.fail("measured twice"))
    pd.testing.assert_frame_equal(first, primitives.load_primitives(PARAMS, tmp_path, repeats=1))
