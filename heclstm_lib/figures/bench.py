"""Figures of the benchmark; each takes the summary table (bench.summary) and returns a Figure.

Bars with a red edge are entries whose outputs were wrong; parts of a run are hatched.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from heclstm_lib.figures.style import POSITIVE, SERIES, finish, make_axes

MEGABYTE, GIGABYTE = 1e6, 1e9


def plot_batches(summary: pd.DataFrame) -> Figure:
    """Server time of a batch, and sequences or images per second, over the batch; a row a group."""
    shown = summary[summary["server_s"].notna() & (summary["status"] == "ok")]
    groups = [g for g, rows in shown.groupby("group", sort=False) if rows["batch"].nunique() > 1]
    figure, axes = make_axes(max(1, len(groups)), 2, size=(4.6, 3.1))
    for group, (left, right) in zip(groups, axes, strict=False):
        rows = shown[shown["group"] == group]
        for colour, (title, line) in _lines(rows):
            line = line.sort_values("batch")
            style: Any = {"color": colour, "label": title, "marker": "o", "markersize": 4}
            spread = [line.server_s - line.server_min_s, line.server_max_s - line.server_s]
            left.errorbar(line["batch"], line["server_s"], yerr=spread, capsize=2, **style)
            right.plot(line["batch"], line["items_per_s"], **style)
        left.set_ylabel("server time of a batch (s)")
        right.set_ylabel("inputs per second")
        for axis in (left, right):
            axis.set(xscale="log", yscale="log", xlabel="batch (sequences or images)", title=group)
        right.legend(fontsize=7)
    return finish(figure)


def _lines(rows: pd.DataFrame) -> list[tuple[str, tuple[str, pd.DataFrame]]]:
    titles = rows.groupby("title", sort=False)
    return [(SERIES[i % len(SERIES)], (str(title), line)) for i, (title, line) in enumerate(titles)]


def plot_times(summary: pd.DataFrame) -> Figure:
    """Server time of every contender, one panel for each suite that has more than one."""
    measured = summary[summary["server_s"].notna()]
    suites = [rows for _, rows in measured.groupby("suite", sort=False) if len(rows) > 1]
    tallest = max((len(rows) for rows in suites), default=1)
    figure, axes = make_axes(max(1, len(suites)), 1, size=(7.5, 0.8 + 0.3 * tallest))
    for rows, axis in zip(suites, axes[:, 0], strict=False):
        rows = rows.sort_values("item_s")
        labels = [f"{row.title}, batch {row.batch}" for row in rows.itertuples()]
        _bars(axis, labels, rows["item_s"], rows["status"], "%.3g s")
        axis.set_xlabel("server time per input (s)")
        axis.set_title(rows["heading"].iloc[0])
    return finish(figure)


def _bars(axis: Any, labels: list[str], values: Any, statuses: Any, form: str) -> None:
    bars = axis.barh(range(len(labels)), values, color=SERIES[0])
    for bar, status in zip(bars, statuses, strict=True):
        if status == "wrong":
            bar.set(edgecolor=POSITIVE, linewidth=2)
        if status == "partial":
            bar.set_hatch("//")
    axis.bar_label(bars, fmt=form, padding=3, fontsize=7)
    axis.set_yticks(range(len(labels)), labels, fontsize=8)
    axis.invert_yaxis()


def _labels(rows: pd.DataFrame) -> list[str]:
    return [f"{row.suite}: {row.title}" for row in rows.itertuples()]


def plot_memory(summary: pd.DataFrame) -> Figure:
    """Peak memory of each contender's processes, set-up included (client and server)."""
    rows = summary[summary["peak_bytes"] > 0]
    figure, axes = make_axes(size=(8, 0.9 + 0.24 * len(rows)))
    axis = axes[0, 0]
    _bars(axis, _labels(rows), rows["peak_bytes"] / GIGABYTE, rows["status"], "%.2f")
    axis.set_xlabel("peak memory (GB)")
    axis.set_title("Memory of keys, encoded model and evaluation")
    return finish(figure)


def plot_bytes(summary: pd.DataFrame) -> Figure:
    """Bytes of evaluation keys, of the request and of the response, log scale."""
    columns = {"key_bytes": "keys (once)", "upload_bytes": "request", "response_bytes": "response"}
    rows = summary[summary[list(columns)].notna().any(axis=1)]
    figure, axes = make_axes(size=(8, 0.9 + 0.24 * len(rows)))
    axis, places = axes[0, 0], np.arange(len(rows))
    axis.hlines(places, 1e-2, 1e4, color="#dddddd", linewidth=0.6, zorder=0)
    for number, (column, name) in enumerate(columns.items()):
        axis.scatter(rows[column] / MEGABYTE, places, s=22, color=SERIES[number], label=name)
    axis.set_yticks(places, _labels(rows), fontsize=8)
    axis.invert_yaxis()
    axis.set_xscale("log")
    axis.set_xlabel("size (MB)")
    axis.set_title("Keys and ciphertexts between client and server")
    axis.legend(fontsize=7)
    return finish(figure)


