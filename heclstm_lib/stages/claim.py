"""One line of the claims table, and how an interval decides it."""

from __future__ import annotations

from typing import NamedTuple

NOT_TESTED = "not tested here"
NOT_REACHED = "not reached here"
BY_ASSUMPTION = "by assumption"
"""Verdict on a claim that no measurement of ours could support."""


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


def interval_text(row: object, value: str, low: str, high: str, sign: int = 1) -> str:
    """Cells of a row as "0.812 (0.701 to 0.903)"; a sign of -1 turns a difference round."""
    ends = sorted(sign * float(getattr(row, name)) for name in (low, high))
    return f"{sign * float(getattr(row, value)):.3f} ({ends[0]:.3f} to {ends[1]:.3f})"
