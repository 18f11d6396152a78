"""Figure of the ablations: what each change does to the AUC, axis by axis."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from heclstm_lib.evaluation.comparison import LEVEL
from heclstm_lib.figures.style import SERIES, finish, make_axes


def plot_axes(table: pd.DataFrame, value_name: str) -> Figure:
    """Differences with 95 % intervals, one row each, rows of an axis together in one colour.

    table: columns axis, row, difference, difference_low, difference_high, rows of an axis
    beside each other. Full dots where p_holm < LEVEL.
    """
    axes_names = list(dict.fromkeys(table.axis))
    place = np.arange(len(table)) + 0.6 * table.axis.map(axes_names.index).to_numpy()
    figure, axes = make_axes(size=(6.5, 0.9 + 0.26 * (place[-1] + 1)))
    axis = axes[0, 0]
    colours = [SERIES[axes_names.index(name) % len(SERIES)] for name in table.axis]
    axis.hlines(place, table.difference_low, table.difference_high, color=colours, lw=1.5)
    sure = (table.p_holm < LEVEL).tolist()
    faces = [colour if known else "white" for colour, known in zip(colours, sure, strict=True)]
    axis.scatter(table.difference, place, s=22, facecolors=faces, edgecolors=colours, zorder=3)
    axis.axvline(0, color="#999999", linestyle=":", linewidth=0.8)
    axis.set_yticks(place, [f"{a}: {r}" for a, r in zip(table.axis, table.row, strict=True)])
    for label, colour in zip(axis.get_yticklabels(), colours, strict=True):
        label.set_color(colour)
    axis.invert_yaxis()
    axis.set_xlabel(f"{value_name}, 95 % interval (full dot: Holm-corrected p < {LEVEL:g})")
    return finish(figure)
