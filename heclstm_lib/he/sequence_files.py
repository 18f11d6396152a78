"""Frames and names of sequences as files of the client: .npy or .npz, and lines of text."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np

from heclstm_lib.errors import DataError
from heclstm_lib.he.packing import Vector
from heclstm_lib.he.signature import Signature

FRAMES = "frames"
"""Name of the array in an .npz file that holds more than one."""


def load_frames(path: Path, signature: Signature) -> Vector:
    """Normalised frames [n, T, C, H, W] for a plan from an .npy or .npz file.

    Raises DataError for a file that is neither, for another shape, or for no number at all.
    """
    try:
        stored = np.load(path, allow_pickle=False, mmap_mode="r")
        frames = stored if isinstance(stored, np.ndarray) else _member(stored, path)
    except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile) as error:
        raise DataError(
            f"{path}: no frames can be read ({error}). Save them with numpy.save."
        ) from error
    wanted = (signature.inputs.frames, *signature.inputs.shape)
    if frames.ndim != 1 + len(wanted) or frames.shape[1:] != wanted or not len(frames):
        raise DataError(
            f"{path.name}: got an array of shape {frames.shape}, expected [n, T, C, H, W] with "
            f"(T, C, H, W) = {wanted}. Prepare the images as for the training of this model."
        )
    if frames.dtype.kind not in "fiu":
        raise DataError(f"{path.name}: got values of type {frames.dtype}, expected numbers.")
    return frames


def normalise(frames: Vector, signature: Signature) -> Vector:
    """Normalised frames [n, T, C, H, W] of frames in [0, 1], as the training normalised them.

    Raises DataError for a signature without normalisation or values outside [0, 1].
    """
    if signature.normalisation is None:
        raise DataError(
            "the signature has no normalisation, so frames in [0, 1] cannot be used. Take the "
            "signature.json of a study's fold, or normalise the frames before."
        )
    if not (frames.min() >= 0 and frames.max() <= 1):
        raise DataError(
            f"frames reach from {frames.min():.4g} to {frames.max():.4g}, expected 0 to 1. Divide "
            "by the largest value that a pixel can have."
        )
    pairs = np.array(signature.normalisation, dtype=np.float32)
    mean, std = pairs.T.reshape(2, 1, 1, -1, 1, 1)
    return ((frames.astype(np.float32) - mean) / std).astype(np.float64)


def _member(stored: np.lib.npyio.NpzFile, path: Path) -> Vector:
    with stored:
        names = stored.files
        if len(names) != 1 and FRAMES not in names:
            raise DataError(
                f"{path.name}: holds {', '.join(names) or 'nothing'}; expected one array, or one "
                f"called {FRAMES!r}."
            )
        frames: Vector = stored[FRAMES if FRAMES in names else names[0]]
        return frames


def load_names(path: Path | None, count: int) -> list[str]:
    """One name a line for each of `count` sequences, unique; their numbers from 0 without a file.

    Raises DataError for another number of names or a repeated one.
    """
    if path is None:
        return [str(number) for number in range(count)]
    try:
        names = path.read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: no names can be read ({error}).") from error
    if len(names) != count or len(set(names)) != count or not all(map(str.strip, names)):
        raise DataError(
            f"{path.name}: got {len(names)} lines, {len(set(names))} different; expected a name "
            f"of its own for each of {count} sequence(s)."
        )
    return names
