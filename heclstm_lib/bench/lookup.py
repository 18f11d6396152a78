"""Look-ups in a benchmark's summary, and comparisons in which a number may be missing."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd


class Results:
    """Look-ups in a summary table."""

    def __init__(self, summary: pd.DataFrame) -> None:
        self.summary = summary

    def rows(self, *suites: str, contender: str = "", correct: bool = True) -> pd.DataFrame:
        """Entries of suites (or groups); by default only those whose outputs were right."""
        table = self.summary
        if not len(table):
            return pd.DataFrame(columns=["status", "contender"])
        chosen = table["suite"].isin(suites) | table["group"].isin(suites)
        if contender:
            chosen &= table["contender"] == contender
        if correct:
            chosen &= table["status"] == "ok"
        return table[chosen]

    def value(self, suite: str, title: str, column: str, correct: bool = True) -> float | None:
        """One number of one entry; None where there is none."""
        rows = self.rows(suite, correct=correct)
        rows = rows[rows["title"] == title] if len(rows) else rows
        return finite(rows.iloc[0][column]) if len(rows) else None

    def best(self, rows: pd.DataFrame, column: str, largest: bool = False) -> float | None:
        """The smallest (largest) number of a column; None where there is none."""
        values = rows[column].dropna() if column in rows else pd.Series(dtype=float)
        return finite(values.max() if largest else values.min()) if len(values) else None


def finite(value: Any) -> float | None:
    """A plain float, None for NaN, infinity and None."""
    return float(value) if value is not None and np.isfinite(value) else None


def ratio(top: float | None, bottom: float | None) -> float | None:
    """top / bottom where both are known."""
    return top / bottom if top is not None and bottom else None


def every(checks: Iterable[bool | None]) -> bool | None:
    """True if all hold; False if one does not; None if one is unknown and none is false."""
    found = list(checks)
    return False if False in found else None if None in found else True


def at_most(value: float | None, limit: float) -> bool | None:
    """Whether a value stays within a limit; None for an unknown one."""
    return None if value is None else value <= limit


def at_least(value: float | None, limit: float) -> bool | None:
    """Whether a value reaches a limit; None for an unknown one."""
    return None if value is None else value >= limit
