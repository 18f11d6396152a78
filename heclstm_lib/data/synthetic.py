"""The embedded set: generated sequences that look and behave like acetowhitening of the cervix.

Scene: a pink disc with a dark os in its centre, texture, a lesion beside the os that is whiter
than its surroundings, and constant white patches (mucus) that mean nothing. Time t runs from 0
(just after acetic acid) to 1; T frames are taken at t = 0 .. 1 evenly (T = 1: t = 1).

The label is the *course* of the lesion's whiteness and nothing else:
    w(t) = base + s * slope * (u(t) - mean of u),   u(t) = t + bend * t * (1 - t)
with s = +1 for disease (label 1: goes on whitening) and s = -1 for a benign lesion (label 0:
whitens early and fades). `base` is drawn from one wide range for both classes and w averages to
`base` over time, so mean colour says nothing and a single frame little; camera motion, glare,
drifting light and noise lie over it, so that a difference of two frames is no clean answer either.

Determinism: sequence i depends on (seed, i) alone, so a shorter set is a prefix of a longer one
and the frame at time t is the same for every T. Only + - * / and comparisons are used before the
values are rounded to 8 bits, so the bytes are the same on every machine.
"""

from __future__ import annotations

import hashlib
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from heclstm_lib.config import DataConfig
from heclstm_lib.data.cases import Collected
from heclstm_lib.data.frames import check_config
from heclstm_lib.data.manifest import Manifest
from heclstm_lib.data.rendering import Difficulty, draw_scene, render_frame

GENERATOR_VERSION = 1
DEFAULT_SEQUENCES = 600
GRAY = (0.299, 0.587, 0.114)  # ITU-R BT.601 luma


def generator_parameters() -> dict[str, Any]:
    """The default ranges as JSON values, for the manifest."""
    return {key: list(v) if isinstance(v, tuple) else v for key, v in asdict(Difficulty()).items()}


def frame_times(frames: int) -> list[float]:
    """Times of the T frames: evenly from 0 to 1, the end for T = 1."""
    return [1.0] if frames == 1 else [k / (frames - 1) for k in range(frames)]


def make_labels(count: int, seed: int) -> np.ndarray:
    """Labels int64 [count]: sequences 2k and 2k+1 are one of each class in random order."""
    first = [int(np.random.default_rng([seed, k]).integers(2)) for k in range((count + 1) // 2)]
    return np.array([first[i // 2] ^ (i % 2) for i in range(count)], dtype=np.int64)


def make_sequence(
    index: int,
    label: int,
    *,
    frames: int,
    size: int,
    seed: int,
    difficulty: Difficulty | None = None,
) -> np.ndarray:
    """One sequence as uint8 [T, size, size, 3]."""
    difficulty = difficulty or Difficulty()
    scene = draw_scene(np.random.default_rng([seed, index, 1]), difficulty)
    return np.stack(
        [
            render_frame(scene, label, t, size, [seed, index, 2], difficulty)
            for t in frame_times(frames)
        ]
    )


def load_embedded(root: Path, manifest: Manifest, config: DataConfig) -> Collected:
    """Generate `config.sequences` (default 600) sequences; `root` and `manifest` are not read."""
    del root, manifest
    check_config(config)
    count = DEFAULT_SEQUENCES if config.sequences is None else config.sequences
    labels = make_labels(count, config.seed)
    raw = np.stack(
        [
            make_sequence(
                i, int(labels[i]), frames=config.frames, size=config.image_size, seed=config.seed
            )
            for i in range(count)
        ]
    )
    names = tuple(f"E{i + 1:04d}" for i in range(count))
    stages = tuple(f"after_acetic_acid_t{t:.2f}" for t in frame_times(config.frames))
    return Collected(
        frames=to_float(raw, config.colour),
        labels=labels,
        patient_ids=names,
        sequence_ids=names,
        frame_labels=(stages,) * count,
        lengths=np.full(count, config.frames, dtype=np.int64),
        scores=np.full(count, np.nan),
    )


def to_float(raw: np.ndarray, colour: str) -> np.ndarray:
    """uint8 [..., H, W, 3] -> float32 [..., C, H, W] in [0, 1]; gray is BT.601 luma, 8 bits."""
    if colour == "gray":
        r, g, b = (raw[..., c].astype(np.float64) * w for c, w in enumerate(GRAY))
        raw = np.rint(r + g + b).astype(np.uint8)[..., None]
    return np.moveaxis(raw, -1, -3).astype(np.float32) / np.float32(255)


def default_digest() -> str:
    """sha256 of labels and bytes of the default set: 600 sequences, T = 4, 28 x 28, seed 2021."""
    defaults = DataConfig()
    labels = make_labels(DEFAULT_SEQUENCES, defaults.seed)
    state = hashlib.sha256(labels.astype("<i8").tobytes())
    for i, label in enumerate(labels):
        sequence = make_sequence(
            i, int(label), frames=defaults.frames, size=defaults.image_size, seed=defaults.seed
        )
        state.update(sequence.tobytes())
    return state.hexdigest()
