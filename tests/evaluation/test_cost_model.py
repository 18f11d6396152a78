"""Costs for any parameters: measured where they were, modelled elsewhere, and saying which."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from heclstm_lib.errors import PlanError
from heclstm_lib.evaluation.cost_model import (
    CostLibrary,
    cost_terms,
    estimate_primitives,
    fit_coefficients,
    load_costs,
)
from heclstm_lib.evaluation.primitive_calls import MEASURED
from heclstm_lib.evaluation.reference_costs import REFERENCE
from heclstm_lib.he.params import CkksParameters

NOTHING = pd.DataFrame(columns=["kind", "level", "seconds", "poly_degree", "levels"])


def params(degree: int = 16384, levels: int = 8) -> CkksParameters:
    return CkksParameters(degree, levels, scale_bits=36, first_bits=46, special_bits=60)


def made_up(degrees: tuple[int, ...], levels: int, speed: float) -> pd.DataFrame:
    """Tables of a processor that is `speed` times slower than the reference, exactly."""
    rows = [
        (kind, level, speed * float(cost_terms(kind, degree, level) @ REFERENCE[kind]), degree)
        for kind in REFERENCE
        for degree in degrees
        for level in range(levels + 1)
    ]
    table = pd.DataFrame(rows, columns=["kind", "level", "seconds", "poly_degree"])
    return table.assign(levels=levels)


def test_the_reference_knows_every_primitive() -> None:
    assert set(REFERENCE) == set(MEASURED)
    library = CostLibrary(NOTHING)
    for kind in MEASURED:
        cheap, dear = (library.seconds(kind, level, params()) for level in (1, 8))
        assert 0 < cheap < dear
    assert library.model(params()).source.startswith("a model of operation counts on AMD")


def test_published_orders_of_magnitude_hold_on_the_reference() -> None:
    """A rotation costs about 50 plaintext products at depth 19 and 20 at depth 8; a quadratic
    law in the level (he_facts: a multiply by plaintext is 1:45 without rescale)."""
    library = CostLibrary(NOTHING)
    deep, shallow = params(32768, 19), params(16384, 8)
    ratio = library.seconds("rotate", 19, deep) / library.seconds("multiply_plain", 19, deep)
    assert 30 < ratio < 60
    product = library.seconds("multiply_plain", 8, shallow)
    assert library.seconds("rotate", 8, shallow) / product > 15
    growth = library.seconds("rotate", 19, deep) / library.seconds("rotate", 9, deep)
    assert 3 < growth < 4.5


def test_measurements_win_whatever_the_length_of_the_chain() -> None:
    table = made_up((16384,), 8, speed=2.0)
    library = CostLibrary(table)
    wanted = table[(table.kind == "rotate") & (table.level == 5)].seconds.item()
    for levels in (5, 6, 8):
        assert library.seconds("rotate", 5, params(levels=levels)) == wanted
        assert library.model(params(levels=levels)).source.startswith("measured on ")
    assert "model" not in library.model(params(levels=8)).source


def test_one_ring_degree_scales_the_reference() -> None:
    library = CostLibrary(made_up((16384,), 8, speed=2.0))
    reference = CostLibrary(NOTHING)
    deeper = params(levels=10)
    assert library.seconds("rotate", 10, deeper) == pytest.approx(
        2 * reference.seconds("rotate", 10, deeper)
    )
    source = library.model(deeper).source
    assert "for levels above 8" in source and "scaled by 2.00" in source
    assert library.model(params(32768, 4)).source.startswith("a model of operation counts")


def test_two_ring_degrees_make_a_model_of_their_own() -> None:
    slow = made_up((8192, 16384), 6, speed=3.0)
    slow.loc[slow.kind == "encode", "seconds"] *= 5  # a processor may differ in one primitive
    library, reference = CostLibrary(slow), CostLibrary(NOTHING)
    wide = params(32768, 12)
    assert library.seconds("rotate", 12, wide) == pytest.approx(
        3 * reference.seconds("rotate", 12, wide), rel=0.05
    )
    assert library.seconds("encode", 12, wide) == pytest.approx(
        15 * reference.seconds("encode", 12, wide), rel=0.05
    )
    assert "fitted to measurements on" in library.model(wide).source


def test_fits_find_noisy_coefficients_and_skip_what_is_too_little() -> None:
    table = made_up((8192, 16384, 32768), 12, speed=1.0)
    table.seconds *= np.random.default_rng(0).uniform(0.95, 1.05, len(table))
    table = pd.concat([table[table.kind != "load"], table[table.kind == "load"].head(1)])
    found = fit_coefficients(table)
    assert "load" not in found and min(min(values) for values in found.values()) >= 0
    model = float(cost_terms("rotate", 32768, 12) @ np.array(found["rotate"]))
    truth = float(cost_terms("rotate", 32768, 12) @ np.array(REFERENCE["rotate"]))
    assert model == pytest.approx(truth, rel=0.03)


def test_inputs_are_loaded_and_unknown_kinds_are_named() -> None:
    library = CostLibrary(NOTHING)
    assert library.seconds("input", 8, params()) == library.seconds("load", 8, params())
    with pytest.raises(PlanError, match="'bootstrap': unknown primitive; there are: add"):
        library.seconds("bootstrap", 8, params())


def test_estimates_have_the_form_of_measurements(tmp_path: Path) -> None:
    table = estimate_primitives(params(levels=3), tmp_path)
    levels = table.groupby("kind")["level"].apply(set)
    assert levels["rotate"] == {0, 1, 2, 3} and levels["rescale"] == {1, 2, 3}
    assert levels["load"] == {3}
    assert load_costs(tmp_path).model(params(levels=3)).table().equals(table)
