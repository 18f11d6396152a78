"""Our rows of notebook 06: probabilities of validation patients, encrypted only where complete."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from heclstm_lib.evaluation.calibration import platt_scaling
from heclstm_lib.evaluation.ensemble import ensemble_rows
from heclstm_lib.results import ResultStore
from heclstm_lib.stages.evidence import OUR_ENCRYPTED, OUR_ENSEMBLE, OURS, Evidence
from heclstm_lib.stages.method_tables import method_metrics, our_rows

COUNT = 40


def make_part(part: str, twin: str, fold: int) -> pd.DataFrame:
    names = [f"{part}{i:03}" for i in range(COUNT)]
    labels = np.arange(COUNT) % 4 // 3  # a quarter is ill, so that raw logits of balance are wrong
    noise = np.random.default_rng(fold).normal(0, 1, COUNT)
    score = (fold + 1) * (labels + noise) + 3.0
    base = {"sequence_id": names, "patient_id": names, "label": labels, "score": score}
    return pd.DataFrame(base | {"threshold": 3.0, "fold": fold, "twin": twin, "part": part})


@pytest.fixture
def store(tmp_path: Path) -> ResultStore:
    """Notebook 02 of two seeds on one split, and notebook 05."""
    found = ResultStore(tmp_path)
    parts = [
        make_part(part, twin, fold)
        for part in ("val", "test")
        for twin in ("exact", "polynomial")
        for fold in (0, 1)
    ]
    rows = pd.concat(parts, ignore_index=True)
    rows = pd.concat([rows, ensemble_rows(rows, 0.9)], ignore_index=True)
    found.write_table("02_plaintext_training.predictions", rows)
    test = rows[(rows.twin == "polynomial") & (rows.part == "test")].drop(columns=["twin", "part"])
    variants = [test.assign(method=name) for name in ("full", "sru", "no_lstm", "bi_lstm")]
    found.write_table("05_ablations.predictions", pd.concat(variants, ignore_index=True))
    return found


def write_scores(store: ResultStore, count: int) -> None:
    rows = Evidence(store).twin("polynomial").drop(columns=["twin", "part"]).head(count)
    scores = rows.assign(encrypted=rows.score + 1e-6)
    store.write_table("04_encrypted_evaluation.scores", scores)


def test_our_probabilities_are_scaled_as_every_methods_are(store: ResultStore) -> None:
    evidence = Evidence(store)
    rows = our_rows(evidence)
    variants = ["sru", "bi_lstm, HE-friendly"]  # not as the exact competitor is called
    assert list(dict.fromkeys(rows.method)) == [OURS, "exact", OUR_ENSEMBLE, *variants]
    for name, twin in ((OURS, "polynomial"), ("exact", "exact")):
        own = rows[rows.method == name]
        expected = platt_scaling(evidence.twin(twin, "val"), evidence.twin(twin))
        np.testing.assert_allclose(own.probability, expected)
    means = rows[~rows.method.isin(variants)].groupby("method").probability.mean()
    np.testing.assert_allclose(means, 0.25, atol=0.06)  # a raw sigmoid would say 0.9


def test_a_variant_without_validation_scores_has_no_brier_score(store: ResultStore) -> None:
    rows = our_rows(Evidence(store))
    assert rows[rows.method == "sru"].probability.isna().all()
    table = method_metrics(rows, 20).set_index(["method", "metric"])
    assert np.isnan(
        table.loc[("sru", "brier"), ["estimate", "ci_low", "ci_high"]].astype(float)
    ).all()
    without = [(name, "brier") for name in ("sru", "bi_lstm, HE-friendly")]
    assert np.isfinite(table.estimate.drop(without)).all()
    own = rows[rows.method == OURS]
    brier = ((own.probability - own.label) ** 2).mean()
    assert table.estimate[OURS, "brier"] == pytest.approx(brier)


def test_the_encrypted_network_has_a_row_where_every_sequence_was_evaluated(
    store: ResultStore,
) -> None:
    write_scores(store, COUNT + 3)
    assert OUR_ENCRYPTED not in set(our_rows(Evidence(store)).method)
    write_scores(store, 2 * COUNT)
    rows = our_rows(Evidence(store))
    clear, encrypted = (rows[rows.method == name].reset_index(drop=True)
                        for name in (OURS, OUR_ENCRYPTED))  # fmt: skip
    np.testing.assert_allclose(encrypted.score, clear.score + 1e-6)
    np.testing.assert_allclose(encrypted.probability, clear.probability, atol=1e-5)
