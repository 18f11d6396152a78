"""What the client puts into slots before encryption and reads out of them after decryption."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

from heclstm_lib.errors import DataError
from heclstm_lib.he.packing import Vector
from heclstm_lib.he.plan import Plan
from heclstm_lib.he.signature import Signature


def encode_inputs(signature: Signature | Plan, frames: Vector) -> Iterator[Vector]:
    """Yield the slot vector [S] of each input ciphertext for values [n, T, *shape].

    n is at most the layout's sequences. The slot of place p, frame t and sequence s holds the
    value that the input's pattern names at p: the client lays pixels out in whatever order saves
    the server rotations. Raises DataError for any other shape or non-finite values.
    """
    check_frames(signature, frames)
    spec, layout = signature.inputs, signature.layout
    values = frames.reshape(*frames.shape[:2], -1).transpose(2, 1, 0)  # [V, T, n]
    for row in spec.patterns:
        pattern = np.asarray(row)
        held = values[np.maximum(pattern, 0)] * (pattern >= 0)[:, None, None]
        grid = np.zeros((len(pattern), layout.frames, layout.sequences))
        grid[:, : spec.frames, : len(frames)] = held
        yield np.tile(grid.reshape(-1), layout.features // len(pattern))


def decode_outputs(signature: Signature | Plan, results: Iterable[Vector], count: int) -> Vector:
    """Outputs [count, K] from the decrypted slots [S] of each result: means over all copies.

    The mean is taken because the noise of key switching is far larger in the first few slots than
    elsewhere: SEAL's digits are not centred, so their mean is a polynomial with all coefficients
    alike, which is largest where the root of unity of a slot, 3^slot, is near 1.
    """
    layout, spec = signature.layout, signature.outputs
    total = np.zeros((spec.count, count))
    copies = np.zeros(spec.count)
    for slots, row in zip(results, spec.places, strict=True):
        places = np.resize(row, layout.features)
        grid = np.asarray(slots).reshape(layout.features, layout.frames, layout.sequences)
        np.add.at(total, places[places >= 0], grid[places >= 0, :, :count].mean(axis=1))
        np.add.at(copies, places[places >= 0], 1)
    return (total / copies[:, None]).T


def check_frames(signature: Signature | Plan, frames: Vector) -> None:
    """Raise DataError unless frames are [n, T, *shape] as a plan's batch holds, and finite."""
    spec = signature.inputs
    wanted = (spec.frames, *spec.shape)
    shape = tuple(frames.shape)
    if shape[1:] != wanted or not 1 <= shape[0] <= signature.layout.sequences:
        raise DataError(
            f"frames to encrypt: got shape {shape}, expected [n, T, ...] with n from 1 to "
            f"{signature.layout.sequences} and (T, ...) = {wanted}. "
            "Load them with the data configuration the plan was made for, batch by batch."
        )
    if not np.isfinite(frames).all():
        raise DataError("frames to encrypt hold NaN or infinite values; check normalisation.")
