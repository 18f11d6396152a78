"""Figures of the plan and of encrypted runs."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter, StrMethodFormatter

from heclstm_lib.figures.style import NEGATIVE, POSITIVE, SERIES, finish, make_axes
from heclstm_lib.he.packing import Vector
from heclstm_lib.he.plan import Plan


def plot_levels(plan: Plan) -> Figure:
    """Level of every operation in order, one colour a layer; rescalings go down a step."""
    figure, axes = make_axes(size=(9, 3.6))
    axis = axes[0, 0]
    layers = list(dict.fromkeys(op.layer for op in plan.ops))
    for number, layer in enumerate(layers):
        ops = [op for op in plan.ops if op.layer == layer]
        axis.scatter(
            [op.index for op in ops], [op.level for op in ops],
            s=5, color=SERIES[number % len(SERIES)], label=layer,
        )  # fmt: skip
    axis.set_xlabel("operation, in order")
    axis.set_ylabel("level of the result (rescalings left)")
    axis.set_title(f"Level diagram: {plan.depth} levels at N = {plan.params.poly_degree}")
    axis.legend(loc="upper right", ncols=3, fontsize=7, markerscale=2)
    return finish(figure)


def plot_operations(plan: Plan) -> Figure:
    """Operations per level, by kind: where a rotation or product is expensive or cheap."""
    figure, axes = make_axes(size=(9, 3))
    axis = axes[0, 0]
    counts, levels = plan.work(), np.arange(plan.params.levels + 1)
    bottom = np.zeros(len(levels), dtype=np.float64)
    kinds = ("multiply_plain", "rotate", "relinearise", "rescale", "add")
    for kind, colour in zip(kinds, SERIES, strict=False):
        height = np.array([counts.get((kind, int(level)), 0) for level in levels], dtype=np.float64)
        axis.bar(levels, height, bottom=bottom, color=colour, label=kind)
        bottom += height
    axis.set_xlabel("level at which the operation works")
    axis.set_ylabel("operations")
    axis.set_title("Operations per level")
    axis.invert_xaxis()
    axis.legend(fontsize=7)
    return finish(figure)


def plot_candidates(candidates: pd.DataFrame) -> Figure:
    """Predicted time a sequence against the time of a batch; the chosen plan stands out."""
    figure, axes = make_axes(size=(9, 3.4))
    axis = axes[0, 0]
    usable = candidates[candidates.verdict.isin(["", "chosen"])]
    ruled_out, chosen = candidates.drop(usable.index), usable[usable.verdict == "chosen"]
    for rows, colour, size, label in (
        (ruled_out, NEGATIVE, 18, "ruled out by a limit"),
        (usable, SERIES[0], 18, "runner-up"),
        (chosen, POSITIVE, 90, "chosen"),
    ):
        axis.scatter(rows.batch_s, rows.sequence_s, color=colour, s=size, label=label)
    best = candidates.loc[candidates.groupby("sequences").batch_s.idxmin()]
    for row in best.itertuples():
        axis.annotate(
            f"{row.sequences}", (row.batch_s, row.sequence_s), fontsize=7,
            textcoords="offset points", xytext=(4, 4),
        )  # fmt: skip
    axis.set(xscale="log", yscale="log")
    for side, found in ((axis.xaxis, candidates.batch_s), (axis.yaxis, candidates.sequence_s)):
        plain = StrMethodFormatter("{x:g}")
        side.set_major_formatter(plain)  # 32, not 3.2 x 10^1; less than a decade needs minor ticks
        side.set_minor_formatter(plain if found.max() < 10 * found.min() else NullFormatter())
    axis.set_xlabel("predicted server seconds a batch (numbers: sequences in it)")
    axis.set_ylabel("seconds a sequence")
    axis.set_title("Plans considered: latency against throughput")
    axis.legend(fontsize=7)
    return finish(figure)


def plot_agreement(clear: Vector, encrypted: Vector, labels: Vector, threshold: float) -> Figure:
    """Decrypted against float64 scores with the threshold, and the error of each sequence."""
    figure, axes = make_axes(1, 2)
    left, right = axes[0]
    for value, colour, name in ((0, NEGATIVE, "negative"), (1, POSITIVE, "positive")):
        chosen = np.asarray(labels) == value
        left.scatter(clear[chosen], encrypted[chosen], s=12, color=colour, label=name, alpha=0.7)
        right.scatter(
            clear[chosen], np.abs(encrypted - clear)[chosen], s=12, color=colour, alpha=0.7
        )
    ends = [float(np.min(clear)), float(np.max(clear))]
    left.plot(ends, ends, color="#999999", linewidth=0.8, zorder=0)
    for line in (left.axvline, left.axhline):
        line(threshold, color="#666666", linewidth=0.6, linestyle=":")
    left.set_xlabel("score in clear, float64 (logit)")
    left.set_ylabel("decrypted score (logit)")
    left.set_title("Encrypted agrees with clear")
    left.legend()
    right.set_yscale("log", base=2)
    right.axhline(2.0**-10, color="#666666", linewidth=0.6, linestyle=":")
    right.set_xlabel("score in clear, float64 (logit)")
    right.set_ylabel("absolute error (logit)")
    right.set_title("Error; dotted: 10 bits")
    return finish(figure)


def plot_time(by_layer: pd.DataFrame, by_kind: pd.DataFrame) -> Figure:
    """Median server seconds a batch, by layer and by primitive."""
    figure, axes = make_axes(1, 2, size=(4.6, 3.4))
    for axis, table, name in zip(axes[0], (by_layer, by_kind), ("layer", "kind"), strict=True):
        axis.barh(table[name], table["seconds"], color=SERIES[0])
        axis.invert_yaxis()
        axis.set_xlabel("server time per batch (s)")
        axis.set_title("By layer" if name == "layer" else "By primitive")
    return finish(figure)


def plot_bytes(table: pd.DataFrame) -> Figure:
    """Bytes of each message between client and server, log scale."""
    figure, axes = make_axes(size=(6, 2.2))
    axis = axes[0, 0]
    bars = axis.barh(table["message"], table["wire_MB"], color=SERIES[1])
    axis.bar_label(bars, fmt="%.4g MB", padding=3, fontsize=8)
    axis.set_xscale("log")
    axis.invert_yaxis()
    axis.set_xlabel("bytes on the wire (MB)")
    axis.set_title("What crosses between hospital and server")
    return finish(figure)


def plot_slots(values: dict[str, Vector], title: str) -> Figure:
    """The first slots of one or more vectors as rows of numbers: a picture for the tutorial."""
    figure, axes = make_axes(size=(8, 0.5 + 0.45 * len(values)))
    axis = axes[0, 0]
    grid = np.array(list(values.values()))
    limit = 2 * np.abs(grid).max()  # pale colours: the numbers are to be read
    axis.imshow(grid, cmap="RdBu_r", vmin=-limit, vmax=limit, aspect="auto")
    for row in range(grid.shape[0]):
        for column in range(grid.shape[1]):
            axis.text(column, row, f"{grid[row, column]:.3g}", ha="center", va="center", fontsize=8)
    axis.set_yticks(range(len(values)), list(values))
    axis.set_xticks(range(grid.shape[1]), [f"slot {i}" for i in range(grid.shape[1])], fontsize=7)
    axis.set_title(title)
    return finish(figure)
