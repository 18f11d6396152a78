"""Whether frames stay in the range of values that the model's polynomials were calibrated on.

Outside it a polynomial that stands for a sigmoid or tanh may be far from either, and the server
cannot notice: the client checks before it encrypts.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from heclstm_lib.errors import InputRangeWarning
from heclstm_lib.he.packing import Vector
from heclstm_lib.he.signature import InputRange, Signature

NAMED = 5
"""Sequences a warning names, at most."""


@dataclass(frozen=True)
class RangeCheck:
    """How far each of n sequences leaves the calibrated range.

    `distance` [n] is the farthest that a value lies below the lowest or above the highest of its
    channel, in normalised units (standard deviations of the training frames); `fraction` [n] is
    the share of values outside. Both are 0 for a sequence inside, the edges included.
    """

    distance: Vector
    fraction: Vector

    @property
    def outside(self) -> list[int]:
        """Numbers of the sequences that leave the range."""
        return [int(number) for number in np.flatnonzero(self.distance)]


def measure_input_range(frames: Vector) -> InputRange:
    """Lowest and highest value of each channel of normalised frames [n, T, C, ...]."""
    channels = np.moveaxis(frames, 2, 0).reshape(frames.shape[2], -1).astype(np.float64)
    return tuple((float(values.min()), float(values.max())) for values in channels)


def check_range(signature: Signature, frames: Vector) -> RangeCheck | None:
    """Hold normalised frames [n, T, C, ...] against the calibrated range; None if not known."""
    if signature.input_range is None:
        return None
    shape = (1, 1, -1, *([1] * (frames.ndim - 3)))
    low, high = (np.array(side).reshape(shape) for side in zip(*signature.input_range, strict=True))
    beyond = np.maximum(np.maximum(low - frames, frames - high), 0.0).reshape(len(frames), -1)
    return RangeCheck(beyond.max(axis=1), (beyond > 0).mean(axis=1))


def warn_outside(check: RangeCheck | None, names: Sequence[str]) -> None:
    """Issue one InputRangeWarning that names the sequences outside and how far they are."""
    if check is None or not check.outside:
        return
    worst = sorted(check.outside, key=lambda number: -check.distance[number])
    told = ", ".join(
        f"{names[number]} (by {check.distance[number]:.3g})" for number in worst[:NAMED]
    )
    more = f" and {len(worst) - NAMED} more" if len(worst) > NAMED else ""
    warnings.warn(
        f"{len(worst)} of {len(check.distance)} sequence(s) leave the range of values the model "
        f"was calibrated on: {told}{more}, in standard deviations of the training frames. Their "
        "scores may be wrong; check that they were normalised as the training frames were.",
        InputRangeWarning,
        stacklevel=3,
    )
