"""What every notebook opens first and closes last: its study, its data, its results."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd
from pandas.io.formats.style import Styler

from heclstm_lib.config import DatasetStudy, Profile, load_profile, to_dict
from heclstm_lib.provenance import collect_provenance
from heclstm_lib.results import ResultStore
from heclstm_lib.stages.workspace import Workspace, open_workspace


@dataclass(frozen=True)
class Stage:
    """One notebook's run on one data set of a profile."""

    name: str
    profile: Profile
    study: DatasetStudy
    out: Path
    data: Path | None

    @cached_property
    def space(self) -> Workspace:
        """The study's sequences and work folder; loaded at first use."""
        return open_workspace(self.study, self.out / "work" / self.study.dataset, self.data)

    @property
    def store(self) -> ResultStore:
        """Where this data set's results go."""
        return ResultStore(self.out / self.study.dataset / "results")

    def write_table(self, name: str, table: pd.DataFrame) -> pd.DataFrame:
        """Keep a table as Parquet and hand it back for showing."""
        self.store.write_table(f"{self.name}.{name}", table)
        return table

    def finish(self, headline: list[dict[str, str]], **numbers: Any) -> None:
        """Write result.json: headline rows {label, value, detail}, numbers, provenance."""
        provenance = collect_provenance(
            config=to_dict(self.study),
            seeds={"data": self.study.data.seed, "training": self.study.train.seed},
            data_digests={self.study.dataset: self.space.sequences.digest},
        )
        result = {"headline": headline, "numbers": numbers, "provenance": provenance}
        self.store.write_result(self.name, result)


def open_stage(name: str, profile: str, dataset: str, out: str, data: str = "") -> Stage:
    """Open a notebook's stage from its parameters; ConfigError for an unknown profile or set."""
    warnings.formatwarning = _without_place
    pd.set_option("display.float_format", number_text, "display.max_colwidth", 160)
    pd.set_option("display.max_columns", 30, "display.max_rows", 200)
    loaded = load_profile(profile)
    return Stage(name, loaded, loaded.study(dataset), Path(out), Path(data) if data else None)


def number_text(value: float) -> str:
    """A number of a table: one tiny p value does not turn its whole column into powers of ten."""
    size = abs(value)
    if size >= 1e15 or 0 < size < 1e-3:
        return f"{value:.1e}"
    return f"{value:,.{4 if size < 10 else 2 if size < 1e4 else 0}f}"


def _without_place(
    message: Warning | str,
    category: type[Warning],
    filename: str,  # noqa: ARG001
    lineno: int,  # noqa: ARG001
    line: str | None = None,  # noqa: ARG001
) -> str:
    """A warning's words alone: the file it comes from is a path of this machine."""
    return f"{category.__name__}: {message}\n"


def show_text(table: pd.DataFrame) -> Styler:
    """A table of words for the report: left-aligned, nothing cut off."""
    return table.style.set_properties(**{"text-align": "left"}).set_table_styles(
        [{"selector": "th", "props": "text-align: left"}]
    )
