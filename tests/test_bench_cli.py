"""`heclstm bench`: lists, measures with what is there, goes on, reports."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from heclstm_lib import cli
from heclstm_lib.bench import contender

SUITES = """
- name: step
  title: one step
  group: step
  case: {kind: lstm_step, rows: 2}
  repeats: 2
  warmup: 0
  entries:
    - echo
    - {name: echo, label: second, options: {shift: 1.0}}
    - absent
"""
ECHO = """
import json, sys
import numpy as np
for line in sys.stdin:
    request = json.loads(line)
    if request["command"] == "quit":
        break
    if request["command"] == "setup":
        shift, case = request["options"].get("shift", 0.0), np.load(request["case"])
        print(json.dumps({"ok": True, "batch": 2}), flush=True)
    else:
        outputs = (case["expected"] + shift).tolist()
        print(json.dumps({"ok": True, "server_s": 0.5, "outputs": outputs, "max_error": shift}),
              flush=True)
"""


@pytest.fixture
def arguments(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    folder = tmp_path / "benchmarks" / "rivals" / "echo"
    folder.mkdir(parents=True)
    (folder / "rival.py").write_text(ECHO, encoding="utf-8")
    (tmp_path / "small.yml").write_text(SUITES, encoding="utf-8")
    monkeypatch.setattr(contender, "repo_root", lambda: tmp_path)
    return ["bench", "--config", str(tmp_path / "small.yml"), "--out", str(tmp_path / "out")]


def test_measures_and_reports(
    arguments: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(arguments) == 0
    assert "not measured" in capsys.readouterr().out
    content = json.loads((tmp_path / "out" / "bench.json").read_text(encoding="utf-8"))
    statuses = {entry["title"]: entry["status"] for entry in content["entries"]}
    assert statuses == {"echo": "ok", "second": "wrong", "absent": "skipped"}
    assert content["command"] == "heclstm bench --config small.yml"
    runs = sorted((tmp_path / "out" / "work" / "runs").glob("*.json"))
    before = [path.stat().st_mtime_ns for path in runs if "absent" not in path.read_text()]
    assert cli.main([*arguments, "--resume"]) == 0
    after = [path.stat().st_mtime_ns for path in runs if "absent" not in path.read_text()]
    assert before == after and len(before) == 4
    (tmp_path / "out" / "bench.json").unlink()
    assert cli.main([*arguments, "--report"]) == 0
    assert (tmp_path / "out" / "bench.json").is_file()


def test_lists_without_measuring(
    arguments: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main([*arguments, "--list"]) == 0
    shown = capsys.readouterr().out
    assert "step (step): one step" in shown and "second, 2 runs\n" in shown
    assert "absent, 2 runs  (not installed)" in shown
    assert "absent: no contender 'absent'" in shown
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--repeats", "0"], "--repeats: expected at least 1"),
        (["--cases", "nosuch"], "unknown case(s) nosuch; there are: step"),
        (["--contenders", "nosuch"], "unknown contender(s) nosuch; there are: absent, echo"),
        (["--report"], "no record to report on"),
        (["--config", "nosuch.yml"], "cannot read suites nosuch.yml"),
    ],
)
def test_what_cannot_be_is_one_message(
    arguments: list[str], more: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main([*arguments, *more]) == 2
    assert message in capsys.readouterr().err
