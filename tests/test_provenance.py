"""Provenance: complete, true, and without anything personal."""

from __future__ import annotations

import getpass
import json
import os
import platform
import socket
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
import torch

from heclstm_lib import provenance
from heclstm_lib.provenance import collect_provenance, git_state


def test_contents_are_true() -> None:
    found = collect_provenance(seeds={"data": 1}, data_digests={"iarc": "ab"}, config={"frames": 4})
    assert found["libraries"]["torch"] == torch.__version__
    assert found["libraries"]["numpy"] == np.__version__
    assert found["python"] == platform.python_version()
    assert found["threads"]["torch"] == torch.get_num_threads()
    assert found["cores"]["logical"] == os.cpu_count()
    assert found["memory_bytes"] > 2**28
    assert found["cpu"]
    assert (found["seeds"], found["data_digests"]) == ({"data": 1}, {"iarc": "ab"})
    assert found["config"] == {"frames": 4}
    age = datetime.now(UTC) - datetime.fromisoformat(found["created"])
    assert timedelta(seconds=-2) < age < timedelta(minutes=1)


def test_nothing_personal() -> None:
    text = json.dumps(collect_provenance())
    assert str(Path.home()) + "/" not in text
    assert socket.gethostname() not in text or len(socket.gethostname()) < 4
    assert f'"{getpass.getuser()}"' not in text


def run_git(folder: Path, *arguments: str) -> None:
    identity = ["-c", "user.name=t", "-c", "user.email=t@example.org"]
    subprocess.run(["git", "-C", str(folder), *identity, *arguments], check=True)


def test_git_commit_and_dirty_flag(tmp_path: Path) -> None:
    run_git(tmp_path, "init", "-q")
    (tmp_path / "code.py").write_text("a = 1", encoding="utf-8")
    (tmp_path / "reports").mkdir()
    (tmp_path / "reports" / "a.html").write_text("old", encoding="utf-8")
    run_git(tmp_path, "add", ".")
    run_git(tmp_path, "commit", "-q", "-m", "first")
    clean = git_state(tmp_path)
    assert clean is not None
    assert (len(clean["commit"]), clean["dirty"]) == (40, False)
    (tmp_path / "reports" / "a.html").write_text("new", encoding="utf-8")
    assert git_state(tmp_path) == clean
    (tmp_path / "code.py").write_text("a = 2", encoding="utf-8")
    assert git_state(tmp_path) == clean | {"dirty": True}


def test_no_repository_and_no_git(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert git_state(tmp_path) is None
    monkeypatch.setenv("PATH", str(tmp_path))
    assert provenance.git_state() is None
    assert collect_provenance()["git"] is None
