"""study.json: which notebooks ran on which data set, how they ended, how long they took."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from heclstm_lib.errors import ReportError
from heclstm_lib.files import locked, replacing

FILE = "study.json"


@dataclass(frozen=True)
class NotebookRun:
    """One notebook's last run; `dataset` is "" for a notebook of the whole study."""

    dataset: str
    notebook: str
    status: str  # "done", "reused" (unchanged since it was done), "failed" or "skipped"
    seconds: float
    error: str = ""
    stamp: str = ""  # digest of source, parameters, configuration and library

    @property
    def ok(self) -> bool:
        """Whether its report and results are there."""
        return self.status in {"done", "reused"}


@dataclass
class StudyRecord:
    """The last run of every notebook of a study."""

    profile: str
    runs: list[NotebookRun] = field(default_factory=list)

    def get(self, dataset: str, notebook: str) -> NotebookRun | None:
        """The last run of a notebook on a data set, if any."""
        found = [r for r in self.runs if (r.dataset, r.notebook) == (dataset, notebook)]
        return found[0] if found else None

    def put(self, run: NotebookRun) -> None:
        """Replace the earlier run of the same notebook and data set in its place, or append."""
        earlier = self.get(run.dataset, run.notebook)
        if earlier:
            self.runs[self.runs.index(earlier)] = run
        else:
            self.runs.append(run)

    def keep_notebooks(self, names: Collection[str]) -> None:
        """Drop runs of notebooks that are no longer there, or have another name."""
        self.runs = [run for run in self.runs if run.notebook in names]

    def arrange(self, datasets: Sequence[str]) -> None:
        """Order the runs: of the whole study, of these data sets in their order, of others."""
        place = {name: at for at, name in enumerate(("", *datasets))}
        self.runs.sort(key=lambda run: place.get(run.dataset, len(place)))

    def datasets(self) -> list[str]:
        """Data sets in the order of their runs."""
        return list(dict.fromkeys(run.dataset for run in self.runs if run.dataset))


def load_record(out: Path, profile: str | None = None) -> StudyRecord:
    """The record in a study's folder.

    An empty one when there is none, or when it is of another profile than the one asked for.
    """
    path = out / FILE
    if not path.is_file():
        return StudyRecord(profile or "")
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
        record = StudyRecord(raw["profile"], [NotebookRun(**run) for run in raw["runs"]])
    except (ValueError, KeyError, TypeError) as error:
        raise ReportError(f"{path} is not a study record ({error}); delete it.") from error
    return record if profile in {None, record.profile} else StudyRecord(profile or "")


def write_record(out: Path, record: StudyRecord) -> Path:
    """Write study.json."""
    with replacing(out / FILE) as part:
        part.write_text(json.dumps(dataclasses.asdict(record), indent=1) + "\n", encoding="utf-8")
    return out / FILE


@contextmanager
def changing_record(out: Path, profile: str) -> Iterator[StudyRecord]:
    """The record as it is now, written when the block ends; two studies in `out` take turns."""
    with locked(out / ".lock"):
        record = load_record(out, profile)
        yield record
        write_record(out, record)
