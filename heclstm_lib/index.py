"""index.html: what the study is, what came out, and the way to every report."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat

from heclstm_lib.record import NotebookRun, StudyRecord
from heclstm_lib.report import notebook_title, write_page
from heclstm_lib.results import ResultStore


@dataclass(frozen=True)
class Row:
    """One notebook's line in the index; addresses are relative to the index, "" when absent."""

    run: NotebookRun
    title: str
    report: str
    code: str
    notebook: str

    @property
    def runtime(self) -> str:
        """Run time for people."""
        minutes, seconds = divmod(round(self.run.seconds), 60)
        return f"{minutes} min {seconds:02d} s" if minutes else f"{seconds} s"


@dataclass(frozen=True)
class Section:
    """One data set's rows and headline results."""

    dataset: str
    rows: list[Row]
    headline: list[dict[str, str]]

    @property
    def ok(self) -> bool:
        """Whether every notebook is done."""
        return all(row.run.ok for row in self.rows)


def write_index(out: Path, record: StudyRecord) -> Path:
    """Write `out`/index.html from the record of runs and every result.json."""
    sections = [make_section(out, record, dataset) for dataset in record.datasets()]
    general = make_section(out, record, "")
    provenance = latest_provenance(out, record)
    return write_page(
        out / "index.html",
        "index.html.j2",
        profile=record.profile,
        general=general,
        sections=sections,
        provenance=provenance,
        ok=general.ok and all(section.ok for section in sections),
    )


def make_section(out: Path, record: StudyRecord, dataset: str) -> Section:
    """Rows of one data set ("" for the notebooks of the whole study), with its headline."""
    rows = [make_row(out, run) for run in record.runs if run.dataset == dataset]
    done = {row.run.notebook for row in rows if row.run.ok}
    stages = ResultStore(out / dataset / "results").load_results()
    headline = [
        {key: str(item.get(key, "")) for key in ("label", "value", "detail")} | {"stage": stage}
        for stage, result in sorted(stages.items())
        if stage in done
        for item in result.get("headline", [])
    ]
    return Section(dataset, rows, headline)


def make_row(out: Path, run: NotebookRun) -> Row:
    """One notebook's line; a skipped notebook shows no reports of an earlier run."""
    folder = out / run.dataset
    ending = ".failed.ipynb" if run.status == "failed" else ".ipynb"
    executed = folder / f"{run.notebook}{ending}"

    def address(path: Path) -> str:
        there = path.is_file() and run.status != "skipped"
        return Path(os.path.relpath(path, out)).as_posix() if there else ""

    title = None
    if executed.is_file():
        title = notebook_title(nbformat.read(executed, as_version=4))
    return Row(
        run,
        title or run.notebook,
        address(folder / f"{run.notebook}.html"),
        address(folder / f"{run.notebook}.code.html"),
        address(executed),
    )


def latest_provenance(out: Path, record: StudyRecord) -> dict[str, Any]:
    """The newest provenance among all results; empty when there is none."""
    folders = ["", *record.datasets()]
    found = [
        result.get("provenance", {})
        for folder in folders
        for result in ResultStore(out / folder / "results").load_results().values()
    ]
    return max(found, key=lambda entry: str(entry.get("created", "")), default={})
