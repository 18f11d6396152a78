"""Where the time and the bytes of an encrypted evaluation go."""

from __future__ import annotations

import time
from collections import defaultdict
from typing import Any

import pandas as pd

from heclstm_lib.he.plan import Op, Plan
from heclstm_lib.he.segments import refresh_summary


class OpTimer:
    """Collects wall seconds per (layer, kind, level); pass `record` as the interpreter's on_op."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._seconds: dict[tuple[str, str, int], float] = defaultdict(float)
        self._counts: dict[tuple[str, str, int], int] = defaultdict(int)
        self._last = time.perf_counter()

    def record(self, op: Op, _result: Any) -> None:
        """Charge the time since the last operation ended to `op`."""
        now = time.perf_counter()
        key = (op.layer, op.kind, self._plan.working_level(op))
        self._seconds[key] += now - self._last
        self._counts[key] += 1
        self._last = now

    def rows(self) -> list[dict[str, Any]]:
        """One row per (layer, kind, level): operations and seconds."""
        return [
            {"layer": layer, "kind": kind, "level": level, "operations": self._counts[key]}
            | {"seconds": seconds}
            for key, seconds in self._seconds.items()
            for layer, kind, level in [key]
        ]


def time_by(operations: pd.DataFrame, column: str) -> pd.DataFrame:
    """Median seconds per batch by "layer" or "kind", in order of first appearance, with share."""
    per_batch = operations.groupby(["batch", column], sort=False)["seconds"].sum().reset_index()
    table = per_batch.groupby(column, sort=False)["seconds"].median().reset_index()
    table["share"] = table["seconds"] / table["seconds"].sum()
    return table


def bytes_table(
    plan: Plan,
    bundle_bytes: int,
    request_bytes: int,
    response_bytes: int,
    refresh_bytes: int = 0,
) -> pd.DataFrame:
    """What crosses between client and server, per key registration and per batch."""
    rows = [
        ("public bundle (once)", bundle_bytes, plan.key_bytes()),
        ("request (per batch)", request_bytes, plan.upload_bytes()),
        ("response (per batch)", response_bytes, plan.params.ciphertext_bytes(0)),
    ]
    if plan.refreshes:
        planned = refresh_summary(plan)["refresh_bytes_per_batch"]
        rows.append(("refreshes (per batch, both ways)", refresh_bytes, planned))
    table = pd.DataFrame(rows, columns=["message", "wire_bytes", "planned_bytes"])
    table["wire_MB"] = (table["wire_bytes"] / 1e6).round(2)
    return table
