"""Tables of a benchmark's records: every run, one row an entry, and the time per primitive."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from heclstm_lib.bench.records import DONE, Record

BYTES = ("key_bytes", "upload_bytes", "response_bytes")
SECONDS = ("server_s", "encrypt_s", "decrypt_s")


def runs_table(records: Sequence[Record]) -> pd.DataFrame:
    """One row a record, flat: what Parquet keeps. Answers' further parts stand as JSON text."""
    rows = []
    for record in records:
        row: dict[str, Any] = {
            name: getattr(record, name)
            for name in ("suite", "group", "title", "contender", "repeat", "status", "reason")
        }
        row |= {"batch": record.batch, "threads": record.threads, "cores": record.cores}
        row |= {name: _number(record.run.get(name)) for name in SECONDS}
        row |= {name: _number(record.setup.get(name)) for name in ("setup_s", *BYTES)}
        row |= {"peak_bytes": record.peak_bytes, "load": record.load}
        row |= {"error": record.error, "mean_error": record.mean_error}
        row |= {"floor_s": _number(record.floor.get("floor_s"))}
        row |= {"layout": str(record.setup.get("layout", ""))}
        row |= {"parameters": json.dumps(record.setup.get("parameters", {}))}
        row |= {"case": json.dumps(record.case), "case_digest": record.case_digest}
        row |= {"session": record.session, "commit": record.commit}
        rows.append(row)
    return pd.DataFrame(rows)


def _number(value: Any) -> float:
    return float(value) if isinstance(value, int | float) else float("nan")


def summary_table(records: Sequence[Record]) -> pd.DataFrame:
    """One row an entry: medians over its runs, with the least and the most server time.

    `item_s` is server seconds per sequence or image, `items_per_s` its inverse;
    `precision_bits` is -log2 of the mean absolute error (of the worst run), `worst_bits` of the
    largest error of any output of any run, as in evaluation.agreement; `floor_ratio` is the
    median over rounds of server time by the floor measured in the same round.
    """
    groups: dict[tuple[str, str], list[Record]] = {}
    for record in records:
        groups.setdefault((record.suite, record.title), []).append(record)
    return pd.DataFrame([_entry_row(runs) for runs in groups.values()])


def _entry_row(runs: Sequence[Record]) -> dict[str, Any]:
    first = runs[-1]  # of a failed entry, the one that says why
    done = [run for run in runs if run.status in DONE]
    row: dict[str, Any] = {
        "suite": first.suite,
        "heading": first.heading,
        "group": first.group,
        "title": first.title,
        "contender": first.contender,
        "status": _worst(runs),
        "reason": next((run.reason for run in runs if run.reason), ""),
        "runs": len(done),
        "batch": first.batch,
        "threads": first.threads,
        "cores": first.cores,
        "frames": first.case.get("frames"),
        "hidden": first.case.get("hidden"),
        "kind": first.case.get("kind"),
    }
    table = runs_table(runs)
    row |= {name: float(table[name].median()) for name in (*SECONDS, "setup_s", *BYTES)}
    row |= {"server_min_s": table["server_s"].min(), "server_max_s": table["server_s"].max()}
    row["item_s"] = row["server_s"] / first.batch
    row["items_per_s"] = first.batch / row["server_s"] if row["server_s"] > 0 else float("nan")
    row["peak_bytes"] = max(run.peak_bytes for run in runs)
    row["load"] = max(run.load for run in runs)
    row["error"] = _largest([run.error for run in done])
    row["worst_bits"] = precision_bits(row["error"])
    row["precision_bits"] = precision_bits(_largest([run.mean_error for run in done]))
    row["floor_s"] = float(table["floor_s"].median())
    row["floor_ratio"] = float((table["server_s"] / table["floor_s"]).median())
    row["matrix_s"] = float(np.median([_number(run.run.get("matrix_s")) for run in runs]))
    row["layout"] = str(first.setup.get("layout", ""))
    for name in ("refresh_s", "round_trips", "refresh_bytes"):
        row[name] = float(np.median([_number(run.run.get(name)) for run in runs]))
    row["parameters"] = json.dumps(first.setup.get("parameters", {}))
    return row


def _largest(errors: Sequence[float | None]) -> float:
    """The largest error; NaN when one is unknown."""
    known = [error for error in errors if error is not None]
    return max(known) if known and len(known) == len(errors) else float("nan")


def precision_bits(error: float) -> float:
    """Bits after the binary point that are right: -log2 of an error.

    >>> precision_bits(0.25)
    2.0
    """
    if not error > 0:
        return float("inf") if error == 0 else float("nan")
    return float(-np.log2(error))


def _worst(runs: Sequence[Record]) -> str:
    statuses = {run.status for run in runs}
    order = ("wrong", "failed", "skipped", "partial", "ok")
    return next(status for status in order if status in statuses)


def kinds_table(records: Sequence[Record]) -> pd.DataFrame:
    """One row (suite, title, contender, kind): median seconds, share, and the floor's seconds.

    Only of contenders that say where their time goes.
    """
    rows = []
    for record in records:
        for kind, seconds in (record.run.get("time_by_kind") or {}).items():
            floor = (record.floor.get("floor_by_kind") or {}).get(kind, float("nan"))
            where = (record.suite, record.title, record.contender)
            rows.append((*where, kind, float(seconds), float(floor)))
    keys = ["suite", "title", "contender", "kind"]
    names = [*keys, "seconds", "floor_s"]
    table = pd.DataFrame(rows, columns=names).groupby(keys, sort=False).median().reset_index()
    table["share"] = table["seconds"] / table.groupby(["suite", "title"])["seconds"].transform(
        "sum"
    )
    return table
