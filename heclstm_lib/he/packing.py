"""Where each number lives: slots of the form feature x frame x sequence, and matrices as diagonals.

slot = (feature * frames + t) * sequences + s, so the convolution runs on all frames and sequences
at once, every rotation that moves features is a multiple of `lanes = frames * sequences`, and a
step forward in time is one rotation by `-sequences`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from heclstm_lib.errors import PlanError

Vector = NDArray[np.float64]


def power_of_two(value: int) -> int:
    """The smallest power of two that is at least `value`.

    >>> power_of_two(5)
    8
    """
    return 1 << max(value - 1, 0).bit_length()


@dataclass(frozen=True)
class Layout:
    """Slots S shared by `frames` (padded to a power of two) x `sequences` lanes."""

    slots: int
    frames: int
    sequences: int

    def __post_init__(self) -> None:
        for name in ("slots", "frames", "sequences"):
            value = getattr(self, name)
            if value != power_of_two(value):
                raise PlanError(f"layout: {name} must be a power of two, got {value}.")
        if self.lanes > self.slots:
            raise PlanError(
                f"layout: {self.frames} frames x {self.sequences} sequences need {self.lanes} "
                f"slots, a ciphertext has {self.slots}. Encrypt fewer sequences together."
            )

    @property
    def lanes(self) -> int:
        """Slots a feature takes: one per frame and sequence; the unit of feature rotations."""
        return self.frames * self.sequences

    @property
    def features(self) -> int:
        """Length F of the cyclic feature axis."""
        return self.slots // self.lanes

    def spread(self, per_feature: Vector, frame: int | None = None) -> Vector:
        """A plaintext constant [P, 1] of values [P] along the feature axis, the same in all lanes.

        With `frame`, a constant [P, T] that is zero in the lanes of the other frames. `expand`
        makes slots of it. Raises PlanError when P does not divide F.

        >>> Layout(slots=8, frames=2, sequences=1).spread(np.array([1.0, 2.0]), frame=1)
        array([[0., 1.],
               [0., 2.]])
        """
        values = np.asarray(per_feature, dtype=np.float64)[:, None]
        if self.features % len(values):
            raise PlanError(
                f"layout: a pattern of {len(values)} features does not fit a feature axis of "
                f"{self.features}. Encrypt fewer sequences together, or use a smaller hidden size."
            )
        if frame is None:
            return values
        return values * (np.arange(self.frames) == frame)

    def expand(self, constant: Vector) -> Vector:
        """Slot values [S] of a constant [P, 1] or [P, T], repeated over features and lanes.

        >>> Layout(slots=8, frames=2, sequences=1).expand(np.array([[1.0], [2.0]]))
        array([1., 1., 2., 2., 1., 1., 2., 2.])
        """
        period = len(constant)
        grid = np.broadcast_to(constant[:, :, None], (period, self.frames, self.sequences))
        return np.tile(grid.reshape(-1), self.features // period)


@lru_cache(maxsize=4)
def slot_exponents(slots: int) -> NDArray[np.int64]:
    """Exponents 3^j mod 4S, j = 0..S-1: slot j is a plaintext's value at that power of e^(i pi/2S).

    >>> slot_exponents(4)
    array([ 1,  3,  9, 11])
    """
    exponents = np.ones(slots, dtype=np.int64)
    for place in range(1, slots):
        exponents[place] = 3 * exponents[place - 1] % (4 * slots)
    return exponents


def encodes_to_zero(vector: Vector, scale: float) -> bool:
    """Whether CKKS encoding rounds slot values [S] at `scale` to the zero polynomial.

    By Parseval the N = 2S coefficients cannot all be below 1/2 when the root mean square of the
    slots is at least sqrt(N) / 2; below that the inverse embedding is computed.

    >>> encodes_to_zero(np.full(4, 0.1), scale=4.0), encodes_to_zero(np.full(4, 0.1), scale=8.0)
    (True, False)
    """
    degree = 2 * len(vector)
    if scale * np.sqrt(np.mean(vector**2)) >= np.sqrt(degree) / 2:
        return False
    values = np.zeros(2 * degree)
    exponents = slot_exponents(len(vector))
    values[exponents] = values[2 * degree - exponents] = vector
    coefficients = np.fft.fft(values)[:degree] / degree
    return bool(np.abs(coefficients.real).max() * scale < 0.5)


def offset_copies(count: int, features: int, outputs: int) -> NDArray[np.int64]:
    """Content of the feature axis [F]: which of `count` features each place holds, -1 for none.

    The features, padded to a power of two n, are repeated R = F / n times, copy q shifted by
    q * outputs / R. A matrix with `outputs` rows then needs outputs / R diagonals, not outputs.

    >>> offset_copies(4, 8, outputs=4)
    array([0, 1, 2, 3, 2, 3, 0, 1])
    """
    padded = power_of_two(count)
    copies = features // padded
    if copies < 1:
        raise PlanError(
            f"packing: {count} features (padded to {padded}) do not fit a feature axis of "
            f"{features}. Encrypt fewer sequences together, or use fewer channels."
        )
    shift = max(1, outputs // copies)
    place = np.arange(padded)
    content = np.concatenate([(place + copy * shift) % padded for copy in range(copies)])
    return np.where(content < count, content, -1)


def matrix_diagonals(matrix: Vector, content: NDArray[np.int64]) -> dict[int, Vector]:
    """Diagonals {k: w_k [P]} such that row r of matrix @ x is the sum, over all places j
    congruent to r modulo `rows`, of sum_k w_k[j] * x[content[j + k]].

    matrix [rows, columns] with rows a power of two that divides P = len(content). Generalised
    diagonals of Halevi and Shoup (CRYPTO 2014): each (row, column) pair is used exactly once,
    wherever a rotation first brings the two together, so that repeated and shifted copies of x
    save rotations.

    >>> matrix_diagonals(np.array([[1.0, 2.0], [3.0, 4.0]]), np.array([0, 1]))
    {0: array([1., 4.]), 1: array([2., 3.])}
    """
    rows, columns = matrix.shape
    period = len(content)
    if period % rows:
        raise PlanError(
            f"packing: {rows} rows (four gates of the padded hidden size, or a block's outputs) do "
            f"not fit a feature axis of {period}. Encrypt fewer sequences together."
        )
    place = np.arange(period)
    unseen = np.ones(matrix.size, dtype=bool)
    diagonals: dict[int, Vector] = {}
    for k in range(period):
        held = np.roll(content, -k)
        pair = (place % rows) * columns + held
        candidates = np.flatnonzero((held >= 0) & unseen[np.where(held >= 0, pair, 0)])
        _, first = np.unique(pair[candidates], return_index=True)
        chosen = candidates[first]
        unseen[pair[chosen]] = False
        weights = np.zeros(period)
        weights[chosen] = matrix.reshape(-1)[pair[chosen]]
        if np.any(weights):
            diagonals[k] = weights
        if not unseen.any():
            return diagonals
    raise PlanError(
        f"packing: {int(unseen.sum())} of {matrix.size} weights of a {rows}x{columns} matrix meet "
        f"no slot of a layout of period {period}; every feature must stand in the layout."
    )


def baby_steps(diagonals: int, outputs: int = 1, inputs: int = 1) -> int:
    """The power-of-two number of baby steps B that needs the fewest rotations,
    inputs * (B - 1) + outputs * (ceil(diagonals / B) - 1); ties go to more babies.

    >>> baby_steps(64), baby_steps(16, outputs=4), baby_steps(16, outputs=4, inputs=32)
    (8, 8, 2)
    """
    choices = [1 << i for i in range(power_of_two(diagonals).bit_length())]
    return min(
        reversed(choices),
        key=lambda b: inputs * (b - 1) + outputs * (-(-diagonals // b) - 1),
    )
