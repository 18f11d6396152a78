"""Readers of outside bytes under hypothesis: refused with our errors, or accepted rightly."""

from __future__ import annotations

import multiprocessing
import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from heclstm_lib.errors import WireError
from heclstm_lib.robustness import fuzz
from heclstm_lib.robustness.acceptance import WrongAcceptance, demand, sealed
from heclstm_lib.robustness.targets import Target, make_targets

GOOD = ("refused", "same", "other")
READERS = ("wire messages", "manifests", "signatures", "plans", "SEAL Ciphertext")


@pytest.fixture(scope="module")
def targets(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Target]:
    folder = tmp_path_factory.mktemp("corpus")
    fuzz.make_corpus(folder, seed=0)
    return make_targets(folder)


@pytest.mark.parametrize("name", list(fuzz.SHARES))
def test_valid_input_is_accepted_as_what_it_is(targets: dict[str, Target], name: str) -> None:
    assert fuzz.judge(targets[name], targets[name].valid) == ("same", "")


@pytest.mark.parametrize("name", READERS)
@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    edits=st.lists(
        st.tuples(st.floats(0, 1), st.integers(0, 16), st.binary(max_size=16)), min_size=1
    ),
    seal=st.booleans(),
)
def test_edits(
    targets: dict[str, Target], name: str, edits: list[tuple[float, int, bytes]], seal: bool
) -> None:
    """Slices anywhere are replaced; half of the messages get a right checksum again."""
    target = targets[name]
    message = name == "wire messages"
    data = bytearray(target.valid[:-32] if message and seal else target.valid)
    for where, length, new in edits:
        start = int(where * len(data))
        data[start : start + length] = new
    found = bytes(data)
    verdict, why = fuzz.judge(target, sealed(found) if message and seal else found)
    assert verdict in GOOD, why
    if message and not seal and found != target.valid:
        assert verdict == "refused"


@pytest.mark.parametrize("name", list(fuzz.SHARES))
def test_mutations_of_the_campaign(targets: dict[str, Target], name: str) -> None:
    for number in range(40):
        data = targets[name].mutate(np.random.default_rng([5, number]))
        verdict, why = fuzz.judge(targets[name], data)
        assert verdict in GOOD, (number, why)


def test_the_campaign_repeats_itself(targets: dict[str, Target]) -> None:
    for target in targets.values():
        one, other = (target.mutate(np.random.default_rng([1, 2])) for _ in range(2))
        assert one == other


def fake(read: object) -> Target:
    return Target("fake", b"", lambda rng: rng.bytes(3), read)  # type: ignore[arg-type]


def test_verdicts() -> None:
    def fail(error: Exception) -> object:
        def read(_data: bytes) -> bool:
            raise error

        return read

    assert fuzz.judge(fake(lambda _: True), b"") == ("same", "")
    assert fuzz.judge(fake(lambda _: False), b"") == ("other", "")
    assert fuzz.judge(fake(fail(WireError("no"))), b"") == ("refused", "")
    assert fuzz.judge(fake(fail(WrongAcceptance("ids"))), b"") == ("wrong", "ids")
    assert fuzz.judge(fake(fail(KeyError("x"))), b"") == ("crashed", "KeyError: 'x'")
    with pytest.raises(WrongAcceptance, match="never"):
        demand(False, "never")


def test_the_campaign_runs(tmp_path: Path) -> None:
    outcome = fuzz.run(60, 3, tmp_path)
    assert (outcome.tried, outcome.detected) == (60, 60), outcome.detail
    assert outcome.wrong == outcome.crashed == outcome.hung == 0
    assert outcome.detail.startswith("24 wire messages, 18 manifests, 6 signatures, 6 plans")


def test_a_reader_that_ends_or_stops_is_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ends at one input, never comes back from another; all others are still read."""

    def make(folder: Path) -> dict[str, Target]:
        count = folder / "read"

        def read(_data: bytes) -> bool:
            number = len(count.read_bytes()) if count.exists() else 0
            count.write_bytes(bytes(number + 1))
            if number == 3:
                os._exit(1)
            while number == 6:
                pass
            return True

        return {"fake": fake(read)}

    monkeypatch.setattr(fuzz, "make_targets", make)
    monkeypatch.setattr(fuzz, "make_corpus", lambda folder, _seed: folder.mkdir())
    monkeypatch.setattr(fuzz, "SHARES", {"fake": 1.0, "wire messages": 0.0})
    forking = multiprocessing.get_context("fork")  # so that the child has the fakes, too
    monkeypatch.setattr(fuzz.multiprocessing, "get_context", lambda _method: forking)
    monkeypatch.setattr(fuzz, "PATIENCE_S", 5)
    outcome = fuzz.run(10, 0, tmp_path)
    assert (outcome.tried, outcome.detected, outcome.crashed, outcome.hung) == (10, 8, 1, 1)
    assert "fake, seed 0, input 3: crashed, the process ended" in outcome.detail
    assert "input 6: hung, longer than 5 s" in outcome.detail
