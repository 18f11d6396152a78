"""Results on disk: one result.json a data set, a section per notebook stage, and Parquet tables."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from heclstm_lib.errors import ReportError
from heclstm_lib.files import locked, replacing
from heclstm_lib.provenance import collect_provenance

FORMAT = 1


class ResultStore:
    """The results folder of one data set; every write is atomic.

    result.json: {"format": 1, "stages": {stage: {"headline": [...], ..., "provenance": {...}}}}.
    """

    def __init__(self, folder: Path | str) -> None:
        self.folder = Path(folder)

    @property
    def path(self) -> Path:
        """The file all stages share."""
        return self.folder / "result.json"

    def write_result(self, name: str, result: Mapping[str, Any]) -> Path:
        """Put a stage's result into result.json, replacing that stage only.

        Provenance is collected when `result` brings none. ReportError names a value that JSON
        cannot hold.
        """
        plain = to_json(dict(result), name)
        plain.setdefault("provenance", to_json(collect_provenance(), name))
        with locked(self.folder / ".lock"):  # notebooks of one data set may end at the same time
            stages = self.load_results() | {name: plain}
            text = json.dumps({"format": FORMAT, "stages": stages}, indent=1, allow_nan=False)
            with replacing(self.path) as part:
                part.write_text(text + "\n", encoding="utf-8")
        return self.path

    def write_table(self, name: str, table: pd.DataFrame) -> Path:
        """Write `<name>.parquet`."""
        target = self.folder / f"{name}.parquet"
        with replacing(target) as part:
            table.to_parquet(part, index=not isinstance(table.index, pd.RangeIndex))
        return target

    def load_results(self) -> dict[str, Any]:
        """Every stage's result; empty before the first one is written."""
        if not self.path.is_file():
            return {}
        try:
            content = json.loads(self.path.read_text(encoding="utf-8"))
            found, stages = content["format"], content["stages"]
        except (ValueError, KeyError, TypeError) as error:
            raise ReportError(
                f"{self.path} is not a result file ({error}); delete it and run the study again."
            ) from error
        if found != FORMAT:
            raise ReportError(
                f"{self.path} has format {found}, this version reads {FORMAT}; run the study again."
            )
        return dict(stages)

    def load_result(self, name: str) -> dict[str, Any]:
        """One stage's result; ReportError names the stages there are."""
        stages = self.load_results()
        if name not in stages:
            raise ReportError(
                f"no result '{name}' in {self.path}; there are: {', '.join(stages) or 'none'}. "
                f"Run the notebook {name} first."
            )
        return dict(stages[name])

    def load_table(self, name: str) -> pd.DataFrame:
        """Read `<name>.parquet`; ReportError names the tables there are."""
        source = self.folder / f"{name}.parquet"
        if not source.is_file():
            known = ", ".join(sorted(p.stem for p in self.folder.glob("*.parquet"))) or "none"
            raise ReportError(f"no table '{name}' in {self.folder}; there are: {known}.")
        return pd.read_parquet(source)


def to_json(value: Any, where: str = "result") -> Any:
    """Plain JSON values: NumPy types, arrays, dataclasses and paths converted, NaN and inf -> None.

    >>> to_json({"n": np.int64(3), "auc": float("nan"), "ci": np.array([0.5, 1.0])})
    {'n': 3, 'auc': None, 'ci': [0.5, 1.0]}
    """
    if isinstance(value, np.generic | np.ndarray):
        value = value.tolist()
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        value = dataclasses.asdict(value)
    if isinstance(value, pd.DataFrame):
        value = value.to_dict(orient="records")
    if isinstance(value, Mapping):
        return {str(key): to_json(item, f"{where}.{key}") for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [to_json(item, f"{where}[{i}]") for i, item in enumerate(value)]
    if isinstance(value, Path):
        return value.as_posix()
    if isinstance(value, date):
        return value.isoformat()
    raise ReportError(
        f"{where}: a {type(value).__name__} cannot be kept in JSON; give numbers, text, lists, "
        "mappings, arrays or dataclasses, and tables to write_table."
    )
