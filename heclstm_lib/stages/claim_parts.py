"""Claims on what parts of the network do: the LSTM for the order, weighted unit and voting."""

from __future__ import annotations

import pandas as pd

from heclstm_lib.stages.claim import NOT_TESTED, Claim, interval_text, verdict
from heclstm_lib.stages.evidence import METHOD_STAGE, Evidence


def time_claim(evidence: Evidence, contributions: pd.DataFrame | None) -> Claim:
    """LSTM and order: supported only where the network also loses AUC on shuffled frames.

    A network without its LSTM, or with one frame, lacks more than the order: weights, and images.
    """
    assumed = "Then the network loses AUC on shuffled frames (trained on them too), without its "
    assumed += "LSTM, and with one frame only."
    parts = _parts("LSTM layers encode the order of the frames.", assumed, contributions,
                   ("no_lstm", "single_frame"), "auc", 1)  # fmt: skip
    order = evidence.table(METHOD_STAGE, "order")
    known = order is not None and "method" in order
    control = order[order.method == "shuffled_order"] if order is not None and known else None
    shown = f"{parts.shown_in}; 06: order"
    if control is None or control.empty:
        result = f"{parts.our_result} The control on shuffled frames was not run."
        said = "undecided" if parts.verdict == "supported" else parts.verdict
        return parts._replace(our_result=result, verdict=said, shown_in=shown)
    row = control.iloc[0]
    result = f"{interval_text(row, 'difference', 'difference_low', 'difference_high', -1)}."
    result = f"AUC, exact network minus shuffled order: {result} {parts.our_result}"
    said = _weakest(verdict(-row.difference_high, -row.difference_low), parts.verdict)
    return parts._replace(our_result=result, verdict=said, shown_in=shown)


def _weakest(control: str, parts: str) -> str:
    """The verdict on a claim that needs the control and, where they were run, the parts."""
    said = {control, parts} - {NOT_TESTED}
    return next(word for word in ("contradicted", "undecided", "supported") if word in said)


def missed_claim(contributions: pd.DataFrame | None) -> Claim:
    """Compared at equal referral, so that no variant looks better by referring more."""
    claim = "Weighted unit and voting lower the missed-diagnosis rate."
    assumed = "alpha learned per feature, votes a learned softmax; compared at equal referral rate."
    variants = ("no_weighted_unit", "no_voting")
    return _parts(claim, assumed, contributions, variants, "missed_at_equal_referral", -1)


def _parts(
    claim: str, assumed: str, table: pd.DataFrame | None, variants: tuple[str, ...], metric: str,
    better: int,
) -> Claim:  # fmt: skip
    """A claim on contributions; `better` is the sign of a difference in the claim's favour."""
    shown = "05: ablations; 08: contributions"
    if table is not None:
        table = table[table.variant.isin(variants) & (table.metric == metric)]
    if table is None or table.empty:
        return Claim(claim, assumed, "No such ablation was run.", NOT_TESTED, shown)
    parts = [
        f"{row.variant}: {interval_text(row, 'estimate', 'ci_low', 'ci_high')}"
        for row in table.itertuples()
    ]
    lows, highs = table.ci_low * better, table.ci_high * better
    ends = pd.concat([lows, highs], axis=1)
    said = verdict(float(ends.min(axis=1).min()), float(ends.max(axis=1).min()))
    name = "AUC" if metric == "auc" else metric.replace("_", " ")
    return Claim(claim, assumed, f"{name}, full minus {'; '.join(parts)}.", said, shown)
