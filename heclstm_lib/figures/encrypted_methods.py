"""Figures of the competing methods evaluated encrypted."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from heclstm_lib.evaluation.agreement import WANTED_BITS, relative_errors
from heclstm_lib.figures.style import SERIES, finish, make_axes


def plot_method_costs(costs: pd.DataFrame) -> Figure:
    """Server seconds and upload of a sequence, measured and in a full batch, log scales.

    costs: one row a method (and fold: medians are shown) with the columns of
    stages.encrypted_methods.
    """
    shown = costs.groupby("method", sort=False).median(numeric_only=True)
    figure, axes = make_axes(1, 2, size=(4.6, 0.9 + 0.45 * len(shown)))
    place = np.arange(len(shown))
    for axis, name, title, unit in (
        (axes[0][0], "server_s", "Server time a sequence", "seconds"),
        (axes[0][1], "upload_MB", "Upload a sequence", "MB"),
    ):
        axis.barh(place - 0.2, shown[name], 0.38, color=SERIES[0], label="as measured")
        axis.barh(place + 0.2, shown[f"{name}_full"], 0.38, color=SERIES[4], label="full batch")
        axis.set_yticks(place, list(shown.index))
        axis.set_xscale("log")
        axis.invert_yaxis()
        axis.set_xlabel(unit)
        axis.set_title(title)
    axes[0][0].legend(fontsize=7)
    return finish(figure)


def plot_method_errors(predictions: pd.DataFrame) -> Figure:
    """Error of every decrypted score relative to the deviation of its method's scores.

    Methods without any error (BFV) are left out of the points and named in the title.
    """
    figure, axes = make_axes(size=(7, 2.8))
    axis = axes[0, 0]
    exact: list[str] = []
    shown: list[str] = []
    for name, part in predictions.groupby("method", sort=False):
        error = relative_errors(part.score, part.encrypted)
        if not error.any():
            exact.append(str(name))
            continue
        axis.scatter(error, np.full(len(error), len(shown)), s=12, alpha=0.7)
        shown.append(str(name))
    axis.set_yticks(range(len(shown)), shown)
    if shown:
        axis.set_xscale("log", base=2)
        axis.axvline(2.0**-WANTED_BITS, color="#666666", linewidth=0.6, linestyle=":")
    axis.invert_yaxis()
    axis.set_xlabel(
        f"absolute error / standard deviation of the scores; dotted: {WANTED_BITS:g} bits"
    )
    axis.set_title("Encrypted against clear" + (f"; exact: {', '.join(exact)}" if exact else ""))
    return finish(figure)
