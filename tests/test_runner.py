"""The runner: parameters are checked, failures are kept and explained, the kernel is ours."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from papermill.clientwrap import PapermillNotebookClient
from papermill.engines import NotebookExecutionManager

from heclstm_lib.errors import ConfigError, ReportError
from heclstm_lib.paths import repo_root
from heclstm_lib.runner import (
    kernel_config,
    kernel_environment,
    known_parameters,
    load_notebook,
    run_notebook,
)

HEAD = '# %% tags=["parameters"]\nn = 1\nlabel = "x"  # what it is\n\n# %%\n'


def notebook(folder: Path, body: str, name: str = "01_tiny") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.py"
    path.write_text(HEAD + body, encoding="utf-8")
    return path


def printed(path: Path) -> str:
    cells = nbformat.read(path, as_version=4).cells
    outputs = [output for cell in cells for output in cell.get("outputs", [])]
    return "".join(output.text for output in outputs if output.output_type == "stream")


def test_parameters_reach_the_notebook(tmp_path: Path) -> None:
    source = notebook(tmp_path, "print(n + 1, label)")
    done = run_notebook(source, {"n": 41}, tmp_path / "out")
    assert done == tmp_path / "out" / "01_tiny.ipynb"
    assert printed(done) == "42 x\n"


def test_ipynb_sources_run_and_old_outputs_vanish(tmp_path: Path) -> None:
    content = nbformat.v4.new_notebook(
        cells=[
            nbformat.v4.new_code_cell("n = 1", metadata={"tags": ["parameters"]}),
            nbformat.v4.new_code_cell(
                "print(n)", outputs=[nbformat.v4.new_output("stream", text="stale")]
            ),
        ]
    )
    source = tmp_path / "a.ipynb"
    nbformat.write(content, source)
    assert printed(run_notebook(source, {"n": 2}, tmp_path / "out")) == "2\n"


@pytest.mark.parametrize("wrong", [{"m": 1}, {"n": 1, "labels": "y"}])
def test_unknown_parameter_names_the_known_ones(tmp_path: Path, wrong: dict[str, object]) -> None:
    source = notebook(tmp_path, "print(n)")
    with pytest.raises(ConfigError, match=r"no parameter '(m|labels)'; it knows: n, label"):
        run_notebook(source, wrong, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("value", [Path("x"), (1, 2), {"a": {1, 2}}, {1: "a"}, print])
def test_parameter_must_be_a_literal(tmp_path: Path, value: object) -> None:
    source = notebook(tmp_path, "print(n)")
    with pytest.raises(ConfigError, match=r"'n'.*is no literal"):
        run_notebook(source, {"n": value}, tmp_path / "out")


def test_notebook_without_parameters_cell_says_so(tmp_path: Path) -> None:
    source = tmp_path / "plain.py"
    source.write_text("# %%\nn = 1\n", encoding="utf-8")
    assert known_parameters(load_notebook(source)) == ()
    with pytest.raises(ConfigError, match="no cell is tagged parameters"):
        run_notebook(source, {"n": 2}, tmp_path / "out")


def test_missing_notebook(tmp_path: Path) -> None:
    with pytest.raises(ReportError, match=r"no notebook .*absent\.py"):
        run_notebook(tmp_path / "absent.py", {}, tmp_path)


def test_failed_notebook_is_kept_with_its_error(tmp_path: Path) -> None:
    out = tmp_path / "out"
    run_notebook(notebook(tmp_path, "print(n)"), {}, out)
    source = notebook(tmp_path, "print('before')\n\n# %%\nraise ValueError(f'no {n}')")
    with pytest.raises(ReportError, match=r"01_tiny\.py, cell 4: ValueError: no 5"):
        run_notebook(source, {"n": 5}, out)
    assert "before" in printed(out / "01_tiny.failed.ipynb")
    assert [path.name for path in out.iterdir()] == ["01_tiny.failed.ipynb"]
    run_notebook(notebook(tmp_path, "print(n)"), {}, out)
    assert [path.name for path in out.iterdir()] == ["01_tiny.ipynb"]


def test_dead_kernel_is_explained(tmp_path: Path) -> None:
    source = notebook(tmp_path, "import os, signal\nos.kill(os.getpid(), signal.SIGKILL)")
    with pytest.raises(ReportError, match=r"cell 2: the kernel died, .* memory ran out"):
        run_notebook(source, {}, tmp_path / "out")
    assert (tmp_path / "out" / "01_tiny.failed.ipynb").is_file()


def test_a_users_kernel_and_startup_files_have_no_say(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = tmp_path / "jupyter" / "kernels" / "python3"
    spec.mkdir(parents=True)
    hijack = {"argv": ["/bin/false"], "display_name": "not ours", "language": "python"}
    (spec / "kernel.json").write_text(json.dumps(hijack), encoding="utf-8")
    startup = tmp_path / "ipython" / "profile_default" / "startup"
    startup.mkdir(parents=True)
    (startup / "00.py").write_text("n = label = None\nprint('hijacked')", encoding="utf-8")
    monkeypatch.setenv("JUPYTER_DATA_DIR", str(tmp_path / "jupyter"))
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path / "jupyter"))
    monkeypatch.setenv("JUPYTER_PREFER_ENV_PATH", "0")
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    monkeypatch.setenv("MPLBACKEND", "agg")
    body = "import os, sys\nprint(sys.executable, os.environ.get('MPLBACKEND'))"
    done = run_notebook(notebook(tmp_path, body), {}, tmp_path / "out")
    executable, backend = printed(done).split()
    assert executable == sys.executable
    assert "inline" in backend


def test_outputs_that_are_late_are_waited_for_and_never_left_out() -> None:
    manager = NotebookExecutionManager(nbformat.v4.new_notebook(), progress_bar=False)
    client = PapermillNotebookClient(manager, config=kernel_config("x"))
    assert client.iopub_timeout >= 60 and client.raise_on_iopub_timeout


def test_environment_is_restored() -> None:
    before = dict(os.environ)
    with pytest.raises(KeyError), kernel_environment():
        assert os.environ["JUPYTER_PREFER_ENV_PATH"] == "1"
        raise KeyError
    assert dict(os.environ) == before


def test_no_path_of_this_machine_is_recorded(tmp_path: Path) -> None:
    done = run_notebook(notebook(tmp_path, "print(n)"), {"n": 2}, tmp_path / "out")
    assert str(tmp_path) not in done.read_text(encoding="utf-8")


def test_notebooks_run_side_by_side(tmp_path: Path) -> None:
    """Two kernels at once in one folder must not share sockets (each would hear the other)."""
    names = ["01_left", "02_right"]
    body = "import time\ntime.sleep(2)\nprint(label)"
    sources = [notebook(tmp_path, body, name) for name in names]
    script = (
        "import sys; from pathlib import Path; from heclstm_lib.runner import run_notebook;"
        "source = Path(sys.argv[1]); run_notebook(source, {'label': source.stem}, source.parent)"
    )
    runs = [subprocess.Popen([sys.executable, "-c", script, str(source)]) for source in sources]
    assert [run.wait(timeout=120) for run in runs] == [0, 0]
    assert [printed(tmp_path / f"{name}.ipynb") for name in names] == [f"{n}\n" for n in names]
    assert not list(repo_root().glob("kernel-ipc*"))


def test_of_a_progress_bar_only_the_end_is_kept(tmp_path: Path) -> None:
    bar = "print(f'\\r{i} of 4', end='', file=sys.stderr, flush=True)"
    body = f"import sys\nfor i in range(5):\n    {bar}\nprint('\\nafter', file=sys.stderr)"
    assert printed(run_notebook(notebook(tmp_path, body), {}, tmp_path)) == "4 of 4\nafter\n"
