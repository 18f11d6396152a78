"""Frames: one image file to float32 [C, H, W], and which frames of a case are taken.

Rules shared by the readers of image files
- Sampling: a case with more than T frames keeps T of them, evenly spaced, always the first and
  the last; T = 1 keeps the last (for colposcopy: the longest time after acetic acid).
- Padding: a shorter case repeats its last frame; the repeats are labelled "pad:<stage>".
- Resizing: centre-crop to a square, then Pillow's antialiased (Lanczos) resize, values / 255.
- Bytes of a file the manifest knows are checked by sha256 before they are decoded.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from heclstm_lib.config import DataConfig
from heclstm_lib.data.manifest import Resource
from heclstm_lib.errors import ConfigError, DataError, IntegrityError


@dataclass(frozen=True)
class Frame:
    """One image file of a case; `resource` is None when the manifest does not know the file."""

    path: Path
    stage: str
    resource: Resource | None = None


def sample_indices(available: int, wanted: int) -> list[int]:
    """Positions of the T frames in a run of `available`: even, first and last kept, last repeated.

    >>> sample_indices(7, 4), sample_indices(2, 4), sample_indices(3, 1)
    ([0, 2, 4, 6], [0, 1, 1, 1], [2])
    """
    if available < 1 or wanted < 1:
        raise DataError(f"cannot take {wanted} frame(s) from {available}; both must be at least 1.")
    if wanted == 1:
        return [available - 1]
    if available <= wanted:
        return [min(i, available - 1) for i in range(wanted)]
    return [round(i * (available - 1) / (wanted - 1)) for i in range(wanted)]


def sampled_labels(stages: Sequence[str], wanted: int) -> tuple[str, ...]:
    """Stage names of the T frames; a repeated frame is marked "pad:<stage>"."""
    indices = sample_indices(len(stages), wanted)
    padded = [i > 0 and indices[i] == indices[i - 1] for i in range(wanted)]
    return tuple(("pad:" if p else "") + stages[k] for k, p in zip(indices, padded, strict=True))


def check_config(config: DataConfig) -> int:
    """Channels C, colours times slices; ConfigError for a colour or number of sequences."""
    if config.sequences is not None and config.sequences < 2:
        raise ConfigError(f"data.sequences={config.sequences}: at least 2, or null for all.")
    channels = {"rgb": 3, "gray": 1}.get(config.colour)
    if channels is None:
        raise ConfigError(f"data.colour={config.colour!r}: expected 'rgb' or 'gray'.")
    return channels * config.slices


def load_frame(frame: Frame, size: int, colour: str) -> np.ndarray:
    """Read, check, decode and resize one frame to float32 [C, H, W] in [0, 1].

    Raises DataError (missing or not decodable) and IntegrityError (wrong size or sha256).
    """
    content = read_checked(frame.path, frame.resource)
    mode = "RGB" if colour == "rgb" else "L"
    try:
        with Image.open(io.BytesIO(content)) as image:
            square = ImageOps.fit(image.convert(mode), (size, size), Image.Resampling.LANCZOS)
    except (OSError, ValueError, SyntaxError) as error:
        raise DataError(
            f"cannot decode image {frame.path} ({len(content):,} bytes): {error}. The file is "
            "truncated or not an image; fetch it again and run `heclstm data verify`."
        ) from error
    pixels = np.asarray(square, dtype=np.float32) / np.float32(255)
    return pixels[None] if pixels.ndim == 2 else pixels.transpose(2, 0, 1)


def read_checked(path: Path, resource: Resource | None) -> bytes:
    """Bytes of a file, checked against the manifest's sha256 when it knows the file."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DataError(f"cannot read {path}: {error}. Run `heclstm data verify`.") from error
    digest = hashlib.sha256(content).hexdigest()
    if resource is not None and resource.sha256 not in (None, digest):
        raise IntegrityError(
            f"{path}: got {len(content):,} bytes with sha256 {digest}, the manifest expects "
            f"{resource.bytes:,} bytes with {resource.sha256}. Delete the file and fetch it again."
        )
    return content
