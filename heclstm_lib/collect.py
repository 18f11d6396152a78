"""Record and index of a study whose notebooks another program has run: the Snakemake workflow."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import nbformat

from heclstm_lib.config import load_profile
from heclstm_lib.errors import ReportError
from heclstm_lib.index import write_index
from heclstm_lib.paths import repo_root
from heclstm_lib.record import NotebookRun, changing_record
from heclstm_lib.study import Task, find_notebooks, make_tasks, study_digest


def collect_study(
    profile: str,
    out: Path,
    data: Path | None = None,
    *,
    datasets: Sequence[str] = (),
    current: bool = False,
    notebooks: Path | None = None,
) -> Path:
    """Write study.json and index.html from the executed notebooks in `out`; returns the index.

    With `current` the caller vouches that all of them belong to the present source, profile and
    library; they get the stamp that `heclstm study --resume` keeps them by, and ReportError is
    raised when one is missing or failed. Without it what there is is recorded as it is.
    """
    loaded, out = load_profile(profile), out.resolve()
    sources = find_notebooks(notebooks or repo_root() / "notebooks")
    digest = study_digest(loaded) if current else ""
    runs = []
    for task in make_tasks(loaded, profile, out, data, datasets, sources):
        runs.append(found_run(task, task.stamp(digest) if current else ""))
    with changing_record(out, loaded.name) as record:
        for run in runs:
            record.put(run)
        record.arrange(loaded.datasets)
    index = write_index(out, record)
    missing = [f"{run.dataset} {run.notebook}".strip() for run in runs if not run.ok]
    if current and missing:
        raise ReportError(f"not executed in {out}: {', '.join(missing)}. See {index}.")
    return index


def found_run(task: Task, stamp: str = "") -> NotebookRun:
    """How a task's notebook ended, read from its executed or failed notebook.

    "skipped" when there is neither.
    """
    done = task.folder / f"{task.name}.ipynb"
    failed = task.folder / f"{task.name}.failed.ipynb"
    if done.is_file():
        return NotebookRun(task.dataset, task.name, "done", _seconds(done), "", stamp)
    if failed.is_file():
        return NotebookRun(task.dataset, task.name, "failed", _seconds(failed), _error(failed))
    return NotebookRun(task.dataset, task.name, "skipped", 0.0, "not run yet")


def _seconds(executed: Path) -> float:
    """Run time as papermill noted it."""
    noted = nbformat.read(executed, as_version=4).metadata.get("papermill", {})
    return round(noted.get("duration") or 0.0, 1)


def _error(failed: Path) -> str:
    """The first cell's error in a failed notebook."""
    for cell in nbformat.read(failed, as_version=4).cells:
        for output in cell.get("outputs", []):
            if output.output_type == "error":
                count, what = cell.execution_count, f"{output.ename}: {output.evalue}"
                return f"cell {count}: {what}\nThe notebook with the error in its place: {failed}"
    return f"the kernel ended before its last cell; the notebook up to there: {failed}"
