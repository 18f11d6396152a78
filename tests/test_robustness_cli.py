"""`heclstm robustness`: which campaigns run, what is written, and the exit code."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path

import pytest

from heclstm_lib.cli import main
from heclstm_lib.errors import ConfigError, ReportError
from heclstm_lib.robustness import campaigns, report
from heclstm_lib.robustness.campaigns import CAMPAIGNS, Campaign, choose_counts
from heclstm_lib.robustness.outcome import Outcome


@pytest.fixture
def faked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int, int]]:
    """Campaigns that only say how they were called; `disk` finds something wrong."""
    calls = []

    def load(self: Campaign) -> campaigns.Run:
        def run(count: int, seed: int, workdir: Path) -> Outcome:
            assert workdir.is_dir()
            calls.append((self.module, count, seed))
            wrong = int(self.module == "disk")
            return Outcome(self.module, count, count - wrong, wrong, 0, 0, 1.5, "a | b, c")

        return run

    monkeypatch.setattr(Campaign, "load", load)
    return calls


def test_every_campaign_can_be_loaded() -> None:
    assert all(callable(campaign.load()) for campaign in CAMPAIGNS.values())
    assert CAMPAIGNS["fuzz"].count >= 100_000 and CAMPAIGNS["kills"].count >= 200


def test_counts() -> None:
    assert choose_counts([], [], quick=False) == {n: c.count for n, c in CAMPAIGNS.items()}
    assert choose_counts(["kills", "fuzz"], ["fuzz=7"], quick=True) == {"fuzz": 7, "kills": 4}
    assert choose_counts([], ["disk=3"], quick=False) == {"disk": 3}
    with pytest.raises(ConfigError, match=r"no campaign flood; there are: fuzz, guided"):
        choose_counts(["flood"], [], quick=False)
    for wrong in ("kills", "kills=0", "kills=many", "kills=-1"):
        with pytest.raises(ConfigError, match=f"--counts {wrong}: expected NAME=NUMBER"):
            choose_counts([], [wrong], quick=False)


def test_the_report_grows_campaign_by_campaign(
    faked: list, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = ["--out", str(tmp_path / "r")]
    assert main(["robustness", "kills", "--counts", "kills=5", "--seed", "3", *out]) == 0
    assert main(["robustness", "disk", "fuzz", "--quick", *out]) == 1
    assert faked == [("kills", 5, 3), ("fuzz", 2000, 0), ("disk", 7, 0)]
    assert "disk: 7 tried, 6 met, 1 wrong, 0 crashed, 0 hung" in capsys.readouterr().out
    stored = json.loads((tmp_path / "r" / "robustness.json").read_text())
    assert [one["campaign"] for one in stored["campaigns"]] == ["fuzz", "kills", "disk"]
    kills = stored["campaigns"][1]
    assert kills["command"] == "heclstm robustness kills --counts kills=5 --seed 3"
    assert kills["provenance"]["cpu"] and kills["provenance"]["seeds"] == {"kills": 3}
    rows = list(csv.DictReader((tmp_path / "r" / "robustness.csv").open()))
    assert [row["tried"] for row in rows] == ["2000", "5", "7"]
    assert rows[0]["detail"] == "a | b, c"
    text = (tmp_path / "r" / "README.md").read_text()
    assert "| disk | full disks and missing permissions under a batch | 7 | 6 | 1 |" in text
    assert str(tmp_path) not in text
    entries = report.load_entries(tmp_path / "r")
    assert not entries["disk"].ok and entries["kills"].ok
    hung = replace(entries["kills"].outcome, hung=1)
    assert not replace(entries["kills"], outcome=hung).ok


def test_list_and_errors(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["robustness", "--list", "--quick"]) == 0
    assert "guided        5000  coverage-guided" in capsys.readouterr().out
    (tmp_path / "robustness.json").write_text("{}")
    with pytest.raises(ReportError, match="no record of campaigns"):
        report.load_entries(tmp_path)
    assert main(["robustness", "nothing", "--out", str(tmp_path)]) == 2
    assert "no campaign nothing" in capsys.readouterr().err
