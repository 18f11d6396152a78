"""Environments of rivals: found interpreters, reasons for what cannot be made, nothing twice."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from heclstm_lib.bench import environments
from heclstm_lib.bench.environments import find_python, header, main, make_environment
from heclstm_lib.errors import ContenderAbsent
from heclstm_lib.paths import repo_root

HERE = f"{sys.version_info[0]}.{sys.version_info[1]}"


def requirements(folder: Path, line: str, python: str = HERE) -> Path:
    path = folder / "requirements.txt"
    path.write_text(f"# python: {python}\n# licence: MIT, say\n{line}\n", encoding="utf-8")
    return path


def test_headers() -> None:
    rivals = sorted((repo_root() / "benchmarks" / "rivals").glob("*/requirements.txt"))
    assert len(rivals) >= 4
    for path in rivals:
        assert header(path, "python") in ("3.10", "3.11"), path.parent.name
        assert header(path, "licence"), f"{path.parent.name}: its users must know the licence"
        assert (path.parent / "rival.py").is_file(), path.parent.name
    assert header(rivals[0], "colour") == ""


def test_interpreters() -> None:
    assert find_python(HERE)
    with pytest.raises(ContenderAbsent, match=r"needs Python 2\.3"):
        find_python("2.3")


def test_pyenvs_interpreters_are_tried(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "versions" / "9.8.1" / "bin"
    folder.mkdir(parents=True)
    python = folder / "python"
    python.write_text("#!/bin/sh\necho 9.8\n")
    python.chmod(0o755)
    monkeypatch.setenv("PYENV_ROOT", str(tmp_path))
    assert find_python("9.8") == python
    python.write_text("#!/bin/sh\necho 9.7\n")
    with pytest.raises(ContenderAbsent):
        find_python("9.8")


def test_what_is_here_needs_no_environment(tmp_path: Path) -> None:
    path = requirements(tmp_path, "numpy")
    assert "this project's" in make_environment(path, tmp_path / "environment")
    assert not (tmp_path / "environment").exists()


def test_a_failed_installation_leaves_nothing(tmp_path: Path) -> None:
    path = requirements(tmp_path, "no-such-package==1.0")
    with pytest.raises(ContenderAbsent, match="no-such-package"):
        make_environment(path, tmp_path / "environment", ["--no-index"])
    assert not (tmp_path / "environment").exists()


def test_an_environment_is_made_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wheel_of_nothing = "no-such-package==1.0"
    path = requirements(tmp_path, wheel_of_nothing)
    made: list[list[str]] = []

    class Done:
        returncode, stdout, stderr = 0, HERE, ""

    def run(command: list[str], **_: object) -> Done:
        made.append(command)
        (tmp_path / "environment").mkdir(exist_ok=True)
        return Done()

    monkeypatch.setattr(environments.subprocess, "run", run)
    assert make_environment(path, tmp_path / "environment") == "is installed"
    count = len(made)
    assert make_environment(path, tmp_path / "environment") == "is there"
    assert len(made) == count
    requirements(tmp_path, "no-such-package==2.0")
    assert make_environment(path, tmp_path / "environment") == "is installed"


def test_one_failure_does_not_stop_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, line in (("first", "no-such-package==1.0"), ("second", "numpy")):
        (tmp_path / "benchmarks" / "rivals" / name).mkdir(parents=True)
        requirements(tmp_path / "benchmarks" / "rivals" / name, line, python="2.3")
    monkeypatch.setattr(environments, "repo_root", lambda: tmp_path)
    assert main([str(tmp_path / "environments")]) == 0
    shown = capsys.readouterr().out
    assert "first (MIT, say)" in shown and "first: left out: needs Python 2.3" in shown
    assert "second: runs in this project's environment" in shown
