"""The ablations of a study as tables: rows by axis, what they change, cost and encrypted facts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd

from heclstm_lib.grid import FULL, Row
from heclstm_lib.results import ResultStore
from heclstm_lib.stages.ablations import RowResult
from heclstm_lib.stages.evidence import ENCRYPTED
from heclstm_lib.stages.methods import COLUMNS

MEASURED = (
    "precision_bits", "worst_bits", "flips", "n", "n_sequences", "batch_s", "sequence_s", "key_s",
    "encrypt_s", "decrypt_s", "round_trips", "key_bytes", "request_bytes", "refresh_bytes",
    "response_bytes",
)  # fmt: skip
SIZES = ("fits", "poly_degree", "sequences", "levels", "scale_bits")
"""Columns of `encrypted_table`: what was measured, and what its plan says."""


def list_rows(rows: Sequence[Row]) -> pd.DataFrame:
    """One row each, by axis: axis, row, what it changes, and the fields with their new values."""
    table = pd.DataFrame(
        [(row.axis, row.name, row.says, row.told()) for row in rows],
        columns=["axis", "row", "what it changes", "fields"],
    )
    order = {axis: place for place, axis in enumerate(dict.fromkeys(table.axis))}
    return table.sort_values("axis", key=lambda axes: axes.map(order), kind="stable").reset_index(
        drop=True
    )


def joined_predictions(full: pd.DataFrame, results: Sequence[RowResult]) -> pd.DataFrame:
    """Test predictions of the study's network (method "full") and of every row that trained one."""
    trained = [one.predictions for one in results if one.row.trains and len(one.predictions)]
    tables = [full.assign(method=FULL), *trained]
    return pd.concat([table[list(COLUMNS)] for table in tables], ignore_index=True)


def comparison_by_axis(comparison: pd.DataFrame, results: Sequence[RowResult]) -> pd.DataFrame:
    """`compare_methods` without the full network, axis and fields first, in the order of axes."""
    listed = list_rows([one.row for one in results])
    return listed.merge(comparison, left_on="row", right_on="method").drop(columns="method")


def plan_table(full: dict[str, object], results: Sequence[RowResult]) -> pd.DataFrame:
    """One row each, the full network first: axis, row and its plan's facts (`plan_row`).

    `fits` says why not where no plan fits or training diverged.
    """
    rows = [{"axis": "", "row": FULL} | full]
    by_name = {one.row.name: one for one in results}
    for entry in list_rows([one.row for one in results]).itertuples():
        rows.append({"axis": entry.axis, "row": entry.row} | _plan(by_name[entry.row]))
    return pd.DataFrame(rows)


def _plan(result: RowResult) -> dict[str, Any]:
    """A row's plan (`plan_row`), or that there is no network to plan."""
    diverged = result.record["diverged"]
    return {"fits": f"no network: {diverged}"} if diverged else result.record["plan"]


def full_encrypted(store: ResultStore, plan: dict[str, Any]) -> dict[str, Any]:
    """The study's own encrypted evaluation as notebook 04 found it; empty where it was not run."""
    numbers = store.load_results().get(ENCRYPTED, {}).get("numbers", {})
    if not numbers:
        return {}
    facts = {key: plan.get(key) for key in SIZES} | numbers["agreement"]
    facts |= {"batch_s": numbers["server_s_per_batch"], "key_s": numbers["key_s"]}
    facts |= {key: numbers[f"{key}_per_batch"] for key in ("encrypt_s", "decrypt_s")}
    return {key: facts[key] for key in (*SIZES, *MEASURED) if key in facts}


def encrypted_table(full: dict[str, Any], results: Sequence[RowResult]) -> pd.DataFrame:
    """One row for each that was evaluated encrypted: precision in bits, seconds, bytes of a batch.

    `full` are the same facts of the study's own plan, left out where empty. Batch seconds are of
    the server, and key_bytes all evaluation keys as sent.
    """
    rows = [{"axis": "", "row": FULL} | full] if full else []
    for one in results:
        plan, found = _plan(one), one.record["encrypted"]
        if one.row.encrypts:
            sizes = {key: plan.get(key) for key in SIZES}
            measured = {key: found.get(key) for key in MEASURED}
            rows.append({"axis": one.row.axis, "row": one.row.name} | sizes | measured)
    return pd.DataFrame(rows)
