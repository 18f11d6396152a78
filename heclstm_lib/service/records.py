"""What the service remembers of a bundle and of a job, as JSON beside their files."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from typing import Any, ClassVar

Key = tuple[str, str, str]
"""Folder of the kind, owner, name."""


@dataclass(frozen=True)
class Record:
    """An upload of an owner, named by the sha256 of its content; times are seconds since 1970.

    `crashes` counts the workers that ended while they were at it.
    """

    owner: str
    name: str
    bytes: int
    state: str
    created: float
    reason: str = ""
    crashes: int = 0

    folder: ClassVar[str]
    kind: ClassVar[str]

    @property
    def key(self) -> Key:
        """What tells it from every other record."""
        return self.folder, self.owner, self.name

    def to_text(self) -> str:
        """JSON of every field."""
        return json.dumps(dataclasses.asdict(self))

    @classmethod
    def from_text(cls, text: str) -> Any:
        """The record of a JSON text; ValueError or TypeError for anything else."""
        return cls(**json.loads(text))

    def shown(self) -> dict[str, Any]:
        """What its owner may see."""
        raw = dataclasses.asdict(self)
        return {k: v for k, v in raw.items() if k not in ("owner", "crashes")}


@dataclass(frozen=True)
class Bundle(Record):
    """A public bundle: "checking", then "ready" or "refused" (with the reason)."""

    folder: ClassVar[str] = "bundles"
    kind: ClassVar[str] = "public"


@dataclass(frozen=True)
class Job(Record):
    """A request: "queued", "running", then "done" or "failed" (with the reason)."""

    bundle: str = ""
    sequences: int = 0
    started: float = 0.0
    ended: float = 0.0

    folder: ClassVar[str] = "jobs"
    kind: ClassVar[str] = "request"


WAITING = {"checking", "queued", "running"}
"""States that a worker still has to end."""
