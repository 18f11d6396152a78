"""Ablations as a declared grid: rows of a YAML file, each one change of a study.

name: {says: text, axis: word, changes: {data|model|train|he: {field: value}}}, and
`also_encrypted: true` for a row that trains and is evaluated encrypted too. Keys, types and ranges
are checked as a profile's are. The shipped grid is grids/ablations.yml.
"""

from __future__ import annotations

import dataclasses
import re
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import yaml

from heclstm_lib.config import DataConfig, DatasetStudy, HEConfig, ModelConfig, TrainConfig
from heclstm_lib.errors import ConfigError
from heclstm_lib.typed import build

PARTS = {"data": DataConfig, "model": ModelConfig, "train": TrainConfig, "he": HEConfig}
AXIS = "axis:"
FULL = "full"  # the study itself, in every table
SHIPPED = "ablations"
_WORD = re.compile(r"[a-z0-9_]+")  # names become folders


@dataclass(frozen=True)
class Row:
    """One ablation; `changes` holds the new values: part of the study -> field -> value."""

    name: str
    says: str
    axis: str
    changes: dict[str, dict[str, Any]]
    also_encrypted: bool = False  # evaluated encrypted although it changes something else

    @property
    def trains(self) -> bool:
        """Whether a network of its own has to be trained; else the study's own is taken."""
        return bool(set(self.changes) - {"he"})

    @property
    def encrypts(self) -> bool:
        """Whether the row is evaluated encrypted: it changes how, or says so."""
        return "he" in self.changes or self.also_encrypted

    def apply(self, study: DatasetStudy) -> DatasetStudy:
        """The study with the changes. ConfigError where a value does not go with the others."""
        parts = {
            part: dataclasses.replace(getattr(study, part), **values)
            for part, values in self.changes.items()
        }
        return dataclasses.replace(study, **parts)

    def told(self) -> str:
        """The changes as text.

        >>> Row("r", "", "frames", {"data": {"frames": 2}, "he": {"workers": 1}}).told()
        'data.frames = 2, he.workers = 1'
        """
        values = [(f"{p}.{k}", v) for p, fields in self.changes.items() for k, v in fields.items()]
        return ", ".join(f"{place} = {value}" for place, value in values)


@dataclass(frozen=True)
class Grid:
    """The rows of a grid file, by name, in its order."""

    rows: dict[str, Row]
    source: str
    text: str

    @property
    def axes(self) -> tuple[str, ...]:
        """The axes of its rows, in order."""
        return tuple(dict.fromkeys(row.axis for row in self.rows.values()))

    def row(self, name: str) -> Row:
        """One row; ConfigError names those there are."""
        if name not in self.rows:
            raise ConfigError(
                f"unknown ablation '{name}'; {self.source} has: {', '.join(self.rows)}."
            )
        return self.rows[name]

    def chosen(self, study: DatasetStudy) -> tuple[Row, ...]:
        """The rows a study lists, once each: names, or axis:NAME for all rows of an axis.

        Rows of an axis that change nothing in this study are left out; one listed by its name is an
        error, as an unknown name or axis is.
        """
        found: dict[str, Row] = {}
        for wanted in study.ablations:
            if wanted.startswith(AXIS):
                rows = self._axis(wanted.removeprefix(AXIS))
                found |= {row.name: row for row in rows if row.apply(study) != study}
            else:
                found[wanted] = changing(self.row(wanted), study)
        return tuple(found.values())

    def _axis(self, axis: str) -> list[Row]:
        if axis not in self.axes:
            raise ConfigError(f"unknown axis '{axis}'; {self.source} has: {', '.join(self.axes)}.")
        return [row for row in self.rows.values() if row.axis == axis]


def changing(row: Row, study: DatasetStudy) -> Row:
    """The row, if it changes something in the study; ConfigError otherwise."""
    if row.apply(study) == study:
        raise ConfigError(
            f"ablation '{row.name}' changes nothing on '{study.dataset}': the study has "
            f"{row.told()} already. List another one."
        )
    return row


def load_grid(path: str | Path | None = None) -> Grid:
    """Read a grid file, the shipped one for None.

    Raises ConfigError for unreadable YAML, an unknown key or field, a wrong type, a value out of
    range, a row that changes nothing or has a name unfit for a folder.
    """
    shipped = resources.files("heclstm_lib") / "grids" / f"{SHIPPED}.yml"
    path = Path(str(shipped)) if path is None else Path(path)
    try:
        text = path.read_text(encoding="utf-8")
        raw = yaml.load(text, _OnceLoader)
    except (OSError, yaml.YAMLError) as error:
        raise ConfigError(f"cannot read grid {path}: {error}") from error
    if not isinstance(raw, dict) or not raw:
        raise ConfigError(f"{path.name}: expected rows NAME: {{says, axis, changes}}, got {raw!r}.")
    rows = {name: _row(name, content, f"{path.name}: {name}") for name, content in raw.items()}
    return Grid(rows, path.name, text)


@dataclass(frozen=True)
class GridEntry:
    """A row as it is written."""

    says: str
    axis: str
    changes: dict  # bare: `build` compares the type itself
    also_encrypted: bool = False


def _row(name: Any, content: Any, where: str) -> Row:
    entry = build(GridEntry, content, where)
    for word, what in ((name, "name"), (entry.axis, "axis")):
        if not isinstance(word, str) or not _WORD.fullmatch(word) or word == FULL:
            raise ConfigError(
                f"{where}: the {what} may have a-z, 0-9 and _ and not be '{FULL}', got {word!r}."
            )
    unknown = sorted(set(entry.changes) - set(PARTS), key=str)
    if unknown or not entry.changes:
        raise ConfigError(
            f"{where}.changes: expected some of {', '.join(PARTS)}, got {list(entry.changes)}."
        )
    changes = {part: _values(part, raw, f"{where}.changes") for part, raw in entry.changes.items()}
    return Row(name, entry.says, entry.axis, changes, entry.also_encrypted)


def _values(part: str, raw: Any, where: str) -> dict[str, Any]:
    """A part's new values, checked among its defaults."""
    built = build(PARTS[part], raw, f"{where}.{part}")
    if not raw:
        raise ConfigError(f"{where}.{part}: nothing is changed; give a field or leave it out.")
    return {name: getattr(built, name) for name in raw}


class _OnceLoader(yaml.SafeLoader):
    """Refuses a key given twice: the first row of a name would be gone without a word."""

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        """The mapping of a node; yaml.YAMLError where a key stands twice."""
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        twice = sorted({str(key) for key in keys if keys.count(key) > 1})
        if twice:
            raise yaml.constructor.ConstructorError(
                None, None, f"key(s) given twice: {', '.join(twice)}", node.start_mark
            )
        return dict(super().construct_mapping(node, deep))
