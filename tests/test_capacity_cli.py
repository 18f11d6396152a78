"""`heclstm capacity`: a table for people, JSON for programs, errors in one message."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from heclstm_lib import cli
from heclstm_lib.capacity import accuracy

SMALL = ("--profile", "smoke", "--together", "8", "64")
MACHINES = """
large: {cores: 16, memory_gb: 64.0, price_per_hour: 2.5}
small: {cores: 2, memory_gb: 8.0}
"""


def run_json(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, Any]:
    assert cli.main(["capacity", *arguments, "--json"]) == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def test_table_for_people(capsys: pytest.CaptureFixture[str]) -> None:
    question = ("--sequences", "1e5", "--hospitals", "10", "--deadline-days", "2")
    assert cli.main(["capacity", *question, *SMALL, "--machine", "eight-cores", "--simulate"]) == 0
    shown = capsys.readouterr().out
    assert "100,000 sequences of 10 hospital(s)" in shown and "within 2 days" in shown
    assert "x8," in shown and "x64," in shown and shown.count("cheapest") == 2
    assert "simulation of the cheapest: " in shown
    assert shown.rstrip().splitlines()[-1].startswith("largest errors against real runs with 1 and")


def test_a_package_without_validation_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(accuracy, "committed_folder", lambda: tmp_path)
    assert cli.main(["capacity", *SMALL]) == 0
    assert capsys.readouterr().out.rstrip().endswith("no validation is kept here")
    assert run_json(capsys, *SMALL)["validation"] is None


def test_json_of_a_file_of_machines(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "mine.yml"
    path.write_text(MACHINES, encoding="utf-8")
    question = ("--sequences", "1e4", "--machines", "3", "--machine", f"{path}:large")
    found = run_json(capsys, *question, *SMALL)
    assert found["machine"]["name"] == "large" and found["machine"]["price_per_hour"] == 2.5
    assert [one["together"] for one in found["layouts"]] == [8, 64]
    assert all(one["machines"] == 3 for one in found["layouts"])
    assert found["validation"]["largest_errors"]["seconds"] and found["validation"]["cpu"]
    dear = run_json(capsys, *question, *SMALL, "--price", "5")
    for cheap, twice in zip(found["layouts"], dear["layouts"], strict=True):
        assert twice["money_per_million"] == pytest.approx(2 * cheap["money_per_million"])


def test_a_plan_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plan = tmp_path / "plan.npz"
    assert cli.main(["plan", "--profile", "smoke", "--batch", "4", "--out", str(plan)]) == 0
    capsys.readouterr()
    found = run_json(capsys, "--plan", str(plan), "--sequences", "1000")
    (layout,) = found["layouts"]
    assert layout["together"] == 4 and layout["batches"] == 250
    assert found["costs"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--machine", "nosuch"], "shipped examples have two-cores, eight-cores"),
        (["--machine", "no/such.yml"], "cannot be read"),
        (["--price", "0"], "--price: expected above 0, got 0"),
        (["--deadline-days", "-1"], "--deadline-days: expected above 0"),
        (["--validate", "--profile", "smoke"], "--together"),
        (["--profile", "nosuch"], "unknown profile 'nosuch'"),
        (["--plan", "no/such.npz"], "no/such.npz"),
    ],
)
def test_errors_are_one_message(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["capacity", *arguments]) == 2
    captured = capsys.readouterr()
    assert message in captured.err and captured.out == "" and "Traceback" not in captured.err


@pytest.mark.parametrize("sequences", ["0", "1.5", "many", "-1e3", "nan", "inf"])
def test_sequences_are_whole(sequences: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main(["capacity", f"--sequences={sequences}"])
    assert ended.value.code == 2
    assert "expected a whole number above 0" in capsys.readouterr().err


def test_machine_files_that_are_wrong(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for text, message in (
        ("[1, 2]", "expected machines by name"),
        ("mine: {cores: 2, memory_gb: 8.0, colour: red}", "unknown key"),
        ("mine: {cores: 2.5, memory_gb: 8.0}", "expected int"),
        (MACHINES, "large, small"),
    ):
        path = tmp_path / "mine.yml"
        path.write_text(text, encoding="utf-8")
        assert cli.main(["capacity", "--machine", str(path)]) == 2
        assert message in capsys.readouterr().err
