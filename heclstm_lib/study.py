"""Run a profile's notebooks in order, keep a record of every run, and render what there is."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import time
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from heclstm_lib.config import Profile, load_profile, to_dict
from heclstm_lib.errors import ConfigError, HeclstmError, ReportError
from heclstm_lib.grid import load_grid
from heclstm_lib.index import write_index
from heclstm_lib.paths import manifests_dir, repo_root
from heclstm_lib.record import FILE, NotebookRun, StudyRecord, changing_record, load_record
from heclstm_lib.report import render_notebook
from heclstm_lib.runner import known_parameters, load_notebook, run_notebook

OVERVIEW = "00_overview"


@dataclass(frozen=True)
class Task:
    """One notebook on one data set ("" for the overview, which belongs to the whole study)."""

    source: Path
    dataset: str
    folder: Path
    parameters: dict[str, Any]

    @property
    def name(self) -> str:
        """The notebook's name, `00_overview` and so on."""
        return self.source.stem

    def stamp(self, digest: str) -> str:
        """Digest of all that decides the outcome; `digest` covers library and configuration."""
        parts = [self.source.read_text(encoding="utf-8"), self.parameters, digest]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def run_study(
    profile: str,
    out: Path | None = None,
    data: Path | None = None,
    *,
    datasets: Sequence[str] = (),
    resume: bool = False,
    notebooks: Path | None = None,
) -> Path:
    """Run 00_overview once and 01.. for each data set; returns the path of index.html.

    `out` is this study's own folder (default reports/<profile>), `data` the folder of fetched data.
    A failed notebook ends its data set only: the rest runs, everything is rendered, and ReportError
    is raised at the end. With `resume`, notebooks are kept up to the first of a data set whose
    source, parameters, configuration or library changed.
    """
    loaded = load_profile(profile)
    out = (out or repo_root() / "reports" / loaded.name).resolve()
    sources = find_notebooks(notebooks or repo_root() / "notebooks")
    tasks = list(make_tasks(loaded, profile, out, data, datasets, sources))
    digest = study_digest(loaded)
    with changing_record(out, loaded.name) as record:  # from here on `out` is known as a study
        record.keep_notebooks({source.stem for source in sources})
        if not resume:  # every number is to come from this run
            clear_work(out, {task.dataset for task in tasks if task.dataset})
    state: dict[str, NotebookRun] = {}  # of each data set, its latest run that was not reused
    for number, task in enumerate(tasks, 1):
        print(f"[{number}/{len(tasks)}] {task.dataset or loaded.name}: {task.name} ", end="")
        run = _run(task, task.stamp(digest), record, state, resume)
        print(f"{run.status}, {run.seconds:.0f} s", flush=True)
        if run.status == "failed":
            print(run.error)
        with changing_record(out, loaded.name) as record:
            record.put(run)
            record.arrange(loaded.datasets)
        write_index(out, record)
    ended = [record.get(task.dataset, task.name) for task in tasks]
    failed = [f"{r.dataset or loaded.name}: {r.notebook}" for r in ended if r and not r.ok]
    if failed:
        raise ReportError(f"not finished: {', '.join(failed)}. See {out / 'index.html'}.")
    return out / "index.html"


def clear_work(out: Path, datasets: Collection[str]) -> None:
    """Remove what an earlier run of these data sets left in `out`/work.

    Raises ConfigError, before anything is removed, when `out` holds no study: the files are not
    known to be ours.
    """
    places = [(out / "work" / name, out / name / "work") for name in datasets]
    folders = [folder for pair in places for folder in pair]
    for folder in folders:
        if not (out / FILE).is_file() and folder.is_dir() and any(folder.iterdir()):
            raise ConfigError(
                f"{folder} is not empty, and {out} holds no study ({FILE} is missing), so nothing "
                "is removed. Choose another folder with --out, keep the files with --resume, or "
                "remove them yourself."
            )
    for folder in folders:
        shutil.rmtree(folder, ignore_errors=True)


def find_notebooks(folder: Path) -> list[Path]:
    """The sources `NN_name.py`, in order; ReportError when there is none."""
    sources = sorted(folder.glob("[0-9][0-9]_*.py"))
    if not sources:
        raise ReportError(f"no notebooks NN_name.py in {folder}; run from a complete checkout.")
    return sources


