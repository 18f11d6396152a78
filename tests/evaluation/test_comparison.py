"""Methods compared in pairs, on the same sequences, over patients."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from heclstm_lib.errors import DataError
from heclstm_lib.evaluation.comparison import compare_methods, corrected, paired_difference
from heclstm_lib.evaluation.statistics import holm, wilson_interval

COUNT = 60


def make_method(name: str, signal: float, seed: int = 0) -> pd.DataFrame:
    """Two sequences a patient; scores are signal x label + noise of a seed."""
    labels = np.arange(COUNT) // 2 % 2
    noise = np.random.default_rng(seed).normal(0, 1, COUNT)
    return pd.DataFrame(
        {
            "method": name,
            "sequence_id": [f"s{i:02}" for i in range(COUNT)],
            "patient_id": [f"p{i // 2:02}" for i in range(COUNT)],
            "label": labels,
            "score": signal * labels + noise,
            "threshold": 0.5,
        }
    )


@pytest.fixture
def rows() -> pd.DataFrame:
    methods = [make_method("full", 2.0), make_method("same", 2.0), make_method("none", 0.0, 1)]
    return pd.concat(methods, ignore_index=True)


def test_estimates_and_order(rows: pd.DataFrame) -> None:
    table = compare_methods(rows, "full", 200)
    assert table.method.tolist() == ["full", "same", "none"]
    for row in table.itertuples():
        part = rows[rows.method == row.method]
        assert row.estimate == pytest.approx(roc_auc_score(part.label, part.score))
        assert row.ci_low < row.estimate < row.ci_high
        assert (row.n_patients, row.n_sequences) == (COUNT // 2, COUNT)


def test_differences_are_paired(rows: pd.DataFrame) -> None:
    table = compare_methods(rows, "full", 200).set_index("method")
    assert table.loc["full", ["difference", "p", "p_holm"]].isna().all()
    assert (
        table.loc["same", ["difference", "difference_low", "difference_high"]].tolist() == [0] * 3
    )
    assert table.p["same"] == 1.0
    assert table.difference["none"] == pytest.approx(
        table.estimate["none"] - table.estimate["full"]
    )
    assert table.difference_high["none"] < 0
    assert table.p["none"] == pytest.approx(2 / 201)  # no resample on the other side
    assert table.p_holm[["same", "none"]].tolist() == holm([1.0, 2 / 201])


def test_families_are_corrected_apart(rows: pd.DataFrame) -> None:
    more = [make_method(f"control{k}", 0.0, seed=30 + k) for k in range(3)]
    everything = pd.concat([rows, *more], ignore_index=True)
    family = {"same": "competing", "none": "competing"}
    apart = compare_methods(everything, "full", 200, lambda m: family.get(m, "control"))
    alone = compare_methods(rows, "full", 200).set_index("method")
    apart, names = apart.set_index("method"), ["control0", "control1", "control2"]
    assert apart.p_holm[["same", "none"]].tolist() == alone.p_holm[["same", "none"]].tolist()
    assert apart.p_holm[names].tolist() == holm(apart.p[names].tolist())
    together = compare_methods(everything, "full", 200).set_index("method")
    assert together.p_holm["none"] > apart.p_holm["none"]  # five hypotheses instead of two


def test_a_missing_p_value_is_no_hypothesis() -> None:
    found = corrected(pd.Series([np.nan, 0.02, 0.03]))
    assert np.isnan(found[0]) and found[1:].tolist() == holm([0.02, 0.03])
    apart = corrected(pd.Series([np.nan, 0.02, 0.03]), pd.Series(["a", "a", "b"]))
    assert np.isnan(apart[0]) and apart[1:].tolist() == [0.02, 0.03]


def test_pairing_narrows_the_interval() -> None:
    """Two methods that share most of their noise: narrower than with independent noise."""
    reference = make_method("a", 1.0)
    near = reference.assign(score=reference.score + 0.1 * np.cos(np.arange(COUNT)))
    far = make_method("b", 1.0, seed=9)
    widths = [
        found["difference_high"] - found["difference_low"]
        for found in (paired_difference(reference, other, 300) for other in (near, far))
    ]
    assert widths[0] < 0.4 * widths[1]


def test_order_of_rows_does_not_matter(rows: pd.DataFrame) -> None:
    shuffled = rows.sample(frac=1, random_state=3)
    one = compare_methods(rows, "full", 50).set_index("method")
    two = compare_methods(shuffled, "full", 50).set_index("method").loc[one.index]
    pd.testing.assert_frame_equal(one, two)


def test_folds_with_thresholds_of_their_own(rows: pd.DataFrame) -> None:
    rows = rows.assign(fold=np.where(rows.sequence_id < "s30", 0, 1))
    shift = np.where(rows.fold == 0, 0.0, 50.0)
    moved = rows.assign(score=rows.score + shift, threshold=rows.threshold + shift)
    pd.testing.assert_frame_equal(
        compare_methods(rows, "full", 50), compare_methods(moved, "full", 50)
    )


def test_p_is_small_as_often_as_it_says() -> None:
    """Without a difference p < 0.1 in about a tenth of experiments."""
    found = [
        paired_difference(make_method("a", 1.0, seed), make_method("b", 1.0, 500 + seed), 100)["p"]
        for seed in range(60)
    ]
    low, high = wilson_interval(int(np.sum(np.array(found) < 0.1)), 60, level=0.999)
    assert low < 0.1 < high


def test_other_sequences_are_refused(rows: pd.DataFrame) -> None:
    short = rows.drop(rows[rows.method == "same"].index[:1])
    with pytest.raises(DataError, match="'same' scored 59 sequences, 'full' 60"):
        compare_methods(short, "full", 10)
    renamed = rows.copy()
    renamed.loc[renamed.index[-1], "sequence_id"] = "other"
    with pytest.raises(DataError, match="not the same ones"):
        compare_methods(renamed, "full", 10)


def test_missing_reference_is_refused(rows: pd.DataFrame) -> None:
    with pytest.raises(DataError, match="no 'nosuch' among full, same, none"):
        compare_methods(rows, "nosuch", 10)


def test_the_reference_alone_is_a_table_too(rows: pd.DataFrame) -> None:
    table = compare_methods(rows[rows.method == "full"], "full", 20)
    assert table.method.tolist() == ["full"]
    assert table.loc[0, ["difference", "p", "p_holm"]].isna().all()


def test_one_class_only_is_refused(rows: pd.DataFrame) -> None:
    with pytest.raises(DataError, match="both classes"):
        compare_methods(rows[rows.label == 1], "full", 10)
