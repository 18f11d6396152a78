"""The claims of the paper, what we had to assume, and what came out here.

A claim is "supported" or "contradicted" only where a 95 % interval or a corrected p value says so;
otherwise it is "undecided" on this data set. What rests on cryptographic assumptions, and not on
anything measured here, holds "by assumption".
"""

from __future__ import annotations

import pandas as pd

from heclstm_lib.evaluation.comparison import LEVEL
from heclstm_lib.evaluation.published import PAPER_AUC
from heclstm_lib.stages.claim import (
    BY_ASSUMPTION,
    NOT_REACHED,
    NOT_TESTED,
    Claim,
    interval_text,
    verdict,
)
from heclstm_lib.stages.claim_parts import missed_claim, time_claim
from heclstm_lib.stages.evidence import (
    ENCRYPTED,
    ENCRYPTED_METHODS,
    ENCRYPTED_ROWS,
    METHOD_STAGE,
    TRAINING,
    Evidence,
)

FLIPS = 0.05
"""A rate of flipped decisions that would matter: the claim needs an interval below it."""


def claims_table(
    evidence: Evidence,
    contributions: pd.DataFrame | None,
    published: pd.DataFrame | None = None,
    own: pd.DataFrame | None = None,
    polynomials: pd.DataFrame | None = None,
) -> pd.DataFrame:
    """One row a claim: claim, our assumption, our result, verdict, where it is shown.

    contributions: of `evaluation.paired.contribution_table`, None without ablations. published,
    own: of `published_table` and `beside_published`; without published numbers there is no such
    row. polynomials: as contributions, of the HE-friendly network over its exact twin.
    """
    claims = [
        _area(evidence),
        _competitors(evidence),
        _encrypted_competitors(evidence),
        _space(evidence),
        time_claim(evidence, contributions),
        missed_claim(contributions),
        _encrypted(evidence, polynomials),
        _privacy(evidence),
    ]
    if published is not None and len(published):
        claims.insert(1, _published(evidence, published, own))
    return pd.DataFrame(claims)


def _area(evidence: Evidence) -> Claim:
    row = evidence.store.load_table(f"{TRAINING}.metrics").query("twin == 'polynomial'")
    found = row.set_index("metric").loc["auc"]
    text = f"HE-friendly network: {interval_text(found, 'estimate', 'ci_low', 'ci_high')}"
    return Claim(
        f"AUC above {PAPER_AUC} (Cervigram, BreaKHis).",
        "Their images are private or not at hand; this data set stands in, split by patient.",
        f"{text}, {found.n_patients} test patients.",
        verdict(found.ci_low, found.ci_high, PAPER_AUC).replace("contradicted", NOT_REACHED),
        "02: test results, ROC; 08: waterfall",
    )


def _published(evidence: Evidence, published: pd.DataFrame, own: pd.DataFrame | None) -> Claim:
    """The encrypted ensemble where there is one, else the encrypted network, on all test data."""
    best = float(published.auc.max())
    source = str(published.source[published.auc.idxmax()]).split(",")[0]
    claim = f"Above every published baseline ({source}: {best}), evaluated encrypted."
    assumed = (
        "Their numbers are of single runs without an interval, on the same official split; ours "
    )
    assumed += "are decrypted scores of all test sequences, of the ensemble where there is one."
    shown = "08: beside published numbers"
    rows = None if own is None else own[own.method.isin(ENCRYPTED_ROWS)]
    everyone = evidence.twin("polynomial").sequence_id.nunique()
    if rows is not None:
        rows = rows[rows.n_sequences == everyone]
    if rows is None or rows.empty:
        return Claim(claim, assumed, "Not all was evaluated encrypted.", NOT_TESTED, shown)
    found = rows.iloc[-1]  # the ensemble stands last
    text = f"{found.method}: AUC {interval_text(found, 'auc', 'ci_low', 'ci_high')}"
    higher = "above" if found.auc > best else "not above"
    said = verdict(found.ci_low, found.ci_high, best).replace("contradicted", NOT_REACHED)
    result = f"{text}, {found.n_sequences} sequences; the point estimate is {higher} {best}."
    return Claim(claim, assumed, result, said, shown)


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
    result, said = _against(rivals, "encrypted evaluations (a method in two schemes is two)")
    flips = agreed[agreed.method.isin(rivals.method)]
    result += f"; encryption flips {int(flips.flips.sum())} of {int(flips.n.sum())} decisions"
    return Claim(claim, assumed, f"{result} of theirs.", said, shown)


def _against(table: pd.DataFrame, what: str = "methods") -> tuple[str, str]:
    """A sentence and a verdict on "all these are worse than ours"."""
    sure = table[table.p_holm < LEVEL]
    worse, better = sum(sure.difference < 0), sum(sure.difference > 0)
    said = "supported" if worse == len(table) else "contradicted" if better else "undecided"
    text = f"Of {len(table)} {what} {worse} are worse and {better} better in AUC at p < {LEVEL}"
    return f"{text} (paired, Holm over these)", said


def _space(evidence: Evidence) -> Claim:
    claim = "Convolutional blocks extract spatial features."
    assumed = "Then the network beats a regression on mean colour and on the mean image."
    table = evidence.table(TRAINING, "comparison")
    if table is None:
        return Claim(claim, assumed, "No baseline was run.", NOT_TESTED, "02")
    simple = table[table.method.isin(["mean colour", "mean image"])]
    parts = [
        f"{row.method}: {interval_text(row, 'difference', 'difference_low', 'difference_high', -1)}"
        for row in simple.itertuples()
    ]
    lows, highs = -simple.difference_high, -simple.difference_low
    said = verdict(float(lows.min()), float(highs.min()))
    result = "AUC, network minus baseline: " + "; ".join(parts) + "."
    return Claim(claim, assumed, result, said, "02: baselines")


def _encrypted(evidence: Evidence, polynomials: pd.DataFrame | None) -> Claim:
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
    if polynomials is not None:
        changed = [
            f"{row.metric.replace('_', ' ')} {interval_text(row, 'estimate', 'ci_low', 'ci_high')}"
            for row in polynomials.itertuples()
        ]
        result += f" The polynomials before it, HE-friendly minus exact: {'; '.join(changed)}."
    said = verdict(-found["flip_rate_high"], -found["flip_rate_low"], -FLIPS)
    return Claim(claim, assumed, result, said, "04: agreement; 08: waterfall")


def _privacy(evidence: Evidence) -> Claim:
    claim = "The server learns nothing about the images."
    assumed = (
        "Ring-LWE is hard; honest-but-curious server; no decrypted value leaves the hospital; "
    )
    assumed += "their scheme's parameters are not public, ours are CKKS at 128 bits."
    security = evidence.numbers("03_he_conversion").get("plan", {}).get("security")
    if not security:
        return Claim(claim, assumed, "No plan was made.", NOT_TESTED, "03")
    result = (
        f"N = {security['poly_degree']}, log2(QP) = {security['total_bits']} of at most "
        f"{security['limit_2024_bits']} for 128 bits."
    )
    # sizes of parameters are no evidence on a server; they are what the assumption asks for
    said = BY_ASSUMPTION if security["secure"] else "contradicted"
    return Claim(claim, assumed, result, said, "00: protocol; 03: security")
