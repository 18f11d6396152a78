"""Run one notebook through papermill: strict about parameters, honest about failures."""

from __future__ import annotations

import logging
import os
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jupytext
import nbformat
import papermill
from nbclient.exceptions import DeadKernelError
from papermill.exceptions import PapermillExecutionError
from traitlets.config import Config

from heclstm_lib.errors import ConfigError, ReportError
from heclstm_lib.paths import repo_root

KERNEL = "python3"

OUTPUT_S = 180
"""For a cell's outputs to arrive after its end."""


def run_notebook(
    source: Path, parameters: Mapping[str, Any], folder: Path, *, progress: bool = True
) -> Path:
    """Execute a notebook (.py in py:percent, or .ipynb) into `folder`; returns `<name>.ipynb`.

    A failed one is kept as `<name>.failed.ipynb` and raises ReportError with notebook, cell and
    error; ConfigError for a parameter that the notebook does not have or that is no literal.
    """
    notebook = load_notebook(source)
    check_parameters(source.name, notebook, parameters)
    done = folder / f"{source.stem}.ipynb"
    with keeping(source.name, done) as part:
        nbformat.write(notebook, part)
        _execute(part, parameters, progress)
    return done


@contextmanager
def keeping(name: str, done: Path) -> Iterator[Path]:
    """Yield a temporary path for executing the notebook `name`, moved to `done` when it succeeds.

    Otherwise what there is of it becomes `<done's stem>.failed.ipynb`, and an error of papermill
    becomes a ReportError with notebook, cell and error. Those of an earlier run are removed first.
    """
    failed = done.with_name(f"{done.stem}.failed.ipynb")
    done.parent.mkdir(parents=True, exist_ok=True)
    for old in (done, failed):
        old.unlink(missing_ok=True)
    part = done.with_name(f".{done.stem}.part.ipynb")
    part.unlink(missing_ok=True)
    kept = failed
    try:
        yield part
        kept = done
    except DeadKernelError as error:
        raise ReportError(_explain_death(name, part, failed)) from error
    except PapermillExecutionError as error:
        raise ReportError(
            f"notebook {name}, cell {error.exec_count}: {error.ename}: {error.evalue}\n"
            f"The notebook with the error in its place: {failed}"
        ) from error
    finally:
        if part.is_file():  # it is not when a parameter is refused
            _keep(part, kept, name)


def load_notebook(source: Path) -> nbformat.NotebookNode:
    """Read a notebook in either form, without outputs and with the study's kernel."""
    if not source.is_file():
        raise ReportError(f"no notebook {source}; expected a .py (py:percent) or .ipynb file.")
    notebook = jupytext.read(source)
    spec = {"name": KERNEL, "display_name": "Python 3", "language": "python"}
    notebook.metadata["kernelspec"] = spec
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    return notebook


def known_parameters(notebook: nbformat.NotebookNode) -> tuple[str, ...]:
    """Names assigned in the cell tagged "parameters", in their order."""
    with _quiet():
        return tuple(papermill.inspect_notebook(notebook))


def check_parameters(
    name: str, notebook: nbformat.NotebookNode, parameters: Mapping[str, Any]
) -> None:
    """Raise ConfigError unless every parameter is known to the notebook and a literal.

    papermill only warns about an unknown one, and the notebook would run with its default.
    """
    known = known_parameters(notebook)
    unknown = [key for key in parameters if key not in known]
    if unknown:
        raise ConfigError(
            f"notebook {name} has no parameter {', '.join(map(repr, unknown))}; "
            f"it knows: {', '.join(known) or 'none (no cell is tagged parameters)'}."
        )
    for key, value in parameters.items():
        if not _is_literal(value):
            raise ConfigError(
                f"notebook {name}, parameter '{key}': {value!r} of type {type(value).__name__} "
                "is no literal; give text, numbers, True/False, None, or lists and mappings of "
                f"them. Parameters: {', '.join(known)}."
            )


