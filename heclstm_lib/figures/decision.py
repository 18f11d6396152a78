"""Figures of decisions: missed diagnoses against referrals, calibration, net benefit."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from heclstm_lib.figures.style import SERIES, finish, make_axes


def plot_referral(curves: dict[str, pd.DataFrame], points: dict[str, dict[str, float]]) -> Figure:
    """Missed-diagnosis rate against referral rate, with 95 % bands and operating points.

    curves: tables of `evaluation.decision.referral_curve`; points: its `operating_point`s.
    """
    figure, axes = make_axes(size=(4.8, 3.8))
    axis = axes[0, 0]
    for (name, curve), colour in zip(curves.items(), SERIES, strict=False):
        axis.plot(curve.referral, curve.missed, color=colour, label=name)
        axis.fill_between(
            curve.referral, curve.low, curve.high, color=colour, alpha=0.12, linewidth=0
        )
        if name in points:
            place = points[name]
            axis.plot(place["referral"], place["missed"], "o", color=colour, markersize=6)
    axis.plot([0, 1], [1, 0], color="#999999", linewidth=0.7, linestyle=":", label="by lot")
    axis.set_xlim(0, 1)
    axis.set_ylim(0, 1)
    axis.set_xlabel("referral rate (share of all patients)")
    axis.set_ylabel("missed-diagnosis rate (share of the ill)")
    axis.set_title("Missed diagnoses against referrals")
    axis.legend(fontsize=7)
    return finish(figure)


def plot_reliability(tables: dict[str, pd.DataFrame]) -> Figure:
    """Observed share of ill against predicted probability, one panel a table of `reliability`."""
    figure, axes = make_axes(1, len(tables), size=(3.2, 3.2))
    for axis, (name, table) in zip(axes[0], tables.items(), strict=True):
        axis.plot([0, 1], [0, 1], color="#999999", linewidth=0.7, linestyle=":")
        axis.vlines(table.probability, table.ci_low, table.ci_high, color=SERIES[0], linewidth=1)
        axis.plot(table.probability, table.estimate, "o-", color=SERIES[0], markersize=4, lw=0.8)
        axis.set_xlim(0, 1)
        axis.set_ylim(0, 1)
        axis.set_aspect("equal")
        axis.set_xlabel("predicted probability")
        axis.set_title(name, fontsize=9)
    axes[0, 0].set_ylabel("observed share of ill, 95 % interval")
    return finish(figure)


def plot_benefit(curve: pd.DataFrame) -> Figure:
    """Net benefit against threshold probability, one line a strategy."""
    figure, axes = make_axes(size=(4.8, 3.2))
    axis = axes[0, 0]
    grey = {"refer all": "--", "refer none": ":"}
    methods = [name for name in dict.fromkeys(curve.strategy) if name not in grey]
    colours = dict(zip(methods, SERIES, strict=False))
    for name, line in curve.groupby("strategy", sort=False):
        colour, style = colours.get(str(name), "#666666"), grey.get(str(name), "-")
        axis.plot(line.threshold, line.net_benefit, color=colour, linestyle=style, label=name)
    top = float(curve.net_benefit.max())
    axis.set_ylim(-0.25 * max(top, 0.05), 1.1 * max(top, 0.05))
    axis.set_xlabel("threshold probability")
    axis.set_ylabel("net benefit (true positives a patient)")
    axis.set_title("Decision curve, scaled probabilities")
    axis.legend(fontsize=7)
    return finish(figure)


def plot_contributions(table: pd.DataFrame) -> Figure:
    """Forests of `contribution_table`, one panel a metric: full network minus variant."""
    metrics = list(dict.fromkeys(table.metric))
    variants = list(dict.fromkeys(table.variant))
    figure, axes = make_axes(1, len(metrics), size=(2.7, 0.9 + 0.3 * len(variants)))
    for axis, metric in zip(axes[0], metrics, strict=True):
        part = table[table.metric == metric].set_index("variant").loc[variants]
        place = np.arange(len(part))
        axis.hlines(place, part.ci_low, part.ci_high, color=SERIES[0], lw=1.5)
        axis.plot(part.estimate, place, "o", color=SERIES[0], markersize=4)
        axis.axvline(0, color="#999999", linestyle=":", linewidth=0.8)
        axis.locator_params(axis="x", nbins=4)
        axis.set_yticks(place, variants if axis is axes[0, 0] else [""] * len(part))
        axis.invert_yaxis()
        axis.set_title(metric.replace("_", " "), fontsize=8)
    axes[0, 0].set_xlabel("full minus variant, 95 % interval")
    return finish(figure)
