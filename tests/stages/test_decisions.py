"""Stored tables become steps, claims and cards; what is absent is said, not invented."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from heclstm_lib.config import DatasetStudy, load_profile
from heclstm_lib.data.manifest import load_manifest
from heclstm_lib.evaluation.calibration import calibration_table
from heclstm_lib.evaluation.comparison import compare_methods
from heclstm_lib.evaluation.metrics import metrics_by
from heclstm_lib.evaluation.paired import contribution_table
from heclstm_lib.evaluation.published import published_table
from heclstm_lib.methods.registry import METHODS
from heclstm_lib.results import ResultStore
from heclstm_lib.stages.cards import model_card, table_text, write_card
from heclstm_lib.stages.claim import verdict
from heclstm_lib.stages.claims import claims_table
from heclstm_lib.stages.data_card import data_card, split_counts
from heclstm_lib.stages.encrypted_tables import OURS as ENCRYPTED_OURS
from heclstm_lib.stages.encrypted_tables import agreement_by_method, compare_encrypted
from heclstm_lib.stages.evidence import (
    Evidence,
    beside_published,
    decision_rows,
    family_of,
    strongest_competitor,
    waterfall_steps,
)
from heclstm_lib.stages.methods import order_evidence
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
    # the variant without it scores noise, but no control on shuffled frames was run
    assert said["LSTM"] == "undecided"
    assert said["Convolutional"] == "supported"  # and so does the baseline
    assert said["Weighted"] == "not tested here"  # no such variant was run
    assert said["The"] == "by assumption"  # sizes of parameters show nothing about a server
    assert said["Encrypted"] == "undecided"  # no flip in 30, but the rate may be 11 %
    assert said["Significantly"] in {"supported", "undecided"}


def test_the_claim_on_encryption_says_what_polynomials_changed_before(evidence: Evidence) -> None:
    full = make_rows(2.0, 0, method="HE-friendly", threshold=0.0)
    twins = pd.concat([full, full.assign(method="exact", threshold=3.0)])
    polynomials = contribution_table(twins, "HE-friendly", 100)
    found = claims_table(evidence, None, polynomials=polynomials).set_index("claim").our_result
    text = found["Encrypted images can be diagnosed as plain ones."]
    change = polynomials.set_index("metric").estimate["specificity"]
    assert change < -0.2  # a lower threshold calls more of the well ill
    assert "HE-friendly minus exact: auc 0.000 (" in text
    assert f"specificity {change:.3f} (" in text and "missed at equal referral 0.000 (" in text


@pytest.mark.parametrize(
    ("shuffled", "without", "word"),
    [
        (0.0, 0.2, "supported"),
        (2.0, 0.2, "undecided"),  # shuffling costs nothing: the LSTM uses something else
        (9.0, 0.2, "contradicted"),
        (0.0, 2.0, "undecided"),
        (0.0, None, "supported"),  # the control alone, without ablations
    ],
)
def test_order_counts_only_where_shuffling_costs_auc(
    evidence: Evidence, shuffled: float, without: float | None, word: str
) -> None:
    exact = make_rows(0.5 if shuffled == 9.0 else 2.0, 0, method="exact")
    control = make_rows(shuffled, 0 if shuffled == 2.0 else 31, method="shuffled_order")
    order = order_evidence(pd.concat([exact, control], ignore_index=True), 200)[0]
    evidence.store.write_table("06_competing_methods.order", order)
    contributions = None
    if without is not None:
        full = make_rows(2.0, 0, method="full")
        variant = make_rows(without, 0 if without == 2.0 else 9, method="no_lstm")
        contributions = contribution_table(pd.concat([full, variant]), "full", 200)
    row = claims_table(evidence, contributions).set_index("claim").filter(like="LSTM", axis=0)
    assert row.verdict.tolist() == [word]
    assert "minus shuffled order" in row.our_result.iloc[0] and "06: order" in row.shown_in.iloc[0]


@pytest.mark.parametrize(
    ("signal", "word"), [(9.0, "supported"), (0.7, "undecided"), (-1.0, "not reached here")]
)
def test_published_baselines_make_a_claim_on_decrypted_scores(
    evidence: Evidence, signal: float, word: str
) -> None:
    published = published_table("adrenalmnist3d")
    rows = make_rows(signal, 0)
    evidence.store.write_table(
        "04_encrypted_evaluation.scores", rows.assign(score=0.0, encrypted=rows.score)
    )
    fresh = Evidence(evidence.store)
    own = beside_published(fresh, 100)
    found = claims_table(fresh, None, published, own).set_index("claim")
    row = found.loc["Above every published baseline (MedMNIST v2: 0.839), evaluated encrypted."]
    assert row.verdict == word
    area = own.auc.iloc[-1]
    assert area == pytest.approx(roc_auc_score(rows.label, rows.score))
    assert f"{area:.3f}" in row.our_result and "40 sequences" in row.our_result
    assert ("estimate is above 0.839" in row.our_result) == (area > 0.839)


def test_published_baselines_need_all_test_sequences_encrypted(evidence: Evidence) -> None:
    """30 of 40 were evaluated; a data set without published numbers has no such row."""
    own = beside_published(evidence, 50)
    found = claims_table(evidence, None, published_table("adrenalmnist3d"), own)
    row = found.set_index("claim").filter(like="published", axis=0)
    assert row.verdict.tolist() == ["not tested here"]
    none = claims_table(evidence, None, published_table("iarc"), None)
    assert not none.claim.str.contains("published").any()


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
    assert row.our_result.startswith("Of 2 encrypted evaluations ")
    assert row.shown_in.startswith("07")
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
    assert "ensemble" not in card and "none within folds" in card
    space = open_workspace(study, tmp_path)
    split = split_counts({0: space.sets(0)})
    text = data_card(space.sequences, load_manifest("embedded"), split)
    assert space.sequences.digest in text and "36 ill of 72, 72 patients" in text
    path = write_card(tmp_path / "cards" / "data_card.md", text)
    assert path.read_text(encoding="utf-8") == text


def test_the_model_card_tells_of_the_ensemble_and_of_the_search(evidence: Evidence) -> None:
    study: DatasetStudy = load_profile("reference").study("iarc")
    rows = evidence.twin("polynomial")
    labels, patients = rows.label.to_numpy(), rows.patient_id.to_numpy()
    calibration = calibration_table(np.full(COUNT, 0.5), labels, patients, 20, 4)
    test = evidence.predictions.query("part == 'test'")
    both = pd.concat([test, make_rows(3.0, 3, twin="ensemble", part="test")])
    metrics = metrics_by(both, "twin", 50)
    evidence.store.write_table("02_plaintext_training.metrics", metrics)
    settings = [str(setting) for setting in study.search]
    search = pd.DataFrame(
        {"fold": [0, 0, 1, 1], "setting": settings * 2, "chosen": [True, False, True, False]}
    )
    evidence.store.write_table("02_plaintext_training.search", search)
    card = model_card(study, evidence, calibration)
    area = metrics.query("twin == 'ensemble' and metric == 'auc'").estimate.iloc[0]
    assert "HE-friendly ensemble (95 % CI)" in card and f"{area:.3f}" in card
    assert "mean score of the HE-friendly networks" in card
    assert all(setting in card for setting in settings)
    assert f"{settings[0]} in 2 fold(s)" in card and "after earlier runs" in card


def test_cells_of_a_table_stay_cells() -> None:
    assert table_text([("a|b", "c\nd")], ("x", "y")).splitlines()[2] == "| a\\|b | c d |"
