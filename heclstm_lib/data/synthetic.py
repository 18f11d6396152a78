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
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from heclstm_lib.config import DataConfig
from heclstm_lib.data.cases import Collected
from heclstm_lib.data.frames import check_config
from heclstm_lib.data.manifest import Manifest

GENERATOR_VERSION = 1
DEFAULT_SEQUENCES = 600
TISSUE = (0.72, 0.42, 0.42)  # pink
BACKGROUND = (0.38, 0.14, 0.16)  # vaginal wall, dark red
OS = (0.28, 0.08, 0.10)
WHITE = (0.92, 0.86, 0.84)
GRAY = (0.299, 0.587, 0.114)  # ITU-R BT.601 luma


@dataclass(frozen=True)
class Difficulty:
    """Ranges the generator draws from; whiteness is a blend factor between tissue and white."""

    base: tuple[float, float] = (0.05, 0.95)
    slope: tuple[float, float] = (0.20, 0.30)
    bend: tuple[float, float] = (-0.5, 0.5)
    lesion_radius: tuple[float, float] = (0.26, 0.42)
    lesion_distance: tuple[float, float] = (0.22, 0.38)
    motion: float = 0.06  # shift of the camera, half widths of the picture
    zoom: float = 0.08
    light: float = 0.12  # relative drift of the illumination
    jitter: float = 0.04  # relative change of the light from frame to frame
    balance: float = 0.05  # relative change of each colour channel from frame to frame
    noise: float = 0.04  # peak of the triangular noise of a pixel
    glare: int = 3  # at most so many glare spots in a frame
    patches: int = 2  # constant white patches of a scene


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


