"""`heclstm calibrate`: measured once, kept for the processor, estimated where not measured."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from heclstm_lib import cli
from heclstm_lib.compiler.chain import longest_chain
from heclstm_lib.errors import DepthBudgetExceeded
from heclstm_lib.evaluation.primitives import measured_tables
from heclstm_lib.he.params import GUIDELINES_2024

SMALL = ["--poly-degree", "8192", "--levels", "2", "--repeats", "1"]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "heclstm"


def run_json(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, Any]:
    assert cli.main(["calibrate", *arguments, "--json"]) == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def test_measured_once_and_again_on_demand(cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first = run_json(capsys, *SMALL)
    assert first["source"].startswith("measured on") and first["params"]["levels"] == 2
    assert {row["kind"] for row in first["costs"]} >= {"rotate", "weighted_sum", "load"}
    assert len(measured_tables(cache)) == len(first["costs"])
    assert run_json(capsys, *SMALL) == first, "the second call must read what the first kept"
    assert run_json(capsys, *SMALL, "--refresh") != first


def test_table_for_people(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["calibrate", *SMALL]) == 0
    shown = capsys.readouterr()
    assert "milliseconds at N = 8192, 2 levels" in shown.out and "measured on" in shown.out
    lines = shown.out.splitlines()
    assert [line.split()[0] for line in lines[3:6]] == ["2", "1", "0"]
    assert "primitives" in shown.err, "a progress bar"


def test_an_estimate_measures_nothing(cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = run_json(capsys, "--poly-degree", "32768", "--levels", "20", "--estimate")
    assert found["source"].startswith("a model of operation counts")
    assert not list(cache.glob("*"))


def test_the_parameters_of_a_profiles_plan(capsys: pytest.CaptureFixture[str]) -> None:
    found = run_json(capsys, "--profile", "smoke", "--estimate")
    assert found["params"]["poly_degree"] == 16384
    assert max(row["level"] for row in found["costs"]) == found["params"]["levels"]


def test_the_longest_chain_is_secure_and_cannot_grow() -> None:
    params = longest_chain(16384, 36)
    assert params.total_bits <= GUIDELINES_2024[16384] < params.total_bits + 36 + 1
    with pytest.raises(DepthBudgetExceeded):
        longest_chain(8192, 66)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--levels", "3"], "--levels and --scale-bits go with --poly-degree"),
        (["--poly-degree", "8192", "--levels", "0"], "--levels: expected at least 1, got 0"),
        (["--poly-degree", "8192", "--levels", "30"], "needs 30 levels"),
        (["--poly-degree", "12345"], "poly_degree 12345 has no entry"),
        (["--poly-degree", "8192", "--scale-bits", "60"], "--scale-bits: expected 1 to 48, got 60"),
        (["--repeats", "0"], "--repeats: expected at least 1, got 0"),
        (["--profile", "nosuch"], "unknown profile 'nosuch'"),
    ],
)
def test_what_cannot_be_is_one_message(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["calibrate", *arguments]) == 2
    assert message in capsys.readouterr().err
