"""Rendering of the embedded set: one cervix-like scene, drawn once, seen at time t.

Only + - * / and comparisons (no power, no trigonometry), see `data.synthetic` for why.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

TISSUE = (0.72, 0.42, 0.42)  # pink
BACKGROUND = (0.38, 0.14, 0.16)  # vaginal wall, dark red
OS = (0.28, 0.08, 0.10)
WHITE = (0.92, 0.86, 0.84)


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


@dataclass(frozen=True)
class Scene:
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


def draw_scene(rng: np.random.Generator, d: Difficulty) -> Scene:
    """Draw what stays the same over one sequence."""

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
    return Scene(
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


def whiteness(scene: Scene, label: int, t: float) -> float:
    """w(t) of the lesion, a blend factor between tissue and white (formula: `data.synthetic`)."""
    u = t + scene.bend * t * (1 - t)
    mean_u = 0.5 + scene.bend / 6
    return scene.base + (1 if label == 1 else -1) * scene.slope * (u - mean_u)


def _spot(x: np.ndarray, y: np.ndarray, cx: float, cy: float, rx: float, ry: float) -> np.ndarray:
    """A smooth bump of height 1: (1 - r^2)^2 inside the ellipse, 0 outside."""
    inside: np.ndarray = np.maximum(0.0, 1 - ((x - cx) / rx) ** 2 - ((y - cy) / ry) ** 2)
    bump: np.ndarray = inside * inside
    return bump


def _blend(picture: np.ndarray, colour: tuple[float, ...], amount: np.ndarray) -> np.ndarray:
    blended: np.ndarray = picture + amount[..., None] * (np.array(colour) - picture)
    return blended


def _texture(grid: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Bilinear look-up of the 7 x 7 texture at scene coordinates."""
    u, v = (np.clip((c + 1) * 3, 0, 5.999) for c in (x, y))
    i, j = u.astype(np.int64), v.astype(np.int64)
    a, b = u - i, v - j
    low = grid[j, i] * (1 - a) + grid[j, i + 1] * a
    high = grid[j + 1, i] * (1 - a) + grid[j + 1, i + 1] * a
    value: np.ndarray = low * (1 - b) + high * b
    return value


def render_frame(
    scene: Scene, label: int, t: float, size: int, key: list[int], d: Difficulty
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
    picture = _blend(picture, WHITE, lesion * whiteness(scene, label, t) * edge)
    for px, py, reach, white in scene.patches:
        picture = _blend(picture, WHITE, _spot(x, y, px, py, reach, reach) * white * edge)
    picture = _blend(picture, OS, _spot(x, y, 0.0, 0.0, *scene.os_size))
    picture = picture * (1 + 0.10 * _texture(scene.texture, x, y))[..., None]

    picture = picture * _light(scene, t, rng, centres, d)[..., None]
    picture = picture * (1 + (rng.random(3) * 2 - 1) * d.balance)
    for _ in range(int(rng.integers(d.glare + 1))):
        gx, gy = (float(c) for c in rng.random(2) * 1.4 - 0.7)
        reach = 0.06 + 0.08 * float(rng.random())
        picture = _blend(picture, (1.0, 1.0, 1.0), 0.9 * _spot(x, y, gx, gy, reach, reach))
    grain = rng.random((size, size, 3)) + rng.random((size, size, 3)) - 1
    pixels: np.ndarray = np.rint(np.clip(picture + d.noise * grain, 0, 1) * 255).astype(np.uint8)
    return pixels


def _light(
    scene: Scene, t: float, rng: np.random.Generator, centres: np.ndarray, d: Difficulty
) -> np.ndarray:
    """Illumination [size, size]: slow drift, jitter of the frame, a side that is brighter."""
    drift = 1 + float(scene.light[0]) * (t - 0.5) + float(scene.light[1]) * t * (1 - t)
    jitter, tilt_x, tilt_y = (rng.random(3) * 2 - 1) * d.jitter
    field: np.ndarray = (drift + jitter) + tilt_x * centres[None, :] + tilt_y * centres[:, None]
    return field
