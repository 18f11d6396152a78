"""Flipped bits are noticed in every file that crosses or is kept."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from heclstm_lib.errors import WireError
from heclstm_lib.robustness.bit_flips import NEAR, draw_bit, flip, run


def test_the_campaign_notices_all(tmp_path: Path) -> None:
    outcome = run(70, 1, tmp_path)
    assert (outcome.tried, outcome.detected) == (70, 70), outcome.detail
    assert all(
        name in outcome.detail
        for name in ("10 public.bundle", "10 response", "10 secret.bundle", "10 locked.bundle",
                     "10 plan.npz", "10 signature.json", ".request")
    )  # fmt: skip


def test_verdicts_and_the_file_stays(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"abc")

    def refuse(path: Path) -> bytes:
        if path.read_bytes() != b"abc":
            raise WireError("no")
        return b"abc"

    assert flip(path, 9, refuse) == "noticed"
    assert flip(path, 9, lambda p: len(p.read_bytes())) == "no meaning"
    assert flip(path, 9, lambda p: p.read_bytes()) == "accepted"
    verdict = flip(path, 0, lambda p: int(p.read_bytes(), 36) and {b"abc": 1}[p.read_bytes()])
    assert verdict == "crashed: KeyError: b'`bc'" or verdict.startswith("crashed: ValueError")
    assert path.read_bytes() == b"abc"


@pytest.mark.parametrize("size", [1, 100, 10 * NEAR])
def test_bits_lie_in_the_file_and_often_at_its_ends(size: int) -> None:
    rng = np.random.default_rng(0)
    bits = np.array([draw_bit(size, rng) for _ in range(400)])
    assert bits.min() >= 0 and bits.max() < 8 * size
    near = (bits < 8 * NEAR).mean(), (bits >= 8 * (size - NEAR)).mean()
    assert min(near) > 0.2
