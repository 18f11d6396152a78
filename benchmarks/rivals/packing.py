"""Slot packings for the contenders that are packed by hand; the same for every library.

A matrix-vector product over one ciphertext goes in two steps: products of (rotated copies of) the
ciphertext with plaintexts, then a fold that adds slots a fixed set of distances apart. `cover`
finds the plaintexts for any arrangement of the inputs and any fold.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from protocol import Refusal


def fold_offsets(steps: Sequence[int]) -> np.ndarray:
    """All distances that rotations by the given steps, each added to what it rotates, bring in."""
    offsets = np.zeros(1, dtype=int)
    for step in steps:
        offsets = np.concatenate([offsets, offsets + step])
    return offsets


def cover(
    matrix: np.ndarray, places: np.ndarray, shifts: Sequence[int], steps: Sequence[int]
) -> np.ndarray:
    """Plaintexts [len(shifts), S] so that products and fold give matrix @ input in slots 0..R-1.

    matrix [R, K]; places [S]: index of the input each slot holds, -1 for none; product p reads the
    ciphertext rotated left by shifts[p]; the fold adds slots at `fold_offsets(steps)`. A slot that
    two rows read (the fold wraps around) stays empty. Raises Refusal if an entry finds no slot.
    """
    slots = len(places)
    reads = (np.arange(len(matrix))[:, None] + fold_offsets(steps)) % slots  # [R, offsets]
    count = np.bincount(reads.ravel(), minlength=slots)
    plaintexts = np.zeros((len(shifts), slots))
    left = np.ones(matrix.shape, dtype=bool)
    for p, shift in enumerate(shifts):
        seen = np.roll(places, -shift)
        for row, row_reads in enumerate(reads):
            for slot in row_reads[count[row_reads] == 1]:
                column = seen[slot]
                if column >= 0 and left[row, column]:
                    plaintexts[p, slot] = matrix[row, column]
                    left[row, column] = False
    if left.any():
        raise Refusal(f"packing: {int(left.sum())} of {left.size} matrix entries find no slot.")
    return plaintexts


def diagonals(matrix: np.ndarray, baby: int, slots: int) -> list[list[np.ndarray]]:
    """Baby-step giant-step plaintexts [giant][baby][slots] of matrix [R, K], input of period K.

    Of R and K one divides the other. With x rotated by the baby steps b, the sum over the giant
    steps g (multiples of `baby`) of rotate(sum over b of plaintext * rotate(x, b), g) has period
    max(R, K); where K > R it still wants the fold `powers(K // R, R)` and then has period R.
    """
    height, width = matrix.shape
    slot = np.arange(slots)
    return [
        [matrix[(slot - giant) % height, (slot + step) % width] for step in range(baby)]
        for giant in range(0, min(height, width), baby)
    ]


def patches(images: np.ndarray, size: int, stride: int) -> np.ndarray:
    """Windows of images [n, 1, H, W] as [n, size * size (row by row), positions]."""
    windows = np.lib.stride_tricks.sliding_window_view(images[:, 0], (size, size), axis=(1, 2))
    windows = windows[:, ::stride, ::stride]
    count, height, width = windows.shape[:3]
    return windows.reshape(count, height * width, size * size).swapaxes(1, 2)


def powers(length: int, stride: int = 1) -> list[int]:
    """Fold steps, longest first, that add `length` (a power of two) slots `stride` apart."""
    return [stride << bit for bit in reversed(range(length.bit_length() - 1))]
