"""The command line: help everywhere, one clear message and exit code 2 for every known error."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from heclstm_lib import __version__, cli
from heclstm_lib.errors import ConfigError
from heclstm_lib.record import NotebookRun, StudyRecord, write_record

COMMANDS = [
    [],
    ["study"],
    ["report"],
    ["data"],
    ["data", "list"],
    ["data", "fetch"],
    ["data", "verify"],
    ["plan"],
]


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: " ".join(command) or "heclstm")
def test_help_everywhere(command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        cli.main([*command, "--help"])
    assert stopped.value.code == 0
    assert f"usage: {' '.join(['heclstm', *command])}" in capsys.readouterr().out


def test_help_gives_examples(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        cli.main(["--help"])
    shown = capsys.readouterr().out
    assert "heclstm study --profile smoke" in shown
    assert "heclstm data list" in shown


def test_installed_command_and_version() -> None:
    command = Path(sys.executable).with_name("heclstm")
    done = subprocess.run([str(command), "--version"], capture_output=True, text=True)
    assert (done.returncode, done.stdout.strip()) == (0, f"heclstm {__version__}")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["study", "--profile", "nosuch"], "unknown profile 'nosuch'; shipped: breakhis, default"),
        (["study", "--profile", "smoke", "--dataset", "iarc"], "it has: embedded"),
        (["study", "--data", "no/such/folder"], "--data no/such/folder: no such folder"),
        (["report", "no/such/study"], "no study in no/such/study"),
        (["data", "fetch", "nosuch"], "nosuch"),
        (["data", "list", "--data", "no/such/folder"], "--data no/such/folder: no such folder"),
        (["data", "verify", "--data", "no/such/folder"], "--data no/such/folder: no such folder"),
        (["plan", "--profile", "nosuch"], "unknown profile 'nosuch'"),
    ],
)
def test_known_errors_are_one_message(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(arguments) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith(f"heclstm {arguments[0]}: ")
    assert message in captured.err
    assert "Traceback" not in captured.err


def test_debug_shows_the_traceback() -> None:
    with pytest.raises(ConfigError):
        cli.main(["--debug", "study", "--profile", "nosuch"])


def test_a_reader_that_stops_early_is_no_error() -> None:
    command = f"{Path(sys.executable).with_name('heclstm')} plan --profile smoke --json | head -1"
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True)
    assert (done.stdout, done.stderr, done.returncode) == ("{\n", "", 0)


def test_unknown_option_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        cli.main(["study", "--epochs", "3"])
    assert stopped.value.code == 2
    assert "--epochs" in capsys.readouterr().err


def test_interrupt_says_how_to_go_on(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupt(*_: object, **__: object) -> Path:
        raise KeyboardInterrupt

    monkeypatch.setattr(cli, "run_study", interrupt)
    assert cli.main(["study"]) == 130
    assert "--resume" in capsys.readouterr().err


def test_report_renders_a_record(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = NotebookRun("iarc", "01_a", "failed", 3.0, "DataError: no cases\nmore")
    write_record(tmp_path, StudyRecord("mine", [run]))
    assert cli.main(["report", str(tmp_path)]) == 0
    assert "index.html" in capsys.readouterr().out
    assert "DataError: no cases" in (tmp_path / "index.html").read_text(encoding="utf-8")


def test_plan_prints_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["plan", "--profile", "smoke", "--json"]) == 0
    plan = json.loads(capsys.readouterr().out)
    assert plan["layers"]
