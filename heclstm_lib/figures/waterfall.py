"""The waterfall: AUC from step to step, from the best other method to the encrypted network."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from heclstm_lib.figures.style import NEGATIVE, POSITIVE, SERIES, finish, make_axes


def plot_waterfall(table: pd.DataFrame) -> Figure:
    """Bars of AUC with 95 % intervals; between them the change and the decisions that flipped.

    table: of `evaluation.waterfall.waterfall_table`.
    """
    count = len(table)
    figure, axes = make_axes(size=(1.5 + 1.5 * count, 3.6))
    axis, place = axes[0, 0], np.arange(count)
    axis.bar(place, table.estimate, 0.5, color=SERIES[7], zorder=1)
    spread = [table.estimate - table.ci_low, table.ci_high - table.estimate]
    axis.errorbar(place, table.estimate, spread, fmt="none", ecolor="#444444", capsize=3, lw=1)
    for k in range(1, count):
        before, after = table.estimate.iloc[k - 1], table.estimate.iloc[k]
        colour = POSITIVE if after < before else NEGATIVE
        axis.plot([k - 0.75, k - 0.25], [before, before], color="#666666", lw=0.8)
        axis.annotate("", (k - 0.3, after), (k - 0.3, before),
                      arrowprops={"arrowstyle": "-|>", "color": colour, "lw": 1.4})  # fmt: skip
        row = table.iloc[k]
        text = f"{row.change:+.3f}\n{int(row.flips)} of {int(row.n_decisions)} flip"
        axis.text(k - 0.5, 1.02, text, ha="center", va="bottom", fontsize=7, color=colour)
    for k, value in enumerate(table.estimate):
        axis.text(k, 0.03, f"{value:.3f}", ha="center", fontsize=8)
    axis.axhline(0.5, color="#999999", linestyle=":", linewidth=0.8)
    axis.set_xticks(place, [name.replace(": ", ":\n") for name in table.step], fontsize=8)
    axis.set_ylim(0, 1.15)
    axis.set_yticks(np.linspace(0, 1, 6))
    axis.set_ylabel("AUC, 95 % interval over patients")
    return finish(figure)
