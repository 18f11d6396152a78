"""What a benchmark leaves: bench.json, Parquet, a table, figures and one page."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from markupsafe import Markup
from matplotlib.figure import Figure

from heclstm_lib.bench.contender import OURS
from heclstm_lib.bench.records import Record
from heclstm_lib.bench.suites import Suite
from heclstm_lib.bench.summary import BYTES, kinds_table, runs_table, summary_table
from heclstm_lib.bench.targets import target_rows
from heclstm_lib.errors import BenchError
from heclstm_lib.figures import bench as figures
from heclstm_lib.files import replacing
from heclstm_lib.provenance import collect_provenance
from heclstm_lib.report import write_page
from heclstm_lib.results import to_json

FORMAT = 1
CAPTIONS = {
    "batches": "Server time of a batch and throughput over the batch size. Points are medians, "
    "whiskers the fastest and slowest run; only correct entries.",
    "times": "Server time per input of every contender, medians; red edge: the outputs were "
    "wrong; hatched: parts of the network only.",
    "scaling": "Growth with the number of frames (refresh mode, one segment a frame) and of the "
    "recurrent matrix products with the hidden size.",
    "floor": "Server time and floor: the sum over the plan of operations at each level times the "
    "cost of that primitive, measured in the same round on the same core.",
    "kinds": "Share of the server time by primitive; `load` reads the request's ciphertexts.",
    "memory": "Most memory held by the contender's processes. Client and server share a process, "
    "so key generation counts too.",
    "bytes": "Evaluation keys in memory, and the request and response of one batch.",
    "precision": "Right bits after the binary point: -log2 of the mean absolute error of the worst "
    "run (bars) and of the largest error of any output (dots); dotted line: 12 bits.",
}


def write_report(
    records: Sequence[Record], suites: Sequence[Suite], command: str, out: Path
) -> Path:
    """Write everything into `out`; returns the page. BenchError when there is no record."""
    if not records:
        raise BenchError(f"no record to report on; run heclstm bench --out {out}.")
    records = in_order(records, suites)
    summary, kinds = summary_table(records), kinds_table(records)
    targets = target_rows(summary)
    for name, table in (("runs", runs_table(records)), ("summary", summary), ("kinds", kinds)):
        with replacing(out / f"{name}.parquet") as part:
            table.to_parquet(part, index=False)
    content = bench_json(records, suites, summary, kinds, targets, command)
    _write_text(out / "bench.json", json.dumps(content, indent=1, allow_nan=False))
    _write_text(out / "bench.md", markdown(summary, targets))
    drawn = {name: _write_svg(figure, out, name) for name, figure in draw(summary, kinds).items()}
    return write_page(
        out / "index.html", "bench.html.j2",
        targets=targets, tables=entry_tables(summary), provenance=content["provenance"],
        figures=[(Markup(drawn[name]), CAPTIONS[name]) for name in CAPTIONS if name in drawn],
        sessions=content["sessions"], command=command, load=content["largest_load"],
    )  # fmt: skip


def in_order(records: Sequence[Record], suites: Sequence[Suite]) -> list[Record]:
    """Records as the suites and their entries are listed, unknown ones last."""
    places = [(suite.name, entry.title) for suite in suites for entry in suite.entries]
    order = {place: number for number, place in enumerate(places)}
    return sorted(records, key=lambda r: order.get((r.suite, r.title), len(order)))


def bench_json(
    records: Sequence[Record], suites: Sequence[Suite], summary: pd.DataFrame,
    kinds: pd.DataFrame, targets: Sequence[dict[str, Any]], command: str,
) -> dict[str, Any]:  # fmt: skip
    """The result with all that is needed to judge and repeat it."""
    provenance = collect_provenance(
        seeds={record.suite: record.case.get("seed", 0) for record in records},
        data_digests={record.suite: record.case_digest for record in records},
        config={suite.name: to_json(suite) for suite in suites},
    )
    sessions = {record.session: record.commit for record in records}
    content: Any = to_json(
        {
            "format": FORMAT,
            "command": command,
            "sessions": [{"began": s, "commit": c} for s, c in sorted(sessions.items())],
            "largest_load": float(summary["load"].max()),
            "targets": list(targets),
            "entries": summary,
            "kinds": kinds,
            "provenance": provenance,
        }
    )
    return dict(content)


def _write_text(path: Path, text: str) -> None:
    with replacing(path) as part:
        part.write_text(text + "\n", encoding="utf-8")


def draw(summary: pd.DataFrame, kinds: pd.DataFrame) -> dict[str, Figure]:
    """The figures for which there is something to show."""
    drawn: dict[str, Figure] = {}
    if summary["server_s"].notna().any():
        drawn |= {"batches": figures.plot_batches(summary), "times": figures.plot_times(summary)}
    if (summary["peak_bytes"] > 0).any():
        drawn["memory"] = figures.plot_memory(summary)
    if (summary[list(BYTES)] > 0).any(axis=None):
        drawn["bytes"] = figures.plot_bytes(summary)
    if summary["error"].notna().any():
        drawn["precision"] = figures.plot_precision(summary)
    if summary["group"].isin(["scaling_frames", "scaling_hidden"]).any():
        drawn["scaling"] = figures.plot_scaling(summary)
    if summary["floor_s"].notna().any():
        drawn["floor"] = figures.plot_floor(summary)
    ours = kinds[kinds["contender"] == OURS]  # others do not speak of the same primitives
    if len(ours):
        drawn["kinds"] = figures.plot_kinds(ours)
    return drawn


def _write_svg(figure: Figure, out: Path, name: str) -> str:
    """Write NAME.svg; returns its markup for the page. The same figure gives the same bytes."""
    buffer = io.StringIO()
    with plt.rc_context({"svg.hashsalt": name}):
        figure.savefig(buffer, format="svg", bbox_inches="tight", metadata={"Date": None})
    text = buffer.getvalue()
    _write_text(out / f"{name}.svg", text.rstrip())
    return text[text.index("<svg") :]


def entry_tables(summary: pd.DataFrame) -> list[tuple[str, list[str], list[list[str]]]]:
    """For each suite its heading, the column names and the rows as text."""
    return [
        (rows["heading"].iloc[0], list(COLUMNS), [entry_cells(row) for _, row in rows.iterrows()])
        for _, rows in summary.groupby("suite", sort=False)
    ]


COLUMNS = (
    "contender", "batch", "cores", "runs", "server, s (least to most)", "per input, s",
    "inputs/s", "client, s", "set-up, s", "keys, MB", "request, MB", "response, MB",
    "peak, GB", "precision, bits (worst)", "floor ratio", "outputs",
)  # fmt: skip


def entry_cells(row: Any) -> list[str]:
    """One entry as text, empty where nothing was measured."""
    spread = f"{_text(row.server_s)} ({_text(row.server_min_s)} to {_text(row.server_max_s)})"
    client_s = row.encrypt_s + row.decrypt_s + np.nan_to_num(row.refresh_s)
    precision = f"{_text(row.precision_bits)} ({_text(row.worst_bits)})"
    precision = precision if _text(row.worst_bits) else ""
    said = {"ok": "right", "wrong": "WRONG", "partial": "parts only"}.get(row.status, row.status)
    if row.status == "wrong" and _text(row.error):
        said += f", off by {row.error:.2g}"
    if row.round_trips > 0:
        said += f"; {row.round_trips:.0f} round trips, {row.refresh_bytes / 1e6:.3g} MB"
    if row.reason:
        said += f": {str(row.reason).splitlines()[0]}"
    return [
        row.title, str(row.batch), str(row.cores), str(row.runs),
        spread if _text(row.server_s) else "", _text(row.item_s), _text(row.items_per_s),
        _text(client_s), _text(row.setup_s), _text(row.key_bytes / 1e6),
        _text(row.upload_bytes / 1e6), _text(row.response_bytes / 1e6),
        _text(row.peak_bytes / 1e9) if row.peak_bytes else "", precision,
        _text(row.floor_ratio), said,
    ]  # fmt: skip


def _text(value: float) -> str:
    if pd.isna(value):
        return ""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def markdown(summary: pd.DataFrame, targets: Sequence[dict[str, Any]]) -> str:
    """Targets and entries as Markdown tables."""
    lines = ["# Benchmark", "", "## Targets", "", "| target | met | values |", "|---|---|---|"]
    for row in targets:
        values = ", ".join(f"{k} {_text(v)}" for k, v in row["values"].items() if v is not None)
        detail = f"; {row['detail']}" if row["detail"] else ""
        lines.append(f"| {row['text']} | {row['met']} | {values}{detail} |")
    for heading, names, rows in entry_tables(summary):
        lines += ["", f"## {heading}", "", f"| {' | '.join(names)} |", "|---" * len(names) + "|"]
        lines += [f"| {' | '.join(cell.replace('|', '/') for cell in row)} |" for row in rows]
    return "\n".join(lines)
