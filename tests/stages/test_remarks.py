"""Sentences say what their tables say, and only that."""

from __future__ import annotations

import numpy as np
import pandas as pd

from heclstm_lib.stages.remarks import (
    batches_remark,
    below_chance,
    calibration_remark,
    disagreement,
    encryption_remark,
    same_area,
)


def areas(highs: list[float]) -> pd.DataFrame:
    names = [f"m{place}" for place in range(len(highs))]
    return pd.DataFrame({"method": names, "estimate": 0.4, "ci_low": 0.3, "ci_high": highs})


def test_only_intervals_wholly_below_chance_are_named() -> None:
    text = below_chance(areas([0.49, 0.5, 0.62]))
    assert "m0 0.400 (0.300 to 0.490)" in text and "m1" not in text and "m2" not in text
    assert "3 rows" in text
    assert below_chance(areas([0.5, 0.9])) == "No interval lies wholly below chance."


def test_tests_that_disagree_are_named_with_both_p_values() -> None:
    delong = pd.DataFrame({"method": ["ours", "a", "b"], "p_delong_holm": [np.nan, 0.049, 0.2]})
    other = pd.DataFrame({"method": ["ours", "a", "b"], "p_holm": [np.nan, 0.28, 0.3]})
    text = disagreement(delong, other)
    assert "a (0.049 against 0.280)" in text and "b (" not in text
    agreeing = disagreement(delong, other.assign(p_holm=[np.nan, 0.01, 0.3]))
    assert agreeing.startswith("Both tests say the same of all 2 methods")
    assert "nothing" in disagreement(delong.head(1), other.head(1))


def test_calibration_says_what_the_intervals_include() -> None:
    table = pd.DataFrame(
        {
            "metric": ["intercept", "slope", "brier_skill"],
            "estimate": [0.1, -0.3, -0.1],
            "ci_low": [-0.5, -1.1, -0.3],
            "ci_high": [0.9, 0.6, 0.0],
        }
    )
    text = calibration_remark(table)
    assert "intercept 0.100 (-0.500 to 0.900), which includes 0" in text
    assert "slope -0.300 (-1.100 to 0.600), which excludes 1" in text
    assert "may be 0" in text
    good = table.assign(ci_low=[-0.5, 0.7, 0.1], ci_high=[0.9, 1.3, 0.3])
    assert "includes 1" in calibration_remark(good) and "may be 0" not in calibration_remark(good)
    wrong = calibration_remark(table.assign(ci_high=[0.9, -0.1, 0.0]))
    assert "below 0" in wrong and "may be 0" not in wrong
    unknown = table.assign(ci_low=[-0.5, np.nan, np.nan], ci_high=[0.9, np.nan, np.nan])
    assert "slope not determined by these data" in calibration_remark(unknown)


def test_encryption_names_the_least_precise_and_counts_errors_beyond_the_line() -> None:
    agreed = pd.DataFrame(
        {
            "method": ["ours", "small", "exact"],
            "relative_bits": [16.0, 9.5, np.inf],
            "precision_bits": [17.0, 7.7, np.inf],
            "flips": [0, 1, 0],
            "n": [10, 10, 10],
        }
    )
    score = np.arange(10.0)
    line = 2.0**-10 * score.std(ddof=1)
    errors = {"ours": line / 2, "small": np.where(score < 3, 1.01 * line, 0.99 * line), "exact": 0}
    rows = [
        pd.DataFrame({"method": name, "score": score, "encrypted": score - error})
        for name, error in errors.items()
    ]
    text = encryption_remark(agreed, pd.concat(rows))
    assert text.startswith("1 of 30 decisions flipped.") and "7.7 of the score" in text
    assert "Least precise on average is small, with 9.5 bits" in text
    assert text.endswith("Errors right of the line: small 3 of 10.")
    alone = encryption_remark(agreed.iloc[[2]], rows[2])
    assert alone == "0 of 10 decisions flipped. Errors right of the line: none."


def test_an_equal_area_is_told_with_the_folds_of_equal_ranking() -> None:
    comparison = pd.DataFrame({"method": ["full", "a", "b"], "difference": [np.nan, 0.0, 0.01]})
    scores = {"full": [0.0, 1.0, 2.0, 3.0], "a": [0.25, 1.0, 3.0, 2.0], "b": [1.0, 0.0, 0.0, 1.0]}
    rows = pd.DataFrame(
        [
            {"method": name, "fold": place // 2, "sequence_id": f"s{place}", "score": score}
            for name, values in scores.items()
            for place, score in enumerate(values)
        ]
    )
    text = same_area(comparison, rows, "full")
    assert "a (the same ranking in 1 of 2 folds; scores differ by up to 1)" in text
    assert "b (" not in text
    assert same_area(comparison.iloc[[0, 2]], rows, "full").startswith("No row")


def test_batches_are_told_with_the_one_that_is_faster_than_a_smaller_one() -> None:
    layouts = pd.DataFrame(
        {"together": [1, 2, 4], "batch_s": [10.0, 12.0, 8.0], "plaintext_bytes": [1e9, 4e9, 5e8]}
    )
    text = batches_remark(layouts.iloc[::-1])
    assert "A batch of 1 takes 10 s and one of 4 8 s" in text
    assert "costs 2 s, 5 times less than one in a batch of 1" in text
    assert "One of 4 is faster than one of 2: it reads 0.5 instead of 4 GB of plaintexts." in text
    assert "faster" not in batches_remark(layouts.assign(batch_s=[10.0, 12.0, 13.0]))