@dataclass(frozen=True)
class _Scene:
    """What stays the same over one sequence (coordinates: -1 .. 1 across the picture)."""

    base: float
    slope: float
    bend: float
    lesion: tuple[float, float, float]  # x, y, radius
    disc: float
    os_size: tuple[float, float]
    tint: float
    patches: tuple[tuple[float, float, float, float], ...]  # x, y, radius, whiteness
    texture: np.ndarray  # [7, 7] in -1 .. 1
    path: np.ndarray  # [3, 2]: slope and bend over time of shift x, shift y, zoom
    light: np.ndarray  # [2]


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
    scene = _draw_scene(np.random.default_rng([seed, index, 1]), difficulty)
    return np.stack(
        [_render(scene, label, t, size, [seed, index, 2], difficulty) for t in frame_times(frames)]
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
    """sha256 of the bytes and labels of the default set (600 sequences, T = 4, 28 x 28, seed 2021)."""
    defaults = DataConfig()
    labels = make_labels(DEFAULT_SEQUENCES, defaults.seed)
    state = hashlib.sha256(labels.astype("<i8").tobytes())
    for i, label in enumerate(labels):
        sequence = make_sequence(
            i, int(label), frames=defaults.frames, size=defaults.image_size, seed=defaults.seed
        )
        state.update(sequence.tobytes())
    return state.hexdigest()


def _draw_scene(rng: np.random.Generator, d: Difficulty) -> _Scene:
    def within(limits: tuple[float, float]) -> float:
        return limits[0] + (limits[1] - limits[0]) * float(rng.random())

    def direction() -> tuple[float, float]:
        # A unit vector without sine and cosine: rational parametrisation, then a random quadrant.
        m = float(rng.random())
        x, y = (1 - m * m) / (1 + m * m), 2 * m / (1 + m * m)
        flip = rng.integers(2, size=2) * 2 - 1
        return x * float(flip[0]), y * float(flip[1])

    dx, dy = direction()
    distance = within(d.lesion_distance)
    patches = []
    for _ in range(int(rng.integers(d.patches + 1))):
        px, py = direction()
        reach = within((0.3, 0.75))
        patches.append((px * reach, py * reach, within((0.08, 0.18)), within((0.2, 0.6))))
    return _Scene(
        base=within(d.base),
        slope=within(d.slope),
        bend=within(d.bend),
        lesion=(dx * distance, dy * distance, within(d.lesion_radius)),
        disc=within((0.78, 0.95)),
        os_size=(within((0.10, 0.20)), within((0.04, 0.09))),
        tint=within((0.85, 1.10)),
        patches=tuple(patches),
        texture=rng.random((7, 7)) * 2 - 1,
        path=(rng.random((3, 2)) * 2 - 1) * np.array([[d.motion], [d.motion], [d.zoom]]),
        light=(rng.random(2) * 2 - 1) * d.light,
    )


def _whiteness(scene: _Scene, label: int, t: float) -> float:
    u = t + scene.bend * t * (1 - t)
    mean_u = 0.5 + scene.bend / 6
    return scene.base + (1 if label == 1 else -1) * scene.slope * (u - mean_u)


def _spot(x: np.ndarray, y: np.ndarray, cx: float, cy: float, rx: float, ry: float) -> np.ndarray:
    """A smooth bump of height 1: (1 - r^2)^2 inside the ellipse, 0 outside."""
    inside = np.maximum(0.0, 1 - ((x - cx) / rx) ** 2 - ((y - cy) / ry) ** 2)
    return inside * inside


def _blend(picture: np.ndarray, colour: tuple[float, ...], amount: np.ndarray) -> np.ndarray:
    return picture + amount[..., None] * (np.array(colour) - picture)


def _texture(grid: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Bilinear look-up of the 7 x 7 texture at scene coordinates."""
    u, v = (np.clip((c + 1) * 3, 0, 5.999) for c in (x, y))
    i, j = u.astype(np.int64), v.astype(np.int64)
    a, b = u - i, v - j
    low = grid[j, i] * (1 - a) + grid[j, i + 1] * a
    high = grid[j + 1, i] * (1 - a) + grid[j + 1, i + 1] * a
    return low * (1 - b) + high * b


def _render(
    scene: _Scene, label: int, t: float, size: int, key: list[int], d: Difficulty
) -> np.ndarray:
    """One frame uint8 [size, size, 3] at time t."""
    rng = np.random.default_rng([*key, round(t * 1_000_000)])
    centres = (2 * np.arange(size) + 1) / size - 1
    shift_x, shift_y, zoom = (float(p[0] * (t - 0.5) + p[1] * t * (1 - t)) for p in scene.path)
    shake = (rng.random(2) - 0.5) * d.motion
    x = (centres[None, :] * np.ones((size, 1)) - shift_x - float(shake[0])) * (1 + zoom)
    y = (centres[:, None] * np.ones((1, size)) - shift_y - float(shake[1])) * (1 + zoom)

    edge = np.clip((scene.disc * scene.disc - x * x - y * y) * 6, 0, 1)
    picture = np.ones((size, size, 3)) * np.array(BACKGROUND)
    tissue = tuple(channel * scene.tint for channel in TISSUE)
    picture = _blend(picture, tissue, edge)
    lx, ly, radius = scene.lesion
    lesion = np.minimum(1.0, 1.6 * _spot(x, y, lx, ly, radius, radius))
    picture = _blend(picture, WHITE, lesion * _whiteness(scene, label, t) * edge)
    for px, py, reach, white in scene.patches:
        picture = _blend(picture, WHITE, _spot(x, y, px, py, reach, reach) * white * edge)
    picture = _blend(picture, OS, _spot(x, y, 0.0, 0.0, *scene.os_size))
    picture = picture * (1 + 0.10 * _texture(scene.texture, x, y))[..., None]

    picture = picture * _light(scene, t, rng, centres, d)[..., None]
    picture = picture * (1 + (rng.random(3) * 2 - 1) * d.balance)
    for _ in range(int(rng.integers(d.glare + 1))):
        gx, gy, reach = rng.random() * 1.4 - 0.7, rng.random() * 1.4 - 0.7, 0.06 + 0.08 * rng.random()
        picture = _blend(picture, (1.0, 1.0, 1.0), 0.9 * _spot(x, y, gx, gy, reach, reach))
    grain = rng.random((size, size, 3)) + rng.random((size, size, 3)) - 1
    return np.rint(np.clip(picture + d.noise * grain, 0, 1) * 255).astype(np.uint8)


def _light(
    scene: _Scene, t: float, rng: np.random.Generator, centres: np.ndarray, d: Difficulty
) -> np.ndarray:
    """Illumination [size, size]: slow drift, jitter of the frame, a side that is brighter."""
    drift = 1 + float(scene.light[0]) * (t - 0.5) + float(scene.light[1]) * t * (1 - t)
    jitter, tilt_x, tilt_y = (rng.random(3) * 2 - 1) * d.jitter
    return (drift + jitter) + tilt_x * centres[None, :] + tilt_y * centres[:, None]
