"""The claims of the paper, what we had to assume, and what came out here.

A claim is "supported" or "contradicted" only where a 95 % interval or a corrected p value says so;
otherwise it is "undecided" on this data set.
"""

from __future__ import annotations

from typing import NamedTuple

import pandas as pd

from heclstm_lib.evaluation.published import PAPER_AUC
from heclstm_lib.stages.evidence import (
    ENCRYPTED,
    ENCRYPTED_METHODS,
    METHOD_STAGE,
    TRAINING,
    Evidence,
)

LEVEL = 0.05
FLIPS = 0.05
"""A rate of flipped decisions that would matter: the claim needs an interval below it."""
NOT_TESTED = "not tested here"
NOT_REACHED = "not reached here"


class Claim(NamedTuple):
    """One line of the claims table."""

    claim: str
    our_assumption: str
    our_result: str
    verdict: str
    shown_in: str


def verdict(low: float, high: float, target: float = 0.0) -> str:
    """Whether an interval lies above the target (supported), below (contradicted) or around it."""
    if low > target:
        return "supported"
    return "contradicted" if high < target else "undecided"


def claims_table(evidence: Evidence, contributions: pd.DataFrame | None) -> pd.DataFrame:
    """One row a claim: claim, our assumption, our result, verdict, where it is shown.

    contributions: of `evaluation.paired.contribution_table`, None without ablations.
    """
    claims = [
        _area(evidence),
        _competitors(evidence),
        _encrypted_competitors(evidence),
        _space(evidence),
        _time(contributions),
        _missed(contributions),
        _encrypted(evidence),
        _privacy(evidence),
    ]
    return pd.DataFrame(claims)


def _area(evidence: Evidence) -> Claim:
    row = evidence.store.load_table(f"{TRAINING}.metrics").query("twin == 'polynomial'")
    found = row.set_index("metric").loc["auc"]
    text = f"HE-friendly network: {_interval(found, 'estimate', 'ci_low', 'ci_high')}"
    return Claim(
        f"AUC above {PAPER_AUC} (Cervigram, BreaKHis).",
        "Their images are private or not at hand; this data set stands in, split by patient.",
        f"{text}, {found.n_patients} test patients.",
        verdict(found.ci_low, found.ci_high, PAPER_AUC).replace("contradicted", NOT_REACHED),
        "02: test results, ROC; 08: waterfall",
    )


def _competitors(evidence: Evidence) -> Claim:
    claim = "Significantly better than competing methods."
    assumed = "Methods of their reference list, from scratch, one small budget of tuning for all."
    table = evidence.table(METHOD_STAGE, "comparison")
    rivals = evidence.competitors
    if table is None or rivals is None:
        return Claim(claim, assumed, "No competing method was run.", NOT_TESTED, "06")
    result, said = _against(table[table.method.isin(rivals.method.unique())])
    return Claim(claim, assumed, f"{result}.", said, "06: main results")


def _encrypted_competitors(evidence: Evidence) -> Claim:
    claim = "Better than other methods on encrypted images."
    assumed = "Methods that others evaluated encrypted, through our client and server; AUC of what "
    assumed += "the client decrypts, on the same test sequences."
    shown = "07: AUC, in clear and encrypted"
    table = evidence.table(ENCRYPTED_METHODS, "comparison")
    agreed = evidence.table(ENCRYPTED_METHODS, "agreement")
    if table is None or table.empty or agreed is None:
        return Claim(claim, assumed, "No other method was run encrypted.", NOT_TESTED, shown)
    rivals = table[table.difference.notna()]
    result, said = _against(rivals)
    flips = agreed[agreed.method.isin(rivals.method)]
    result += f"; encryption flips {int(flips.flips.sum())} of {int(flips.n.sum())} decisions"
    return Claim(claim, assumed, f"{result} of theirs.", said, shown)


