"""How far predictions were from what was measured, in tables and in one sentence."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from heclstm_lib.paths import repo_root

RECORD = "validation.json"
KEY = ["case", "layout", "requests", "workers"]
MEASURED = {
    "seconds": "run",
    "batch_s": "batch",
    "load_s": "first batch's extra",
    "request_bytes": "request bytes",
    "response_bytes": "response bytes",
    "bundle_bytes": "bundle bytes",
    "memory_bytes": "worker memory",
    "reserved_bytes": "memory reserve",
}
"""What is both predicted and measured, in words.

Memory is predicted twice: as it will be, and as the reserve, which is meant to lie above it and
decides how many workers a machine holds.
"""

NOTHING_KEPT = "no validation is kept here"


def summary_table(runs: pd.DataFrame) -> pd.DataFrame:
    """Medians over repeats: one row a case, layout, workers and quantity, with its error.

    `error` is predicted over measured, minus one. Quantities that runs of an older version do not
    have are left out.
    """
    rows = []
    for key, part in runs.groupby(KEY, sort=False):
        for name in MEASURED:
            if f"predicted_{name}" not in part or part[f"predicted_{name}"].isna().all():
                continue
            predicted = float(part[f"predicted_{name}"].iloc[0])
            found = part[f"measured_{name}"]
            middle = float(found.median())
            ends = {"measured_low": found.min(), "measured_high": found.max()}
            numbers = {"quantity": name, "predicted": predicted, "measured": middle} | ends
            rows.append(
                dict(zip(KEY, key, strict=True)) | numbers | {"error": predicted / middle - 1}
            )
    return pd.DataFrame(rows)


def contention_table(runs: pd.DataFrame) -> pd.DataFrame:
    """How much longer a batch takes with several workers than with one, by layout."""
    middle = runs.groupby(["case", "layout", "workers"], sort=False)["measured_batch_s"].median()
    wide = middle.unstack("workers")
    return wide.div(wide[1], axis=0).drop(columns=1).reset_index()


def batch_spread(runs: pd.DataFrame) -> np.ndarray:
    """Batch seconds of all runs over their run's mean, without those that loaded keys [n]."""
    parts = []
    for row in runs.itertuples():
        later = np.sort(np.asarray(row.request_seconds))[: -row.workers]
        if len(later) > 1:
            parts.append(later / later.mean())
    return np.concatenate(parts) if parts else np.ones(1)


def largest_errors(summary: pd.DataFrame) -> dict[str, float]:
    """The largest error of each quantity of a `summary_table`, with its sign."""
    known = summary.dropna(subset=["error"])
    worst = known.loc[known.groupby("quantity", sort=False).error.apply(lambda e: e.abs().idxmax())]
    return dict(zip(worst.quantity, worst.error.astype(float), strict=True))


def committed_folder() -> Path:
    """Where this repository keeps its validation; an installed package has none."""
    return repo_root() / "reports" / "capacity"


def kept_validation(folder: Path | None = None) -> dict[str, Any] | None:
    """Machine, cases and largest errors of the validation kept in a folder; None without one.

    The default folder is the committed one.
    """
    path = (folder or committed_folder()) / RECORD
    if not path.is_file():
        return None
    record = json.loads(path.read_text(encoding="utf-8"))
    provenance = record["provenance"]
    return {
        "cpu": provenance["cpu"],
        "cores": provenance["cores"]["physical"],
        "cases": sorted({run["case"] for run in record["runs"]}),
        "largest_errors": largest_errors(pd.DataFrame(record["errors"])),
    }


def listed_errors(kept: dict[str, Any] | None) -> str:
    """The largest error of each quantity, predicted over measured minus one, in a few words."""
    if kept is None:
        return NOTHING_KEPT
    errors = kept["largest_errors"]
    return ", ".join(
        f"{words} {errors[name]:+.1%}" for name, words in MEASURED.items() if name in errors
    )


def errors_text(kept: dict[str, Any] | None) -> str:
    """The same with what was run, on what machine."""
    if kept is None:
        return NOTHING_KEPT
    return (
        f"largest errors against real runs with 1 and 2 workers (profile "
        f"{', '.join(kept['cases'])}; {kept['cpu']}, {kept['cores']} cores): {listed_errors(kept)}"
    )
