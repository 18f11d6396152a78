"""Figures of training and of results: learning curves, ROC, polynomial fits, votes, forests."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
import torch
from matplotlib.figure import Figure
from numpy.typing import NDArray

from heclstm_lib.figures.style import SERIES, finish, make_axes
from heclstm_lib.models.convlstm import ConvLSTM

TWIN_COLOURS = {"exact": SERIES[0], "polynomial": SERIES[2]}


def plot_history(history: pd.DataFrame) -> Figure:
    """Training and validation loss and validation AUC over epochs, one line a fold and twin."""
    figure, axes = make_axes(1, 2)
    for (twin, _), run in history.groupby(["twin", "fold"]):
        colour = TWIN_COLOURS[str(twin)]
        axes[0, 0].plot(run.epoch, run.train_loss, color=colour, linewidth=0.8)
        axes[0, 0].plot(run.epoch, run.val_loss, color=colour, linewidth=0.8, linestyle="--")
        axes[0, 1].plot(run.epoch, run.val_auc, color=colour, linewidth=0.8)
    for twin, colour in TWIN_COLOURS.items():
        axes[0, 1].plot([], [], color=colour, label=twin)
    axes[0, 0].set_ylabel("loss (solid: training, dashed: validation)")
    axes[0, 1].set_ylabel("validation AUC")
    for axis, title in zip(axes[0], ("Loss", "Validation AUC"), strict=True):
        axis.set_xlabel("epoch")
        axis.set_title(title)
    axes[0, 1].legend()
    return finish(figure)


def plot_roc(bands: dict[str, pd.DataFrame]) -> Figure:
    """ROC curves with 95 % bands; one table (fpr, tpr, low, high) a method."""
    figure, axes = make_axes(size=(4, 3.8))
    axis = axes[0, 0]
    for (name, band), colour in zip(bands.items(), SERIES, strict=False):
        axis.plot(band.fpr, band.tpr, color=colour, label=name)
        axis.fill_between(band.fpr, band.low, band.high, color=colour, alpha=0.12, linewidth=0)
    axis.plot([0, 1], [0, 1], color="#999999", linewidth=0.7, linestyle=":")
    axis.set_xlabel("1 - specificity")
    axis.set_ylabel("sensitivity")
    axis.set_title("ROC, test patients, 95 % band over patients")
    axis.legend(fontsize=7, loc="lower right")
    return finish(figure)


EXACT: dict[str, Callable[[NDArray[np.float64]], NDArray[np.float64]]] = {
    "relu": lambda x: np.maximum(x, 0),
    "sigmoid": lambda x: 1 / (1 + np.exp(-x)),
    "tanh": np.tanh,
}


def exact_of(layer: str) -> str:
    """Which exact function the polynomial of a layer replaces."""
    if layer.startswith("blocks"):
        return "relu"
    return "tanh" if layer.endswith(".g") else "sigmoid"


def plot_fits(fits: pd.DataFrame) -> Figure:
    """Each activation and its fitted polynomial on the interval of the training patients."""
    figure, axes = make_axes(1, len(fits), size=(2.3, 2.2))
    for axis, (_, fit) in zip(axes[0], fits.iterrows(), strict=True):
        x = np.linspace(fit.low, fit.high, 200)
        coefficients = [fit[c] for c in ("c0", "c1", "c2", "c3") if c in fit and pd.notna(fit[c])]
        name = exact_of(fit.layer)
        axis.plot(x, EXACT[name](x), color=TWIN_COLOURS["exact"], label=name)
        axis.plot(
            x, np.polynomial.polynomial.polyval(x, coefficients),
            color=TWIN_COLOURS["polynomial"], linestyle="--", label="polynomial",
        )  # fmt: skip
        axis.set_title(fit.layer, fontsize=8)
        axis.set_xlabel("pre-activation")
    axes[0, 0].set_ylabel("activation")
    axes[0, 0].legend(fontsize=7)
    return finish(figure)


def plot_ranges(ranges: pd.DataFrame) -> Figure:
    """Fitted interval of every polynomial (thick) and the extremes seen on test patients (thin)."""
    figure, axes = make_axes(size=(6, 0.6 + 0.35 * len(ranges)))
    axis = axes[0, 0]
    place = np.arange(len(ranges))
    axis.hlines(place, ranges.minimum, ranges.maximum, color=TWIN_COLOURS["polynomial"], lw=1.5,
                label="test patients, extremes")  # fmt: skip
    axis.hlines(place, ranges.low, ranges.high, color=TWIN_COLOURS["exact"], lw=6, alpha=0.35,
                label="fitted interval, training patients")  # fmt: skip
    for row, (_, entry) in zip(place, ranges.iterrows(), strict=True):
        axis.text(ranges.maximum.max(), row, f"  {entry.fraction_outside:.2%} outside", va="center",
                  fontsize=7)  # fmt: skip
    axis.set_yticks(place, list(ranges.layer))
    axis.invert_yaxis()
    axis.set_xlabel("pre-activation")
    axis.legend(fontsize=7, loc="upper center", bbox_to_anchor=(0.5, 1.3), ncols=2)
    return finish(figure)


def plot_votes(models: dict[int, ConvLSTM]) -> Figure:
    """Voting weights of the frames and the weighted unit's spatial share, one line a fold."""
    figure, axes = make_axes(1, 2, size=(4, 2.6))
    for (fold, model), colour in zip(models.items(), SERIES, strict=False):
        votes = torch.softmax(model.voting.weight_logit.detach(), dim=0).numpy()
        place = np.arange(1, len(votes) + 1)
        axes[0, 0].plot(place, votes, marker="o", color=colour, label=f"fold {fold}")
        alpha = torch.sigmoid(model.weighted.alpha_logit.detach()).numpy()
        axes[0, 1].plot(np.arange(len(alpha)), np.sort(alpha), color=colour, marker=".")
    axes[0, 0].set_xticks(place)
    axes[0, 0].set_ylim(0)
    axes[0, 0].set_xlabel("frame t")
    axes[0, 0].set_ylabel("vote weight (sum 1)")
    axes[0, 0].set_title("Sequence voting layer")
    axes[0, 0].legend(fontsize=7)
    axes[0, 1].set_ylim(0, 1)
    axes[0, 1].set_xlabel("feature, sorted")
    axes[0, 1].set_ylabel("alpha (1: spatial, 0: temporal)")
    axes[0, 1].set_title("Weighted unit")
    return finish(figure)


def plot_forest(table: pd.DataFrame, label: str, value_name: str, reference: float) -> Figure:
    """Estimates with 95 % intervals, one row each; columns label, estimate, ci_low, ci_high."""
    figure, axes = make_axes(size=(6, 0.7 + 0.3 * len(table)))
    axis = axes[0, 0]
    place = np.arange(len(table))
    axis.hlines(place, table.ci_low, table.ci_high, color=SERIES[0], lw=1.5)
    axis.plot(table.estimate, place, "o", color=SERIES[0], markersize=4)
    axis.axvline(reference, color="#999999", linestyle=":", linewidth=0.8)
    axis.set_yticks(place, list(table[label]))
    axis.invert_yaxis()
    axis.set_xlabel(f"{value_name}, 95 % interval")
    return finish(figure)