def make_tasks(
    profile: Profile,
    profile_name: str,
    out: Path,
    data: Path | None,
    datasets: Sequence[str],
    sources: Sequence[Path],
) -> Iterator[Task]:
    """Every notebook run of a study, the overview first; ConfigError for an unknown data set."""
    chosen = [profile.study(name).dataset for name in datasets or _all_datasets(profile)]
    is_file = Path(profile_name).suffix in {".yml", ".yaml"}
    common = {
        "profile": portable(Path(profile_name)) if is_file else profile_name,
        "out": portable(out),
        "data": portable(data) if data else "",
    }
    for source in sources:
        if source.stem == OVERVIEW:
            known = known_parameters(load_notebook(source))
            own = {k: v for k, v in (common | {"dataset": chosen[0]}).items() if k in known}
            yield Task(source, "", out, own)
    for dataset in chosen:
        for source in sources:
            if source.stem != OVERVIEW:
                yield Task(source, dataset, out / dataset, common | {"dataset": dataset})


def _all_datasets(profile: Profile) -> list[str]:
    if not profile.studies:
        raise ConfigError(f"profile '{profile.name}' has no studies; add at least one data set.")
    return profile.datasets


def portable(path: Path) -> str:
    """Relative to the repository where it lies in or beside it: no machine's path in a report."""
    root, path = repo_root(), path.resolve()
    return os.path.relpath(path, root) if path.is_relative_to(root.parent) else str(path)


def study_digest(profile: Profile) -> str:
    """Of library, settings, manifests, splits, resolved profile: all that may change a result.

    ConfigError for a grid file of the profile's own that cannot be read.
    """
    manifests = [*manifests_dir().rglob("*.json"), *manifests_dir().rglob("*.csv")]
    settings = [p for p in Path(__file__).parent.rglob("*.yml") if p.parent.name != "profiles"]
    files = files_digest([*library_files(), *settings, *manifests])
    return files + json.dumps(to_dict(profile)) + grid_texts(profile)


def library_files() -> list[Path]:
    """The library's source."""
    return sorted(Path(__file__).parent.rglob("*.py"))


def files_digest(files: Iterable[Path]) -> str:
    """sha256 over names and contents."""
    total = hashlib.sha256()
    for path in sorted(files):
        total.update(path.name.encode() + b"\0" + path.read_bytes())
    return total.hexdigest()


def grid_texts(profile: Profile) -> str:
    """The grid files of its own that a profile names; ConfigError for one that cannot be read."""
    named = dict.fromkeys(study.grid for study in profile.studies)
    return json.dumps([load_grid(path).text for path in named if path is not None])


def _run(
    task: Task, stamp: str, record: StudyRecord, state: dict[str, NotebookRun], resume: bool
) -> NotebookRun:
    latest, before = state.get(task.dataset), record.get(task.dataset, task.name)
    if latest and not latest.ok:
        reason = f"{latest.notebook} {latest.status} before it"
        run = NotebookRun(task.dataset, task.name, "skipped", 0.0, reason)
    elif resume and not latest and before and before.ok and _kept(task, before, stamp):
        return replace(before, status="reused")
    else:
        run = _execute(task, stamp)
    state[task.dataset] = run
    return run


def _kept(task: Task, before: NotebookRun, stamp: str) -> bool:
    outputs = [task.folder / f"{task.name}{end}" for end in (".ipynb", ".html", ".code.html")]
    return before.stamp == stamp and all(path.is_file() for path in outputs)


def _execute(task: Task, stamp: str) -> NotebookRun:
    started, error, status = time.monotonic(), "", "done"
    try:
        run_notebook(task.source, task.parameters, task.folder)
    except HeclstmError as problem:
        error, status = str(problem), "failed"
    seconds = round(time.monotonic() - started, 1)
    run = NotebookRun(task.dataset, task.name, status, seconds, error, stamp)
    _render(run, task.folder)
    return run


def _render(run: NotebookRun, folder: Path) -> None:
    """Render a run's notebook, the failed one too; nothing when it never started."""
    executed = folder / f"{run.notebook}{'' if run.ok else '.failed'}.ipynb"
    if executed.is_file():
        home = "../index.html" if run.dataset else "index.html"
        render_notebook(executed, folder, run.notebook, home)


def render_study(out: Path) -> Path:
    """Render every notebook of a study and its index again, running nothing."""
    record = load_record(out)
    for run in record.runs:
        _render(run, out / run.dataset)
    return write_index(out, record)
