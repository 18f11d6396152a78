"""What tables of results say, in sentences: for texts that would else hold on one data set only."""

from __future__ import annotations

import numpy as np
import pandas as pd

from heclstm_lib.evaluation.agreement import WANTED_BITS, relative_errors
from heclstm_lib.evaluation.comparison import LEVEL
from heclstm_lib.stages.claim import interval_text


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
        if not np.isfinite([row.ci_low, row.ci_high]).all():
            parts.append(f"{name} not determined by these data")
            continue
        where = "includes" if row.ci_low <= ideal <= row.ci_high else "excludes"
        parts.append(f"{name} {_interval(row)}, which {where} {ideal:g}")
    text = f"Scaled: {'; '.join(parts)}; Brier skill {_interval(rows.loc['brier_skill'])}."
    slope = rows.loc["slope"]
    if slope.ci_high < 0:
        text += " A slope below 0 means that a higher score goes with a lower risk."
    elif slope.ci_low <= 0:
        text += " A slope that may be 0 means that these scores may say nothing of the risk."
    return text


def encryption_remark(agreed: pd.DataFrame, predictions: pd.DataFrame) -> str:
    """The least precise method of `agreement_by_method`, errors beyond the line, and flips.

    predictions: of `run_encrypted_methods`; errors and line are those of the figure
    (`relative_errors`, WANTED_BITS).
    """
    parts = [f"{int(agreed.flips.sum())} of {int(agreed.n.sum())} decisions flipped."]
    known = agreed[np.isfinite(agreed.relative_bits)]
    if len(known):
        least = known.loc[known.relative_bits.idxmin()]
        parts.append(
            f"Least precise on average is {least.method}, with {least.relative_bits:.1f} bits "
            f"relative to the spread of its scores, {least.precision_bits:.1f} of the score itself."
        )
    beyond = []
    for name, part in predictions.groupby("method", sort=False):
        over = int((relative_errors(part.score, part.encrypted) > 2.0**-WANTED_BITS).sum())
        if over:
            beyond.append(f"{name} {over} of {len(part)}")
    parts.append(f"Errors right of the line: {', '.join(beyond) or 'none'}.")
    return " ".join(parts)


def same_area(comparison: pd.DataFrame, predictions: pd.DataFrame, full: str) -> str:
    """Rows whose AUC is exactly the full network's, and in how many folds they rank as it does."""
    scores = predictions.pivot(index=["fold", "sequence_id"], columns="method", values="score")
    ranks = scores.groupby("fold").rank()
    parts = []
    for row in comparison[comparison.method != full].itertuples():
        if abs(row.difference) < 1e-12:
            alike = (ranks[row.method] == ranks[full]).groupby("fold").all()
            apart = (scores[row.method] - scores[full]).abs().max()
            folds = f"the same ranking in {alike.sum()} of {len(alike)} folds"
            parts.append(f"{row.method} ({folds}; scores differ by up to {apart:.2g})")
    if not parts:
        return "No row has exactly the full network's AUC."
    return (
        f"Exactly the full network's AUC: {'; '.join(parts)}. On few patients areas are multiples "
        "of a coarse step, so that networks that differ a little often have the same."
    )


def batches_remark(layouts: pd.DataFrame) -> str:
    """How batch and sequence seconds change with the sequences together (`layout_facts`)."""
    table = layouts.sort_values("together", ignore_index=True)
    each = table.batch_s / table.together
    least, most = table.together.iloc[0], table.together.iloc[-1]
    text = (
        f"A batch of {least} takes {table.batch_s.iloc[0]:.0f} s and one of {most} "
        f"{table.batch_s.iloc[-1]:.0f} s; the cheapest sequence costs {each.min():.3g} s, "
        f"{each.iloc[0] / each.min():.0f} times less than one in a batch of {least}."
    )
    read = table.plaintext_bytes / 1e9
    for place in table.index[1:][table.batch_s.diff()[1:] < 0]:
        text += (
            f" One of {table.together[place]} is faster than one of {table.together[place - 1]}: "
            f"it reads {read[place]:.2g} instead of {read[place - 1]:.2g} GB of plaintexts."
        )
    return text


def _interval(row: pd.Series) -> str:
    return interval_text(row, "estimate", "ci_low", "ci_high")