def _against(table: pd.DataFrame) -> tuple[str, str]:
    """A sentence and a verdict on "all these methods are worse than ours"."""
    sure = table[table.p_holm < LEVEL]
    worse, better = sum(sure.difference < 0), sum(sure.difference > 0)
    said = "supported" if worse == len(table) else "contradicted" if better else "undecided"
    text = f"Of {len(table)} methods {worse} are worse and {better} better in AUC at p < {LEVEL}"
    return f"{text} (paired, Holm over these methods)", said


def _space(evidence: Evidence) -> Claim:
    claim = "Convolutional blocks extract spatial features."
    assumed = "Then the network beats a regression on mean colour and on the mean image."
    table = evidence.table(TRAINING, "comparison")
    if table is None:
        return Claim(claim, assumed, "No baseline was run.", NOT_TESTED, "02")
    simple = table[table.method.isin(["mean colour", "mean image"])]
    parts = [
        f"{row.method}: {_interval(row, 'difference', 'difference_low', 'difference_high', -1)}"
        for row in simple.itertuples()
    ]
    lows, highs = -simple.difference_high, -simple.difference_low
    said = verdict(float(lows.min()), float(highs.min()))
    result = "AUC, network minus baseline: " + "; ".join(parts) + "."
    return Claim(claim, assumed, result, said, "02: baselines")


def _time(contributions: pd.DataFrame | None) -> Claim:
    claim = "LSTM layers encode the order of the frames."
    assumed = "Then the network loses AUC without its LSTM, and with one frame only."
    return _parts(claim, assumed, contributions, ("no_lstm", "single_frame"), "auc", 1)


def _missed(contributions: pd.DataFrame | None) -> Claim:
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
        f"{row.variant}: {_interval(row, 'estimate', 'ci_low', 'ci_high')}"
        for row in table.itertuples()
    ]
    lows, highs = table.ci_low * better, table.ci_high * better
    ends = pd.concat([lows, highs], axis=1)
    said = verdict(float(ends.min(axis=1).min()), float(ends.max(axis=1).min()))
    name = "AUC" if metric == "auc" else metric.replace("_", " ")
    return Claim(claim, assumed, f"{name}, full minus {'; '.join(parts)}.", said, shown)


def _encrypted(evidence: Evidence) -> Claim:
    claim = "Encrypted images can be diagnosed as plain ones."
    assumed = "CKKS on the polynomial twin, against the same network in float64; a rate of flipped "
    assumed += f"decisions below {FLIPS:.0%} would do."
    found = evidence.numbers(ENCRYPTED).get("agreement")
    if not found:
        return Claim(claim, assumed, "Nothing was evaluated encrypted.", NOT_TESTED, "04")
    result = (
        f"{found['flips']} of {found['n']} decisions on {found['n_sequences']} sequences differ "
        f"(95 % CI of the rate up to {found['flip_rate_high']:.3f}), "
        f"{found['precision_bits']:.1f} bits of precision."
    )
    said = verdict(-found["flip_rate_high"], -found["flip_rate_low"], -FLIPS)
    return Claim(claim, assumed, result, said, "04: agreement; 08: waterfall")


def _privacy(evidence: Evidence) -> Claim:
    claim = "The server learns nothing about the images."
    assumed = "Honest-but-curious server; no decrypted value leaves the hospital; their scheme's "
    assumed += "parameters are not public, ours are CKKS at 128 bits."
    security = evidence.numbers("03_he_conversion").get("plan", {}).get("security")
    if not security:
        return Claim(claim, assumed, "No plan was made.", NOT_TESTED, "03")
    result = (
        f"N = {security['poly_degree']}, log2(QP) = {security['total_bits']} of at most "
        f"{security['limit_2024_bits']} for 128 bits."
    )
    said = "supported" if security["secure"] else "contradicted"
    return Claim(claim, assumed, result, said, "00: protocol; 03: security")


def _interval(row: object, value: str, low: str, high: str, sign: int = 1) -> str:
    """ "0.812 (0.701 to 0.903)"; a sign of -1 turns a difference round."""
    ends = sorted(sign * float(getattr(row, name)) for name in (low, high))
    return f"{sign * float(getattr(row, value)):.3f} ({ends[0]:.3f} to {ends[1]:.3f})"
