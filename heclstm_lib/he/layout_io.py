"""What the client puts into slots before encryption and reads out of them after decryption."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from heclstm_lib.errors import DataError
from heclstm_lib.he.packing import Layout, Vector
from heclstm_lib.he.plan import Signature


def encode_taps(signature: Signature, frames: Vector) -> Iterator[Vector]:
    """Yield one slot vector [S] per tap (channel, dy, dx) of the first convolution.

    frames are normalised, [n, T, C, H, W] with n at most the layout's sequences; the slot of
    feature (o, position), frame t and sequence s holds the pixel that the tap touches there, so
    that the server needs no rotation. Raises DataError for any other shape or non-finite values.
    """
    _check_frames(signature, frames)
    spec, layout = signature.inputs, signature.layout
    content = np.asarray(spec.content)
    position = np.maximum(content, 0) % spec.grid**2
    rows, columns = position // spec.grid * spec.stride, position % spec.grid * spec.stride
    held = (content >= 0)[:, None, None]
    for channel in range(spec.channels):
        for dy in range(spec.kernel_size):
            for dx in range(spec.kernel_size):
                pixels = frames[:, :, channel, rows + dy, columns + dx]  # [n, T, F]
                grid = np.zeros((layout.features, layout.frames, layout.sequences))
                grid[:, : spec.frames, : len(frames)] = pixels.transpose(2, 1, 0) * held
                yield grid.reshape(layout.slots)


def decode_scores(layout: Layout, slots: Vector, count: int) -> Vector:
    """Scores [count] from the decrypted slots [S]: every feature and frame holds a copy.

    The mean of the copies is taken: the noise of key switching is far larger in the first few
    slots than elsewhere. SEAL's digits are not centred, so their mean is a polynomial with all
    coefficients alike, which is largest where the root of unity of a slot, 3^slot, is near 1.
    """
    return np.asarray(slots).reshape(-1, layout.sequences)[:, :count].mean(axis=0)


def _check_frames(signature: Signature, frames: Vector) -> None:
    spec = signature.inputs
    wanted = (spec.frames, spec.channels, spec.image_size, spec.image_size)
    shape = tuple(frames.shape)
    if shape[1:] != wanted or not 1 <= shape[0] <= signature.layout.sequences:
        raise DataError(
            f"frames to encrypt: got shape {shape}, expected [n, T, C, H, W] with n from 1 to "
            f"{signature.layout.sequences} and (T, C, H, W) = {wanted}. "
            "Load them with the data configuration the plan was made for, batch by batch."
        )
    if not np.isfinite(frames).all():
        raise DataError("frames to encrypt hold NaN or infinite values; check normalisation.")
