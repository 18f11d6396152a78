"""What tables of results say, in sentences: for texts that would else hold on one data set only."""

from __future__ import annotations

import numpy as np
import pandas as pd

from heclstm_lib.stages.claim import interval_text

LEVEL = 0.05
WANTED_BITS = 10.0
"""Precision relative to the spread of the scores, the dotted line of notebook 07's figure."""


def below_chance(comparison: pd.DataFrame) -> str:
    """Methods whose whole interval of the AUC lies below 0.5 (`compare_methods`)."""
    found = comparison[comparison.ci_high < 0.5]
    if found.empty:
        return "No interval lies wholly below chance."
    parts = [
        f"{row.method} {interval_text(row, 'estimate', 'ci_low', 'ci_high')}"
        for row in found.itertuples()
    ]
    return (
        f"Wholly below chance: {', '.join(parts)}. These rank the ill of the test patients below "
        f"the well: what they found on training patients does not hold for others. With "
        f"{len(comparison)} rows on the same few patients some intervals miss by chance, and none "
        "of these scores may be turned round after the fact."
    )


def disagreement(delong: pd.DataFrame, comparison: pd.DataFrame) -> str:
    """Where DeLong's test (`auc_tests`) and the bootstrap (`compare_methods`) do not agree."""
    both = delong.merge(comparison[["method", "p_holm"]], on="method")
    both = both.dropna(subset=["p_delong_holm", "p_holm"])
    if both.empty:
        return "There is nothing to compare the two tests on."
    apart = both[(both.p_delong_holm < LEVEL) != (both.p_holm < LEVEL)]
    if apart.empty:
        return f"Both tests say the same of all {len(both)} methods at p < {LEVEL}, corrected."
    parts = [
        f"{row.method} ({row.p_delong_holm:.3f} against {row.p_holm:.3f})"
        for row in apart.itertuples()
    ]
    return (
        f"The tests disagree on {', '.join(parts)}: corrected p of DeLong's test against the "
        "bootstrap's. DeLong's rests on a normal approximation, which is poor on few patients; our "
        "claims follow the bootstrap."
    )


def calibration_remark(table: pd.DataFrame) -> str:
    """Intercept, slope and skill of one `calibration_table`, and what their intervals allow."""
    rows = table.set_index("metric")
    parts = []
    for name, ideal in (("intercept", 0.0), ("slope", 1.0)):
        row = rows.loc[name]
        where = "includes" if row.ci_low <= ideal <= row.ci_high else "excludes"
        parts.append(f"{name} {_interval(row)}, which {where} {ideal:g}")
    text = f"Scaled: {'; '.join(parts)}; Brier skill {_interval(rows.loc['brier_skill'])}."
    slope = rows.loc["slope"]
    if slope.ci_low <= 0:
        text += " A slope that may be 0 means that these scores may say nothing of the risk."
    return text


def encryption_remark(agreed: pd.DataFrame) -> str:
    """The least precise method of `agreement_by_method`, methods beyond the line, and flips."""
    known = agreed[np.isfinite(agreed.relative_bits)]
    flips = f"{int(agreed.flips.sum())} of {int(agreed.n.sum())} decisions flipped"
    if known.empty:
        return f"All scores are exact; {flips}."
    least = known.loc[known.relative_bits.idxmin()]
    short = known[known.relative_bits < WANTED_BITS].method.tolist()
    beyond = f"; less than {WANTED_BITS:g} bits: {', '.join(short)}" if short else ""
    return (
        f"Least precise is {least.method}, with {least.relative_bits:.1f} bits relative to the "
        f"spread of its scores and {least.precision_bits:.1f} of the score itself{beyond}. {flips}."
    )


def same_ranking(comparison: pd.DataFrame, predictions: pd.DataFrame, full: str) -> str:
    """Rows whose AUC is exactly the full network's, and how far their scores are from its."""
    keys = ["fold", "sequence_id"]
    scores = {name: part.set_index(keys).score for name, part in predictions.groupby("method")}
    parts = []
    for row in comparison[comparison.method != full].itertuples():
        if abs(row.difference) < 1e-12:
            apart = (scores[row.method] - scores[full]).abs().max()
            parts.append(f"{row.method} (scores differ by up to {apart:.2g})")
    if not parts:
        return "No row has exactly the full network's AUC."
    return (
        f"Exactly the full network's AUC: {', '.join(parts)}. These are other networks, whose "
        "scores rank the test patients alike. Where the first epoch is kept (notebook 02), "
        "training has hardly moved the weights, and what acts in training changes little."
    )


def batches_remark(layouts: pd.DataFrame) -> str:
    """How batch and sequence seconds change with the sequences together (`layout_facts`)."""
    table = layouts.sort_values("together", ignore_index=True)
    each = table.batch_s / table.together
    before, after = table.batch_s.to_numpy()[:-1], table.batch_s.to_numpy()[1:]
    shrinks = table.index[1:][after < before]
    text = (
        f"A batch of {table.together.iloc[-1]} takes {table.batch_s.iloc[-1]:.0f} s, one of "
        f"{table.together.iloc[0]} {table.batch_s.iloc[0]:.0f} s; the cheapest sequence costs "
        f"{each.min():.3g} s, {each.iloc[0] / each.min():.0f} times less than one alone."
    )
    gigabytes = table.plaintext_bytes / 1e9
    for place in shrinks:
        text += (
            f" One of {table.together[place]} is faster than one of {table.together[place - 1]}: "
            f"its layout reads {gigabytes[place]:.2g} GB of plaintexts, the other's "
            f"{gigabytes[place - 1]:.2g} GB."
        )
    return text


def _interval(row: pd.Series) -> str:
    return interval_text(row, "estimate", "ci_low", "ci_high")
