"""Stored tables become steps, claims and cards; what is absent is said, not invented."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from heclstm_lib.config import DatasetStudy, load_profile
from heclstm_lib.data.manifest import load_manifest
from heclstm_lib.evaluation.calibration import calibration_table
from heclstm_lib.evaluation.comparison import compare_methods
from heclstm_lib.evaluation.metrics import metrics_by
from heclstm_lib.evaluation.paired import contribution_table
from heclstm_lib.methods.registry import METHODS
from heclstm_lib.results import ResultStore
from heclstm_lib.stages.cards import data_card, model_card, split_counts, table_text, write_card
from heclstm_lib.stages.claims import claims_table, verdict
from heclstm_lib.stages.encrypted_tables import OURS as ENCRYPTED_OURS
from heclstm_lib.stages.encrypted_tables import agreement_by_method, compare_encrypted
from heclstm_lib.stages.evidence import (
    Evidence,
    decision_rows,
    family_of,
    strongest_competitor,
    waterfall_steps,
)
from heclstm_lib.stages.workspace import open_workspace

COUNT = 40


def make_rows(signal: float, seed: int, **columns: object) -> pd.DataFrame:
    labels = np.arange(COUNT) % 2
    names = [f"E{i:04d}" for i in range(COUNT)]
    score = signal * labels + np.random.default_rng(seed).normal(0, 1, COUNT)
    base = {"sequence_id": names, "patient_id": names, "label": labels, "score": score}
    return pd.DataFrame(base | {"threshold": 0.5, "fold": 0}).assign(**columns)


def fill(store: ResultStore) -> None:
    """What notebooks 02 to 05 leave behind, in small."""
    parts = [
        make_rows(2.0, 0 if part == "test" else 1, twin=twin, part=part)
        for twin in ("exact", "polynomial")
        for part in ("val", "test")
    ]
    predictions = pd.concat(parts, ignore_index=True)
    test = predictions[predictions.part == "test"]
    friendly = test[test.twin == "polynomial"].drop(columns=["twin", "part"])
    friendly = friendly.reset_index(drop=True)
    store.write_table("02_plaintext_training.predictions", predictions)
    store.write_table("02_plaintext_training.metrics", metrics_by(test, "twin", 50))
    everything = pd.concat(
        [friendly.assign(method="polynomial"), make_rows(0.0, 5, method="mean colour")]
    )
    store.write_table(
        "02_plaintext_training.comparison", compare_methods(everything, "polynomial", 100)
    )
    scores = friendly.assign(encrypted=friendly.score + 1e-6)
    store.write_table("04_encrypted_evaluation.scores", scores.iloc[:30].reset_index(drop=True))
    store.write_table(
        "04_encrypted_evaluation.quantised", friendly.assign(quantised=friendly.score - 1e-7)
    )
    variants = [friendly.assign(method="full"), make_rows(0.2, 9, method="no_lstm")]
    store.write_table("05_ablations.predictions", pd.concat(variants, ignore_index=True))
    agreement = {
        "n": 60,
        "n_sequences": 30,
        "flips": 0,
        "flip_rate_low": 0.0,
        "flip_rate_high": 0.11,
    }
    numbers: dict[str, Any] = {
        "agreement": agreement | {"precision_bits": 19.5},
        "server_s_per_batch": 3.0,
    }
    store.write_result("04_encrypted_evaluation", {"headline": [], "numbers": numbers})
    security = {"poly_degree": 32768, "total_bits": 868, "limit_2024_bits": 868, "secure": True}
    store.write_result("03_he_conversion", {"numbers": {"plan": {"security": security}}})


@pytest.fixture
def evidence(tmp_path: Path) -> Evidence:
    store = ResultStore(tmp_path / "results")
    fill(store)
    return Evidence(store)


def add_methods(evidence: Evidence) -> None:
    rows = [
        make_rows(0.5, 11, method="linear_svm"),
        make_rows(1.0, 12, method="cnn3d"),
        make_rows(9.0, 13, method="class_prior"),  # a control, whatever it scores
        make_rows(9.0, 14, method="bi_lstm"),  # a variant of ours
    ]
    methods = pd.concat(rows, ignore_index=True)
    evidence.store.write_table("06_competing_methods.predictions", methods)
    ours = evidence.twin("polynomial").assign(method="ours")
    table = compare_methods(pd.concat([methods, ours], ignore_index=True), "ours", 100)
    evidence.store.write_table("06_competing_methods.comparison", table)


def test_steps_without_competitors(evidence: Evidence) -> None:
    steps = waterfall_steps(evidence)
    assert list(steps) == ["exact", "HE-friendly", "quantised", "encrypted"]
    assert strongest_competitor(evidence) is None
    difference = steps["encrypted"].score - steps["HE-friendly"].score.iloc[:30]
    assert np.allclose(difference, 1e-6, atol=1e-9)
    assert np.allclose(steps["quantised"].score - steps["HE-friendly"].score, -1e-7, atol=1e-9)
    assert set(decision_rows(evidence).method) == {"HE-friendly", "exact"}


def test_the_strongest_competitor_is_no_control_and_no_variant_of_ours(evidence: Evidence) -> None:
    add_methods(evidence)
    fresh = Evidence(evidence.store)
    best = strongest_competitor(fresh)
    assert best is not None and best[0] == "cnn3d"
    assert next(iter(waterfall_steps(fresh))) == "best other: cnn3d"
    assert set(decision_rows(fresh).method) == {"HE-friendly", "exact", "linear_svm", "cnn3d"}


def test_claims_follow_the_intervals(evidence: Evidence) -> None:
    add_methods(evidence)
    fresh = Evidence(evidence.store)
    assert fresh.ablations is not None
    contributions = contribution_table(fresh.ablations, "full", 100)
    table = claims_table(fresh, contributions).set_index("claim").verdict
    said = {str(claim).split(" ")[0]: word for claim, word in table.items()}
    assert said["LSTM"] == "supported"  # the variant without it scores noise
    assert said["Convolutional"] == "supported"  # and so does the baseline
    assert said["Weighted"] == "not tested here"  # no such variant was run
    assert said["The"] == "supported"
    assert said["Encrypted"] == "undecided"  # no flip in 30, but the rate may be 11 %
    assert said["Significantly"] in {"supported", "undecided"}


@pytest.mark.parametrize(
    ("mine", "theirs", "word"),
    [(2.0, 0.0, "supported"), (2.0, 2.0, "undecided"), (0.5, 9.0, "contradicted")],
)
def test_encrypted_competitors_make_a_claim(
    evidence: Evidence, mine: float, theirs: float, word: str
) -> None:
    """Ours beside others that score noise, the same, or far better."""
    ours = make_rows(mine, 0, method=ENCRYPTED_OURS)
    others = [make_rows(theirs, 0 if theirs == mine else seed, method=name)
              for seed, name in ((21, "linear_svm"), (22, "cryptonets"))]  # fmt: skip
    predictions = pd.concat([ours, *others], ignore_index=True)
    predictions["encrypted"] = predictions.score + 1e-6
    store = evidence.store
    store.write_table("07_encrypted_competitors.comparison", compare_encrypted(predictions, 200))
    store.write_table("07_encrypted_competitors.agreement", agreement_by_method(predictions))
    table = claims_table(Evidence(store), None).set_index("claim")
    row = table.loc["Better than other methods on encrypted images."]
    assert row.verdict == word
    assert row.our_result.startswith("Of 2 methods ") and row.shown_in.startswith("07")
    assert "encryption flips 0 of 80 decisions of theirs" in row.our_result


def test_a_method_on_fewer_sequences_is_not_compared(evidence: Evidence) -> None:
    ours = make_rows(2.0, 0, method=ENCRYPTED_OURS)
    bfv = make_rows(2.0, 1, method="cryptonets (BFV)").iloc[:20]
    predictions = pd.concat([ours, make_rows(0.0, 2, method="linear_svm"), bfv])
    predictions = predictions.assign(encrypted=predictions.score)
    assert compare_encrypted(predictions, 50).method.tolist() == [ENCRYPTED_OURS, "linear_svm"]
    assert compare_encrypted(pd.concat([ours, bfv]).assign(encrypted=0.0), 50).empty
    one_class = predictions[predictions.label == 1]
    assert compare_encrypted(one_class, 50).empty
    evidence.store.write_table("07_encrypted_competitors.comparison", pd.DataFrame())
    claim = claims_table(Evidence(evidence.store), None).set_index("claim")
    assert claim.verdict["Better than other methods on encrypted images."] == "not tested here"


def test_families_of_methods() -> None:
    found = {name: family_of(name) for name in (*METHODS, "exact", "sru", "HE-friendly")}
    assert {name for name, family in found.items() if family == "ours"} == {
        "exact", "sru", "HE-friendly", "bi_lstm"
    }  # fmt: skip
    controls = {name for name, family in found.items() if family == "control"}
    assert controls == {name for name, method in METHODS.items() if method.kind == "control"}
    assert found["linear_svm"] == found["lrcn"] == "competing"


def test_what_was_not_run_is_not_claimed(evidence: Evidence) -> None:
    table = claims_table(evidence, None).set_index("claim")
    rows = table.filter(like="competing", axis=0)
    assert rows.verdict.tolist() == ["not tested here"]
    assert "No competing method was run." in rows.our_result.tolist()
    assert (table.verdict == "not tested here").sum() == 4


@pytest.mark.parametrize(
    ("low", "high", "word"),
    [(0.1, 0.2, "supported"), (-0.2, -0.1, "contradicted"), (-0.1, 0.1, "undecided")],
)
def test_verdict_needs_an_interval_off_the_target(low: float, high: float, word: str) -> None:
    assert verdict(low, high) == word
    assert verdict(low + 0.94, high + 0.94, 0.94) == word


def test_cards_tell_the_stored_numbers(evidence: Evidence, tmp_path: Path) -> None:
    study: DatasetStudy = load_profile("smoke").study("embedded")
    rows = evidence.twin("polynomial")
    probability = 1 / (1 + np.exp(-rows.score.to_numpy()))
    calibration = calibration_table(
        probability, rows.label.to_numpy(), rows.patient_id.to_numpy(), 50, 4
    )
    card = model_card(study, evidence, calibration)
    auc = evidence.store.load_table("02_plaintext_training.metrics").query(
        "twin == 'polynomial' and metric == 'auc'"
    )
    assert f"{auc.estimate.iloc[0]:.3f}" in card
    assert "0 decisions differ" in card and "60 decisions on 30 test sequences" in card
    assert f"{calibration.estimate[0]:.3f}" in card and "Not a medical" in card
    space = open_workspace(study, tmp_path)
    split = split_counts({0: space.sets(0)})
    text = data_card(space.sequences, load_manifest("embedded"), split)
    assert space.sequences.digest in text and "36 ill of 72, 72 patients" in text
    path = write_card(tmp_path / "cards" / "data_card.md", text)
    assert path.read_text(encoding="utf-8") == text


def test_cells_of_a_table_stay_cells() -> None:
    assert table_text([("a|b", "c\nd")], ("x", "y")).splitlines()[2] == "| a\\|b | c d |"
