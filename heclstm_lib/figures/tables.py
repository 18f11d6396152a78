"""Tables for readers: an estimate and its interval in one cell."""

from __future__ import annotations

import pandas as pd


def interval_cells(table: pd.DataFrame, estimate: str, low: str, high: str) -> pd.Series:
    """Cells "0.812 (0.701 to 0.903)"; empty where there is no estimate.

    >>> interval_cells(pd.DataFrame({"e": [0.5], "l": [0.25], "h": [0.75]}), "e", "l", "h")[0]
    '0.500 (0.250 to 0.750)'
    """
    return table.apply(
        lambda row: (
            f"{row[estimate]:.3f} ({row[low]:.3f} to {row[high]:.3f})"
            if pd.notna(row[estimate])
            else ""
        ),
        axis=1,
    )


def show_metrics(metrics: pd.DataFrame, column: str | None = None) -> pd.DataFrame:
    """Metrics as rows, the groups of `column` side by side, each with its 95 % interval."""
    cells = metrics.assign(cell=interval_cells(metrics, "estimate", "ci_low", "ci_high"))
    cells["group"] = cells[column] if column else "estimate (95 % CI)"
    wide = cells.pivot(index="metric", columns="group", values="cell")
    wide = wide.loc[list(dict.fromkeys(cells.metric)), list(dict.fromkeys(cells.group))]
    counts = cells.drop_duplicates("metric").set_index("metric")[["n_patients", "n_sequences"]]
    wide.columns.name = wide.index.name = None
    return wide.join(counts).rename_axis(None)


def show_comparison(comparison: pd.DataFrame, reference: str) -> pd.DataFrame:
    """One row a method: AUC, paired difference from the reference, Holm-corrected p, n."""
    difference = interval_cells(comparison, "difference", "difference_low", "difference_high")
    return pd.DataFrame(
        {
            "AUC (95 % CI)": interval_cells(comparison, "estimate", "ci_low", "ci_high"),
            f"difference from {reference} (95 % CI)": difference,
            "p (Holm)": comparison["p_holm"].map(lambda p: f"{p:.3f}" if pd.notna(p) else ""),
            "n_patients": comparison["n_patients"],
            "n_sequences": comparison["n_sequences"],
        }
    ).set_index(comparison["method"].rename(None))