def _is_literal(value: Any) -> bool:
    if isinstance(value, dict):
        return all(isinstance(key, str) and _is_literal(item) for key, item in value.items())
    if isinstance(value, list):
        return all(map(_is_literal, value))
    return type(value) in {str, int, float, bool, type(None)}


def _execute(part: Path, parameters: Mapping[str, Any], progress: bool) -> None:
    with _quiet(), kernel_environment() as scratch:
        papermill.execute_notebook(
            part,
            part,
            parameters=dict(parameters),
            kernel_name=KERNEL,
            cwd=repo_root(),  # so that a path inside the repository can be given relative to it
            progress_bar=progress and sys.stderr.isatty(),
            start_timeout=180,
            config=kernel_config(scratch),
        )


def kernel_config(scratch: str) -> Config:
    """Sockets in a folder of the run's own (of `kernel_environment`), and patience.

    No port, nothing to overhear, and none shared with another kernel that runs at the same time. A
    busy machine may be slow to hand over outputs, which nbclient would leave out without a word.
    """
    return Config(
        {
            "KernelManager": {"transport": "ipc", "ip": f"{scratch}/kernel"},
            "NotebookClient": {"iopub_timeout": OUTPUT_S, "raise_on_iopub_timeout": True},
        }
    )


@contextmanager
def kernel_environment() -> Iterator[str]:
    """This Python's kernel and no other: a user's kernelspec or start-up files have no say.

    Yields a folder for the run's sockets and settings, gone afterwards.
    """
    with tempfile.TemporaryDirectory(prefix="heclstm-") as scratch:
        own = Path(sys.prefix) / "share" / "jupyter"
        paths = [str(own), *filter(None, [os.environ.get("JUPYTER_PATH")])]
        changes = {
            "JUPYTER_PATH": os.pathsep.join(paths),
            "JUPYTER_PREFER_ENV_PATH": "1",
            "IPYTHONDIR": scratch,
            "JUPYTER_RUNTIME_DIR": scratch,  # a short path, as the kernel's sockets need
            "PYDEVD_DISABLE_FILE_VALIDATION": "1",  # else a warning about frozen modules
        }
        before = dict(os.environ)
        os.environ.update(changes)
        os.environ.pop("MPLBACKEND", None)  # the kernel's inline backend shows the figures
        try:
            yield scratch
        finally:
            os.environ.clear()
            os.environ.update(before)


@contextmanager
def _quiet() -> Iterator[None]:
    logger = logging.getLogger("papermill")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)


def _keep(part: Path, target: Path, name: str) -> None:
    """Move the executed notebook to its place, with file names instead of this machine's paths."""
    notebook = nbformat.read(part, as_version=4)
    record = notebook.metadata.get("papermill", {})
    record.update(input_path=name, output_path=target.name)
    settle_progress(notebook)
    nbformat.write(notebook, part)
    part.replace(target)


def settle_progress(notebook: nbformat.NotebookNode) -> None:
    """Keep of every progress bar its last state: what a terminal would show in the end."""
    for cell in notebook.cells:
        settled: list[nbformat.NotebookNode] = []
        for output in cell.get("outputs", []):
            same = settled and output.output_type == settled[-1].output_type == "stream"
            if same and output.name == settled[-1].name:
                settled[-1].text += output.text
            else:
                settled.append(output)
        for output in settled:
            if output.output_type == "stream":
                lines = output.text.split("\n")
                output.text = "\n".join(line.rstrip("\r").rsplit("\r", 1)[-1] for line in lines)
        if cell.cell_type == "code":
            cell.outputs = settled


def _explain_death(name: str, part: Path, kept: Path) -> str:
    cells = [c for c in nbformat.read(part, as_version=4).cells if c.cell_type == "code"]
    started = sum(bool(cell.metadata.get("papermill", {}).get("start_time")) for cell in cells)
    return (
        f"notebook {name}, cell {started}: the kernel died, which usually means that memory "
        "ran out. Free memory, or choose a smaller profile, fewer he.workers or fewer "
        f"he.sequences. The notebook up to there: {kept}"
    )
