"""What a campaign of faults found."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Outcome:
    """Faults tried and what became of them; `detected` are those met as they should be.

    `wrong` counts wrong acceptances or results, `crashed` processes that ended otherwise than on
    purpose, `hung` those that did not end in time; `seconds` is the campaign's duration.
    """

    name: str
    tried: int
    detected: int
    wrong: int
    crashed: int
    hung: int
    seconds: float
    detail: str
