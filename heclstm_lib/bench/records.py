"""Finished runs on disk, one JSON file each, so that a stopped benchmark goes on."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from heclstm_lib.bench.suites import Entry, Suite
from heclstm_lib.errors import BenchError
from heclstm_lib.files import replacing

DONE = ("ok", "wrong", "partial")
"""Statuses of a run that ended: right outputs, wrong ones, or parts only (no outputs)."""


@dataclass(frozen=True)
class Record:
    """One run, or why there is none.

    status: "ok"; "wrong" (outputs off by more than the suite's tolerance: kept and flagged);
    "partial" (a part was measured, without outputs); "failed"; "skipped" (not installed, or the
    contender refuses the case). `error` is the largest error of an output, `mean_error` the mean
    over the rows that were returned; `load` is the machine's load average at the end; `setup`,
    `run` and `floor` are the contender's answers; heading, group and case are the suite's.
    """

    suite: str
    title: str
    contender: str
    repeat: int
    status: str
    identity: str  # of case and entry: a record of another one is not resumed
    reason: str = ""
    session: str = ""  # when the benchmark that made it began
    commit: str = ""
    heading: str = ""
    group: str = ""
    case: dict[str, Any] = field(default_factory=dict)
    case_digest: str = ""
    threads: int = 1
    cores: int = 1
    batch: int = 1
    error: float | None = None
    mean_error: float | None = None
    peak_bytes: int = 0
    load: float = 0.0
    setup: dict[str, Any] = field(default_factory=dict)
    run: dict[str, Any] = field(default_factory=dict)
    floor: dict[str, Any] = field(default_factory=dict)


def entry_identity(suite: Suite, entry: Entry) -> str:
    """Digest of what is computed and how: case, tolerance, options, threads, cores."""
    parts = [asdict(suite.case), suite.tolerance, entry.name, entry.options]
    parts += [entry.threads, entry.cores, entry.floor]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]


class RecordStore:
    """A folder of records."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def _path(self, suite: str, title: str, repeat: int) -> Path:
        name = hashlib.sha256(title.encode()).hexdigest()[:8]
        return self.folder / f"{suite}-{name}-{repeat:03d}.json"

    def put(self, record: Record) -> None:
        """Write a record in place of the earlier one of the same suite, entry and repeat."""
        with replacing(self._path(record.suite, record.title, record.repeat)) as part:
            text = json.dumps(asdict(record), indent=1)
            part.write_text(text + "\n", encoding="utf-8")

    def done(self, suite: Suite, entry: Entry, repeat: int) -> bool:
        """Whether that run ended, for the very same case and entry."""
        path = self._path(suite.name, entry.title, repeat)
        if not path.is_file():
            return False
        record = load_record(path)
        return record.status in DONE and record.identity == entry_identity(suite, entry)

    def forget(self, suite: Suite, entry: Entry) -> None:
        """Delete the records of an entry."""
        for path in self.folder.glob(self._path(suite.name, entry.title, 0).name[:-8] + "*.json"):
            path.unlink()

    def load(self) -> list[Record]:
        """All records, by suite, entry and repeat."""
        return [load_record(path) for path in sorted(self.folder.glob("*.json"))]


def load_record(path: Path) -> Record:
    """One record; BenchError for a file that is none."""
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
        return Record(**{f.name: raw[f.name] for f in dataclasses.fields(Record)})
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BenchError(f"{path} is no record of this version ({error!r}); delete it.") from error
