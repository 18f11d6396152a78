"""Every attack of the campaign, and many clients at once."""

from __future__ import annotations

from pathlib import Path

import pytest

from heclstm_lib.robustness.clients import AT_ONCE, ATTACKS, run


@pytest.mark.slow
@pytest.mark.parametrize(("rounds", "at_once"), [(1, 6), (5, AT_ONCE)])
def test_attacks(tmp_path: Path, rounds: int, at_once: int) -> None:
    count = rounds * len(ATTACKS)
    outcome = run(count, 1, tmp_path, at_once)
    assert (outcome.wrong, outcome.crashed, outcome.hung) == (0, 0, 0), outcome.detail
    assert outcome.detected == outcome.tried == count + at_once + 4
    assert "peak memory: service" in outcome.detail
