"""What became of a batch: who was evaluated, who was finished before, who failed and why."""

from __future__ import annotations

from dataclasses import dataclass

ALL_DONE, SOME_FAILED = 0, 3
"""Exit codes; 2 is that of an error which stops everything."""


@dataclass(frozen=True)
class Failure:
    """A request without response, and the reason."""

    name: str
    reason: str


@dataclass(frozen=True)
class BatchReport:
    """Names of requests: evaluated in this run, finished before or elsewhere, failed."""

    evaluated: tuple[str, ...]
    finished: tuple[str, ...]
    failed: tuple[Failure, ...]
    seconds: float

    @property
    def exit_code(self) -> int:
        """0 when every request has its response, 3 when some failed."""
        return SOME_FAILED if self.failed else ALL_DONE

    def text(self) -> str:
        """A line of numbers, then a line for each failure."""
        total = len(self.evaluated) + len(self.finished) + len(self.failed)
        lines = [
            f"{total} requests: {len(self.evaluated)} evaluated, {len(self.finished)} finished "
            f"before or elsewhere, {len(self.failed)} failed, {self.seconds:.1f} s"
        ]
        return "\n".join(lines + [f"failed: {one.name}: {one.reason}" for one in self.failed])
