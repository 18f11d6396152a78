"""Paired decisions, contributions and the waterfall on tables made by hand."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from heclstm_lib.errors import DataError
from heclstm_lib.evaluation.metrics import Decisions, specificity
from heclstm_lib.evaluation.paired import (
    auc_tests,
    compare_decisions,
    contribution_table,
    flip_table,
)
from heclstm_lib.evaluation.statistics import holm, mcnemar_test
from heclstm_lib.evaluation.waterfall import common_sequences, waterfall_table

COUNT = 60


def make_method(name: str, signal: float, seed: int = 0, threshold: float = 0.5) -> pd.DataFrame:
    labels = np.arange(COUNT) % 2
    noise = np.random.default_rng(seed).normal(0, 1, COUNT)
    return pd.DataFrame(
        {
            "method": name,
            "sequence_id": [f"s{i:02}" for i in range(COUNT)],
            "patient_id": [f"p{i // 2:02}" for i in range(COUNT)],
            "label": labels,
            "score": signal * labels + noise,
            "threshold": threshold,
            "fold": 0,
        }
    )


@pytest.fixture
def rows() -> pd.DataFrame:
    return pd.concat([make_method("full", 2.0), make_method("less", 0.5), make_method("b", 1, 7)])


def test_mcnemar_among_the_ill_and_the_well(rows: pd.DataFrame) -> None:
    table = compare_decisions(rows, "full")
    assert table.method.tolist() == ["less", "less", "b", "b"]
    right = {
        name: ((part.score >= part.threshold) == (part.label == 1)).to_numpy()
        for name, part in rows.groupby("method")
    }
    for row in table.itertuples():
        own = np.arange(COUNT) % 2 == (1 if row.among == "ill" else 0)
        first, second = right["full"][own], right[row.method][own]
        assert row.p == pytest.approx(mcnemar_test(first, second))
        assert (row.reference_only, row.method_only) == (
            int(np.sum(first & ~second)), int(np.sum(~first & second)))  # fmt: skip
        assert row.flips == row.reference_only + row.method_only and row.n == COUNT // 2
    assert table.p_holm.tolist() == pytest.approx(holm(table.p.tolist()))
    lesser = table[(table.method == "less") & (table.among == "ill")].iloc[0]
    assert lesser.reference_only > 0 and lesser.method_only == 0 and lesser.g == -0.5


def test_a_sequence_scored_in_two_folds_counts_once(rows: pd.DataFrame) -> None:
    twice = pd.concat([rows, rows.assign(fold=1, score=rows.score - 5)])
    pd.testing.assert_frame_equal(compare_decisions(twice, "full"), compare_decisions(rows, "full"))


def test_contributions_are_full_minus_variant(rows: pd.DataFrame) -> None:
    table = contribution_table(rows, "full", 100).set_index(["variant", "metric"])
    parts = dict(list(rows.groupby("method")))
    for name in ("less", "b"):
        areas = [roc_auc_score(parts[n].label, parts[n].score) for n in ("full", name)]
        assert table.estimate[name, "auc"] == pytest.approx(areas[0] - areas[1])
        ends = [specificity(Decisions.of(parts[n])) for n in ("full", name)]
        assert table.estimate[name, "specificity"] == pytest.approx(ends[0] - ends[1])
    assert table.ci_low["less", "auc"] > 0
    assert table.estimate["less", "missed_diagnosis_rate"] < 0
    assert table.estimate["less", "missed_at_equal_referral"] < 0
    assert table.n_patients.unique().tolist() == [COUNT // 2]
    assert (table.p_holm >= table.p).all()
    for _, family in table.reset_index().groupby("metric"):  # each metric is a family of its own
        assert family.p_holm.tolist() == pytest.approx(holm(family.p.tolist()))


def test_a_lower_threshold_is_no_contribution_at_equal_referral() -> None:
    full = make_method("full", 1.0)
    eager = full.assign(method="eager", threshold=-3.0)
    table = contribution_table(pd.concat([full, eager]), "full", 50).set_index("metric")
    assert table.estimate["missed_diagnosis_rate"] > 0
    assert table.estimate["missed_at_equal_referral"] == 0


def test_delong_stands_beside_effect_sizes(rows: pd.DataFrame) -> None:
    table = auc_tests(rows, "full").set_index("method")
    assert np.isnan(table.p_delong["full"])
    assert table.difference["less"] == pytest.approx(table.auc["less"] - table.auc["full"])
    assert table.d_difference["less"] == pytest.approx(table.d["less"] - table.d["full"])
    assert table.p_delong["less"] < 0.05
    known = table.p_delong[["less", "b"]].tolist()
    assert table.p_delong_holm[["less", "b"]].tolist() == pytest.approx(holm(known))


def test_flips_carry_n_and_an_interval(rows: pd.DataFrame) -> None:
    table = flip_table(rows, "full").set_index("method")
    called = {n: (p.score >= p.threshold).to_numpy() for n, p in rows.groupby("method")}
    assert table.flips["b"] == np.sum(called["b"] != called["full"])
    assert table.n.tolist() == [COUNT] * 2
    assert (table.flip_rate_low < table.flip_rate).all()
    again = pd.concat([rows.assign(fold=fold) for fold in range(5)], ignore_index=True)
    many = flip_table(again, "full").set_index("method")
    assert many.n.tolist() == [5 * COUNT] * 2 and many.n_sequences.tolist() == [COUNT] * 2
    assert (many.flips == 5 * table.flips).all()
    ends = ["flip_rate_low", "flip_rate_high"]
    np.testing.assert_allclose(many[ends], table[ends])


def make_steps() -> dict[str, pd.DataFrame]:
    exact = make_method("x", 2.0).drop(columns="method")
    noise = np.random.default_rng(9).normal(0, 0.4, COUNT)
    friendly = exact.assign(score=exact.score + noise, threshold=0.4)
    encrypted = friendly.assign(score=friendly.score + 1e-6)
    return {"exact": exact, "friendly": friendly, "encrypted": encrypted.iloc[:50]}


def test_waterfall_is_measured_on_common_sequences() -> None:
    steps = make_steps()
    table = waterfall_table(steps, 100)
    assert table.step.tolist() == list(steps)
    assert table.n_sequences.tolist() == table.n_decisions.tolist() == [50] * 3
    twice = {name: pd.concat([rows, rows.assign(fold=1)]) for name, rows in steps.items()}
    again = waterfall_table(twice, 20)
    assert again.n_decisions.tolist() == [100] * 3 and again.n_sequences.tolist() == [50] * 3
    ends = ["flip_rate_low", "flip_rate_high"]
    np.testing.assert_allclose(again[ends], table[ends])
    areas = [roc_auc_score(s.label.iloc[:50], s.score.iloc[:50]) for s in steps.values()]
    assert table.estimate.tolist() == pytest.approx(areas)
    assert table.change.iloc[1:].tolist() == pytest.approx(np.diff(areas).tolist())
    assert np.isnan(table.change[0]) and np.isnan(table.p_holm[0])
    assert table.flips[2] == 0 and table.flip_rate_high[2] > 0
    called = [(s.score >= s.threshold).to_numpy()[:50] for s in steps.values()]
    assert table.flips[1] == np.sum(called[0] != called[1])
    assert np.isnan(table.score_change[1])  # two networks: scores do not compare
    assert table.score_change[2] == pytest.approx(1e-6)


def test_waterfall_without_common_sequences_is_refused() -> None:
    steps = make_steps()
    steps["encrypted"] = steps["encrypted"].assign(fold=3)
    with pytest.raises(DataError, match="no test sequence in common"):
        common_sequences(steps)
