"""Frozen dataclasses from plain mappings: unknown keys, wrong types and ranges are errors."""

from __future__ import annotations

import dataclasses
import math
import sys
import types
import typing
from typing import Any

from heclstm_lib.errors import ConfigError

ABOVE_ZERO = sys.float_info.min  # the smallest normal number, for a range without its zero


def build(cls: Any, raw: Any, where: str) -> Any:
    """Build the frozen dataclass `cls` from a mapping, checking names and types.

    A field's metadata may say what true and false stand for. Raises ConfigError with the place.
    """
    if not isinstance(raw, dict):
        raise ConfigError(f"{where}: expected a mapping for {cls.__name__}, got {raw!r}.")
    fields = {f.name: f for f in dataclasses.fields(cls)}
    unknown = sorted(set(raw) - set(fields))
    if unknown:
        raise ConfigError(
            f"{where}: unknown key(s) {', '.join(unknown)} for {cls.__name__}. "
            f"Known keys: {', '.join(fields)}."
        )
    hints = typing.get_type_hints(cls)
    raw = {k: fields[k].metadata.get(v, v) if isinstance(v, bool) else v for k, v in raw.items()}
    values = {key: _convert(hints[key], value, f"{where}.{key}") for key, value in raw.items()}
    try:
        return cls(**values)
    except TypeError as error:
        raise ConfigError(f"{where}: {error}.") from error
    except ConfigError as error:
        raise ConfigError(f"{where}: {error}") from error


def _convert(hint: Any, value: Any, where: str) -> Any:
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if dataclasses.is_dataclass(hint):
        return build(hint, value, where)
    if origin is tuple:
        if not isinstance(value, list | tuple):
            raise ConfigError(f"{where}: expected a list, got {value!r}.")
        return tuple(_convert(args[0], item, f"{where}[{i}]") for i, item in enumerate(value))
    if origin is types.UnionType:
        return None if value is None else _convert(args[0], value, where)
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if type(value) is not hint:
        raise ConfigError(f"{where}: expected {hint.__name__}, got {value!r}.")
    return value


def check_ranges(config: Any, **ranges: tuple[float, float]) -> None:
    """Hold fields (of a tuple, every item) against (lowest, highest), both allowed.

    None passes, as an optional field's "left open"; an empty tuple does not. Raises ConfigError.
    """
    for name, (low, high) in ranges.items():
        value = getattr(config, name)
        items = value if isinstance(value, tuple) else () if value is None else (value,)
        inside = all(low <= item <= high and math.isfinite(item) for item in items)
        if not inside or (value is not None and not items):
            expected = "above 0" if low == ABOVE_ZERO else f"at least {low:g}"
            expected += f" and at most {high:g}" if math.isfinite(high) else ""
            each = ", one or more numbers" if isinstance(value, tuple) else ""
            raise ConfigError(
                f"{type(config).__name__}.{name}: expected {expected}{each}, got {value!r}."
            )


def check_choices(config: Any, **choices: tuple[str, ...]) -> None:
    """Hold fields against the words they may be. Raises ConfigError."""
    for name, known in choices.items():
        if (value := getattr(config, name)) not in known:
            expected = f"expected {', '.join(known[:-1])} or {known[-1]}, got {value!r}."
            raise ConfigError(f"{type(config).__name__}.{name}: {expected}")


def switched(on: str, off: str) -> Any:
    """A field of words, default `on`; true and false (in YAML also on, off) stand for two of them.

    So profiles and models written when it was a switch can still be read.
    """
    return dataclasses.field(default=on, metadata={True: on, False: off})
