"""papermill's command line as the workflow calls it: strict, whole outputs, failures kept."""

from __future__ import annotations

from pathlib import Path

import nbformat
import pytest

from heclstm_lib.cli import main
from heclstm_lib.errors import ConfigError, ReportError
from heclstm_lib.papermill_command import run_papermill


def notebook(folder: Path, body: str) -> str:
    code = nbformat.v4.new_code_cell
    cells = [code('n = "1"', metadata={"tags": ["parameters"]}), code(body)]
    spec = {"name": "python3", "display_name": "Python 3", "language": "python"}
    path = folder / "01_tiny.ipynb"
    nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": spec}), path)
    return str(path)


OPTIONS = ("-k", "python3", "--no-progress-bar", "-r", "n", "41")


def test_the_executed_notebook_has_its_parameters_outputs_and_no_path(tmp_path: Path) -> None:
    source, done = notebook(tmp_path, "print(n + '2')"), tmp_path / "out" / "01_tiny.ipynb"
    assert main(["papermill", source, str(done), *OPTIONS]) == 0
    executed = nbformat.read(done, as_version=4)
    assert executed.cells[-1].outputs[0].text == "412\n"
    noted = executed.metadata.papermill
    assert (noted.input_path, noted.output_path) == ("01_tiny.ipynb", "01_tiny.ipynb")
    assert noted.duration > 0
    assert [path.name for path in done.parent.iterdir()] == ["01_tiny.ipynb"]


def test_the_kernel_runs_in_the_folder_it_is_told(tmp_path: Path) -> None:
    source = notebook(tmp_path, "from pathlib import Path; print(Path.cwd())")
    done = tmp_path / "01_tiny.ipynb"
    there = tmp_path / "there"
    there.mkdir()
    run_papermill([source, str(there / done.name), *OPTIONS, "--cwd", str(there)])
    executed = nbformat.read(there / done.name, as_version=4)
    assert executed.cells[-1].outputs[0].text == f"{there}\n"


def test_an_unknown_parameter_ends_it_before_anything_is_written(tmp_path: Path) -> None:
    source, done = notebook(tmp_path, "print(n)"), tmp_path / "out" / "01_tiny.ipynb"
    with pytest.raises(ConfigError, match=r"no parameter 'm'; it knows: n"):
        run_papermill([source, str(done), *OPTIONS, "-r", "m", "2"])
    assert not list(done.parent.iterdir())


def test_a_failed_notebook_is_kept_and_no_output_left(tmp_path: Path) -> None:
    source, done = notebook(tmp_path, "1 / 0"), tmp_path / "out" / "01_tiny.ipynb"
    done.parent.mkdir()
    done.write_text("of an earlier run")
    with pytest.raises(ReportError, match=r"01_tiny\.ipynb, cell \d+: ZeroDivisionError"):
        run_papermill([source, str(done), *OPTIONS])
    assert [path.name for path in done.parent.iterdir()] == ["01_tiny.failed.ipynb"]


def test_a_dead_kernel_is_explained(tmp_path: Path) -> None:
    source, done = notebook(tmp_path, "import os; os._exit(9)"), tmp_path / "out" / "01_tiny.ipynb"
    with pytest.raises(ReportError, match="the kernel died, which usually means that memory"):
        run_papermill([source, str(done), *OPTIONS])
    assert [path.name for path in done.parent.iterdir()] == ["01_tiny.failed.ipynb"]


@pytest.mark.parametrize("wrong", [["--no-such-option"], []])
def test_wrong_arguments_are_one_message(tmp_path: Path, wrong: list[str]) -> None:
    source = notebook(tmp_path, "print(n)")
    with pytest.raises(ConfigError, match="papermill: "):
        run_papermill([source, *wrong])
