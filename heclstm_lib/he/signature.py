"""What a client needs of a plan: parameters, layout, inputs, outputs; no operation, no weight."""

from __future__ import annotations

from dataclasses import dataclass

from heclstm_lib.he.packing import Layout
from heclstm_lib.he.params import CkksParameters

InputRange = tuple[tuple[float, float], ...]
"""Lowest and highest normalised value of each channel [C]."""

Normalisation = tuple[tuple[float, float], ...]
"""Mean and standard deviation of each channel [C] of the training frames."""


@dataclass(frozen=True)
class InputSpec:
    """How the client lays values [n, T, *shape] out over ciphertexts, in the order of first use.

    patterns [I][P]: for each ciphertext and each place of the feature axis (period P, a divisor
    of F) the flat index into one frame's values of `shape`, -1 for an empty place.
    """

    frames: int
    shape: tuple[int, ...]
    patterns: tuple[tuple[int, ...], ...]

    @property
    def count(self) -> int:
        """Ciphertexts per batch."""
        return len(self.patterns)


@dataclass(frozen=True)
class OutputSpec:
    """Which output, 0..K-1, each place [P] of each result ciphertext holds (-1: none).

    The lanes of all frames hold copies.
    """

    places: tuple[tuple[int, ...], ...]

    @property
    def count(self) -> int:
        """K, the outputs of a sequence."""
        return 1 + max(max(places) for places in self.places)


@dataclass(frozen=True)
class Refresh:
    """A ciphertext that the client re-encrypts: its level when sent, its new level, its scale."""

    sent_level: int
    level: int
    scale: float


@dataclass(frozen=True)
class Signature:
    """What the client needs of a plan: no operation, no weight of the model.

    `input_range` is what the polynomials were calibrated on: the lowest and highest normalised
    value of each channel in the training patients' frames (None: not known, nothing is checked).
    `normalisation` is what makes normalised frames of frames in [0, 1] (None: not known).
    """

    params: CkksParameters
    layout: Layout
    inputs: InputSpec
    outputs: OutputSpec
    rotations: tuple[int, ...]
    refreshes: tuple[Refresh, ...]
    digest: str
    input_range: InputRange | None = None
    normalisation: Normalisation | None = None
