"""Suites are checked when they are read; the shipped ones are complete."""

from __future__ import annotations

from pathlib import Path

import pytest

from heclstm_lib.bench.suites import choose_suites, load_suites
from heclstm_lib.errors import ConfigError

TEXT = """
- name: small
  title: "{value} rows"
  group: rows
  case: {kind: cnn}
  sweep: {rows: [1, 4]}
  repeats: 3
  entries:
    - ours
    - {name: openfhe, label: "OpenFHE, batch", repeats: 1, options: {batch: 4}}
- name: step
  title: one step
  group: step
  case: {kind: lstm_step}
  entries: [ours]
"""


def write(folder: Path, text: str) -> str:
    path = folder / "suites.yml"
    path.write_text(text, encoding="utf-8")
    return str(path)


def test_a_sweep_makes_one_suite_a_value(tmp_path: Path) -> None:
    first, second, step = load_suites(write(tmp_path, TEXT))
    assert (first.name, first.title, first.case.rows) == ("small_1", "1 rows", 1)
    assert (second.name, second.case.rows, second.group) == ("small_4", 4, "rows")
    ours, openfhe = second.entries
    assert (ours.title, openfhe.title, openfhe.options) == ("ours", "OpenFHE, batch", {"batch": 4})
    assert (second.rounds(ours), second.rounds(openfhe)) == (3, 1)
    assert step.repeats == 5


def test_choosing_by_name_group_and_contender(tmp_path: Path) -> None:
    suites = load_suites(write(tmp_path, TEXT))
    assert [s.name for s in choose_suites(suites, ["rows"], [], None)] == ["small_1", "small_4"]
    assert [s.name for s in choose_suites(suites, ["step", "small_4"], [], None)] == [
        "small_4",
        "step",
    ]
    chosen = choose_suites(suites, [], ["openfhe"], 7)
    assert [[e.name for e in s.entries] for s in chosen] == [["openfhe"], ["openfhe"]]
    assert chosen[0].rounds(chosen[0].entries[0]) == 7
    with pytest.raises(ConfigError, match=r"unknown case\(s\) tiny; there are: rows, small_1"):
        choose_suites(suites, ["tiny"], [], None)
    with pytest.raises(ConfigError, match=r"unknown contender\(s\) seal; there are: openfhe, ours"):
        choose_suites(suites, [], ["seal"], None)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("repeats: 3", "repeat: 3", "unknown key"),
        ("kind: cnn", "kind: mlp", "kind 'mlp', expected one of"),
        ("entries: [ours]", "entries: []", "entries is empty"),
        ("entries: [ours]", "entries: [ours, ours]", "two entries have one title"),
        ("repeats: 1,", "repeats: 0,", "at least 1"),
        ("options: {batch: 4}", "options: 4", "options: expected a mapping"),
        ("sweep: {rows: [1, 4]}", "sweep: [1, 4]", "sweep names one field"),
        ("name: step", "name: small_1", "suite names must differ"),
        ("- name: small", "- [", "cannot read suites"),
    ],
)
def test_what_is_wrong_is_one_message(tmp_path: Path, old: str, new: str, message: str) -> None:
    assert old in TEXT
    with pytest.raises(ConfigError, match=message):
        load_suites(write(tmp_path, TEXT.replace(old, new)))
    with pytest.raises(ConfigError, match="expected a list of suites"):
        load_suites(write(tmp_path, "suites: {}"))