def plot_precision(summary: pd.DataFrame) -> Figure:
    """Right bits after the binary point, mean (bars) and worst (dots); dotted: 12 bits."""
    rows = summary[np.isfinite(summary["precision_bits"])]
    figure, axes = make_axes(size=(8, 0.9 + 0.24 * len(rows)))
    axis = axes[0, 0]
    _bars(axis, _labels(rows), rows["precision_bits"], rows["status"], "%.1f")
    axis.axvline(12, color="#666666", linewidth=0.8, linestyle=":")
    worst = {"s": 18, "color": SERIES[3], "zorder": 3, "label": "worst output"}
    axis.scatter(rows["worst_bits"], range(len(rows)), **worst)
    axis.legend(fontsize=7)
    axis.set_xlabel("precision (bits, -log2 of the absolute error)")
    axis.set_title("Precision of the decrypted outputs")
    return finish(figure)


def plot_kinds(kinds: pd.DataFrame) -> Figure:
    """Share of the server time that each primitive takes, one bar an entry (bench.summary)."""
    table = kinds.assign(entry=kinds["suite"] + ": " + kinds["title"])
    wide = table.pivot(index="entry", columns="kind", values="share").fillna(0.0)
    order = wide.mean().sort_values(ascending=False).index  # the dearest first, with a plain colour
    wide = wide.loc[list(dict.fromkeys(table["entry"])), order]
    figure, axes = make_axes(size=(8.5, 1.9 + 0.26 * len(wide)))
    axis, left = axes[0, 0], np.zeros(len(wide))
    for number, kind in enumerate(wide):
        again = number // len(SERIES)  # more kinds than colours
        axis.barh(
            wide.index, 100 * wide[kind], left=left, label=kind,
            color=SERIES[number % len(SERIES)], hatch="//" * again,
        )  # fmt: skip
        left += 100 * wide[kind].to_numpy()
    axis.invert_yaxis()
    axis.set_xlabel("share of server time (%)")
    axis.set_title("Where the time goes")
    axis.legend(fontsize=7, ncols=7, loc="upper center", bbox_to_anchor=(0.4, -0.12))
    return finish(figure)


def plot_floor(summary: pd.DataFrame) -> Figure:
    """Server time as a multiple of the floor (operations x measured cost)."""
    rows = summary[summary["floor_ratio"].notna()]
    figure, axes = make_axes(size=(8, 0.9 + 0.3 * len(rows)))
    axis = axes[0, 0]
    bars = axis.barh(range(len(rows)), rows["floor_ratio"], color=SERIES[0])
    pairs = zip(rows["floor_ratio"], rows["server_s"], rows["floor_s"], strict=True)
    labels = [f"{ratio:.2f} ({took:.3g} s / {floor:.3g} s)" for ratio, took, floor in pairs]
    axis.bar_label(bars, labels, padding=3, fontsize=8)
    axis.axvline(1, color="#666666", linewidth=0.8, linestyle=":")
    axis.set_yticks(range(len(rows)), _labels(rows), fontsize=8)
    axis.invert_yaxis()
    axis.set_xlabel("server time / floor")
    axis.set_title("Distance to the floor")
    return finish(figure)


def plot_scaling(summary: pd.DataFrame) -> Figure:
    """Server time over the frames and its matrix part over the hidden size; dashed: linear."""
    figure, axes = make_axes(1, 2)
    panels = (
        ("scaling_frames", "frames", "server_s", "frames T", "server time (s)"),
        ("scaling_hidden", "hidden", "matrix_s", "hidden size H", "matrix part of the LSTM (s)"),
    )
    for axis, (group, x, y, x_label, y_label) in zip(axes[0], panels, strict=True):
        rows = summary[(summary["group"] == group) & summary[y].notna()].sort_values(x)
        if len(rows):
            places = rows[x].to_numpy(dtype=float)
            axis.plot(places, rows[y], color=SERIES[0], marker="o", label="measured")
            line = rows[y].iloc[0] * places / places[0]
            axis.plot(places, line, color="#999999", linestyle="--", label="linear")
            axis.legend(fontsize=7)
        axis.set(xlabel=x_label, ylabel=y_label, title=f"Growth with the {x_label}")
    return finish(figure)
