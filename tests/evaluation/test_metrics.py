"""Metrics against scikit-learn, and undefined where a class is missing."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scored import make_rows
from sklearn import metrics as sk

from heclstm_lib.evaluation.metrics import (
    METRICS,
    Decisions,
    metric_draws,
    metric_table,
    metrics_by,
)
from heclstm_lib.evaluation.statistics import patient_resamples, wilson_interval

halves = st.integers(-6, 6).map(lambda value: value / 2)  # many ties
cases = st.lists(st.tuples(halves, st.booleans()), min_size=2, max_size=40)


def evaluate(rows: pd.DataFrame) -> dict[str, float]:
    return {name: metric(Decisions.of(rows)) for name, metric in METRICS.items()}


@given(cases, halves)
def test_metrics_are_those_of_sklearn(pairs: list[tuple[float, bool]], threshold: float) -> None:
    scores, labels = np.array([s for s, _ in pairs]), np.array([int(y) for _, y in pairs])
    called = (scores >= threshold).astype(int)
    ours = evaluate(make_rows(scores.tolist(), labels.tolist(), threshold))
    nan = float("nan")
    both, ill, well = 0 < labels.sum() < len(labels), labels.any(), not labels.all()
    expected = {
        "auc": sk.roc_auc_score(labels, scores) if both else nan,
        "auc_pooled": sk.roc_auc_score(labels, scores) if both else nan,
        "accuracy": sk.accuracy_score(labels, called),
        "sensitivity": sk.recall_score(labels, called) if ill else nan,
        "missed_diagnosis_rate": 1 - sk.recall_score(labels, called) if ill else nan,
        "specificity": sk.recall_score(labels, called, pos_label=0) if well else nan,
        "f1": sk.f1_score(labels, called) if labels.any() or called.any() else nan,
        "brier": np.mean((1 / (1 + np.exp(-scores)) - labels) ** 2),
    }
    assert ours == pytest.approx(expected, nan_ok=True)


def test_brier_is_that_of_sklearn_and_bears_extreme_logits() -> None:
    scores, labels = [-1e9, -1.0, 0.5, 1e9], [0, 1, 1, 1]
    probability = [0.0, 1 / (1 + math.e), 1 / (1 + math.exp(-0.5)), 1.0]
    expected = sk.brier_score_loss(labels, probability)
    assert evaluate(make_rows(scores, labels))["brier"] == pytest.approx(expected)


def test_a_score_on_the_threshold_is_called_positive() -> None:
    rows = make_rows([0.5, 0.5], [1, 0], threshold=0.5)
    assert Decisions.of(rows).counts == (1, 1, 0, 0)


@pytest.mark.parametrize(
    ("label", "missing"), [(1, {"auc", "auc_pooled", "specificity"}), (0, None)]
)
def test_missing_class_is_nan(label: int, missing: set[str] | None) -> None:
    values = evaluate(make_rows([-1.0, -2.0], [label, label]))
    undefined = {name for name, value in values.items() if math.isnan(value)}
    assert undefined == (
        missing or {"auc", "auc_pooled", "sensitivity", "missed_diagnosis_rate", "f1"}
    )


def test_folds_are_pooled_relative_to_their_thresholds() -> None:
    """A fold whose logits are all shifted loses nothing once its threshold is shifted too."""
    first = make_rows([-1.0, 0.5, 1.0, 2.0], [0, 0, 1, 1], threshold=0.8).assign(fold=0)
    second = first.assign(score=first.score + 100, threshold=first.threshold + 100, fold=1)
    pooled = evaluate(pd.concat([first, second], ignore_index=True))
    alone = evaluate(first)
    for name in set(METRICS) - {"brier"}:
        assert pooled[name] == pytest.approx(alone[name])


def test_auc_compares_within_a_fold_whatever_the_thresholds_are() -> None:
    """Two folds of AUC 1 and 0.5, the second with twice the positives: 2 and 4 pairs."""
    first = make_rows([0.0, 1.0, 0.0], [0, 1, 0], threshold=-7.0).assign(fold=0)
    second = make_rows([0.0, 1.0, -1.0, 0.0], [0, 1, 1, 0], threshold=5.0).assign(fold=1)
    values = evaluate(pd.concat([first, second], ignore_index=True))
    assert values["auc"] == pytest.approx((2 * 1.0 + 4 * 0.5) / 6)
    assert values["auc_pooled"] != pytest.approx(values["auc"])


def test_table_counts_patients_sequences_and_resamples() -> None:
    rng = np.random.default_rng(0)
    labels = np.tile([0, 1], 10)
    rows = make_rows((labels + rng.normal(0, 1, 20)).tolist(), labels.tolist(), 0.5)
    rows["patient_id"] = [f"p{i // 4}" for i in range(20)]
    table = metric_table(rows, 50)
    assert table.metric.tolist() == list(METRICS)
    assert table.n_patients.unique().tolist() == [5]
    assert table.n_sequences.unique().tolist() == [20]
    assert table.resamples.unique().tolist() == [50]
    assert ((table.ci_low <= table.estimate) & (table.estimate <= table.ci_high)).all()


def test_resamples_without_a_class_are_left_out_and_counted() -> None:
    table = metric_table(make_rows([2.0, 1.0, -1.0], [1, 0, 0]), 200).set_index("metric")
    assert table.resamples["accuracy"] == 200
    expected = 200 * (1 - (2 / 3) ** 3)  # the one positive patient is drawn
    assert table.resamples["sensitivity"] == pytest.approx(expected, abs=4 * math.sqrt(200) / 2)
    one = metric_table(make_rows([2.0, 1.0], [1, 1]), 20).set_index("metric")
    assert one.resamples["auc"] == 0 and math.isnan(one.ci_low["auc"])


def test_by_group() -> None:
    rows = make_rows([2.0, -1.0, -1.0, 2.0], [1, 0, 1, 0]).assign(twin=["b", "b", "a", "a"])
    table = metrics_by(rows, "twin", 5)
    assert table.columns[0] == "twin" and table.twin.unique().tolist() == ["b", "a"]
    assert table.query("metric == 'auc'").estimate.tolist() == [1.0, 0.0]


@pytest.mark.parametrize("name", list(METRICS))
def test_draws_are_the_metric_of_every_resample(name: str) -> None:
    rng = np.random.default_rng(2)
    labels = rng.integers(0, 2, 24)
    rows = make_rows(np.round(labels + rng.normal(0, 1, 24), 1).tolist(), labels.tolist(), 0.5)
    rows = rows.assign(patient_id=np.repeat([f"p{i}" for i in range(8)], 3), fold=np.arange(24) % 3)
    sample, patients = Decisions.of(rows), rows.patient_id.to_numpy()
    one_by_one = [METRICS[name](sample.take(i)) for i in patient_resamples(patients, 40)]
    draws = metric_draws(METRICS[name], sample, patients, 40)
    np.testing.assert_allclose(draws, one_by_one, atol=1e-12)


def test_repeats_of_a_sequence_are_no_further_patients() -> None:
    rows = make_rows([2.0, 1.0, -1.0, -2.0], [1, 1, 0, 0]).assign(sequence_id=list("abcd"))
    repeated = pd.concat([rows.assign(fold=k) for k in range(5)], ignore_index=True)
    one, five = (metric_table(t, 50).set_index("metric") for t in (rows, repeated))
    assert five.n_sequences.unique().tolist() == [4]
    for name in ("missed_diagnosis_rate", "accuracy"):
        assert five.loc[name].tolist() == pytest.approx(one.loc[name].tolist())
    assert one.ci_high["missed_diagnosis_rate"] == wilson_interval(0, 2)[1]
