"""Bytes and JSON values changed at random: the inputs of the fuzzing campaigns."""

from __future__ import annotations

import copy
import json
from typing import Any

import numpy as np

Random = np.random.Generator

ODD_NUMBERS = tuple(
    (value, width)
    for width in (1, 2, 4, 8)
    for value in (0, 1, 0x7F, (1 << 8 * width - 1) - 1, 1 << 8 * width - 1, (1 << 8 * width) - 1)
)  # fmt: skip
ODD_VALUES: tuple[Any, ...] = (
    None, True, False, 0, 1, -1, 2, 0.5, 1.0, 1e308, float("nan"), float("inf"), 1 << 63,
    -(1 << 70), 10**400, "", "0", "../x", "a\\..\\b", "/x", "x" * 5000, "\u0000", "\ud800", "é",
    [], {}, [[]], {"": 0}, [None], [0] * 1000,
)  # fmt: skip


def change_bytes(data: bytes, rng: Random, times: int = 0) -> bytes:
    """`data` with up to `times` changes (default: 1 to 4, mostly 1): bits, numbers, slices."""
    mutated = bytearray(data)
    for _ in range(times or int(rng.geometric(0.6))):
        _change_once(mutated, rng)
    return bytes(mutated)


def _change_once(data: bytearray, rng: Random) -> None:
    start = int(rng.integers(len(data) + 1))
    stop = min(len(data), start + int(rng.integers(1, 65)))
    kind = rng.integers(7)
    if kind == 0 and start < len(data):
        data[start] ^= 1 << int(rng.integers(8))
    elif kind == 1:
        data[start:stop] = rng.bytes(stop - start)
    elif kind == 2:
        value, width = ODD_NUMBERS[rng.integers(len(ODD_NUMBERS))]
        data[start : start + width] = value.to_bytes(width, "little")
    elif kind == 3:
        del data[start:stop]
    elif kind == 4:
        data[start:start] = rng.bytes(int(rng.integers(1, 65)))
    elif kind == 5:
        data[start:start] = data[start:stop]
    elif rng.integers(4):
        data[start:stop] = bytes(stop - start)
    else:
        del data[start:]


def change_json(value: Any, rng: Random) -> Any:
    """A copy of a JSON value with one to three of its parts replaced, removed, added or swapped."""
    changed = copy.deepcopy(value)
    for _ in range(int(rng.geometric(0.7))):
        changed = _change_part(changed, rng)
    return changed


def _change_part(value: Any, rng: Random) -> Any:
    places = list(_places(value))
    if not places or not rng.integers(50):
        return _odd(rng)
    parent, key = places[rng.integers(len(places))]
    kind = rng.integers(6)
    if kind == 0:
        del parent[key]
    elif kind == 1 and isinstance(parent, list):
        parent.insert(key, copy.deepcopy(parent[key]))
    elif kind == 2 and isinstance(parent, dict):
        parent[str(_odd(rng))[:20]] = parent.pop(key)
    elif kind == 3:
        other, place = places[rng.integers(len(places))]
        parent[key] = copy.deepcopy(other[place])
    elif kind == 4 and type(parent[key]) in (int, float):
        parent[key] = parent[key] * int(rng.integers(-2, 3)) + int(rng.integers(-2, 3))
    else:
        parent[key] = _odd(rng)
    return value


def _places(value: Any) -> Any:
    """Every container below a value with each key or index it has."""
    keys = (
        value if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    )
    for key in keys:
        yield value, key
        yield from _places(value[key])


def _odd(rng: Random) -> Any:
    return copy.deepcopy(ODD_VALUES[rng.integers(len(ODD_VALUES))])


def to_text(value: Any) -> bytes:
    """JSON text of a changed value, NaN and unpaired surrogates included."""
    return json.dumps(value).encode()
