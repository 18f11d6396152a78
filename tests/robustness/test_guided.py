"""The coverage-guided campaign: what libFuzzer calls, and a short run where atheris is there."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from heclstm_lib.errors import ConfigError, WireError
from heclstm_lib.robustness import guided
from heclstm_lib.robustness.acceptance import WrongAcceptance, sealed


def test_without_atheris_it_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: None)
    with pytest.raises(ConfigError, match=r"atheris is not installed; pip install atheris"):
        guided.run(1, 0, tmp_path)


def test_messages_get_their_checksum_and_refusals_are_well() -> None:
    seen: list[bytes] = []

    def read(data: bytes) -> bool:
        seen.append(data)
        if len(data) == 33:
            raise WireError("no")
        if len(data) == 34:
            raise WrongAcceptance("ids")
        return True

    for name, data in (("wire messages", b""), ("wire messages", b"x"), ("manifests", b"y")):
        guided.one_input(name, read)(data)
    assert seen == [sealed(b""), sealed(b"x"), b"y"]
    with pytest.raises(WrongAcceptance, match="ids"):
        guided.one_input("wire messages", read)(b"xy")
    assert guided.stripped("wire messages", sealed(b"abc")) == b"abc"
    assert guided.stripped("plans", b"abc") == b"abc"


UNITS = "stat::number_of_executed_units: 706\n"


@pytest.mark.parametrize(
    ("said", "code", "found"),
    [
        (f"#1500\tDONE   cov: 158\n{UNITS}Done 1500 runs in 4 second(s)\n", 0, (1500, "", "")),
        (
            f"Traceback\nacceptance.WrongAcceptance: ids\n{UNITS}",
            77,
            (706, "wrong", "acceptance.WrongAcceptance: ids"),
        ),
        (f"KeyError: 'x'\n{UNITS}", 77, (706, "crashed", "KeyError: 'x'")),
        ("== ERROR: libFuzzer: timeout after 2 seconds\n", 70, (1, "hung", "exit code 70")),
        ("", -11, (1, "crashed", "exit code -11")),
    ],
)
def test_what_libfuzzer_says(said: str, code: int, found: tuple[int, str, str]) -> None:
    assert guided.read_log(said, code) == found


@pytest.mark.slow
def test_a_short_run(tmp_path: Path) -> None:
    pytest.importorskip("atheris")
    outcome = guided.run(600, 1, tmp_path)
    assert outcome.tried == outcome.detected >= 600, outcome.detail
