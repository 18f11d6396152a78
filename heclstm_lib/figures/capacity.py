"""Figures of the capacity model."""

from __future__ import annotations

from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from heclstm_lib.figures.style import SERIES, finish, make_axes


def _lines(axis: Any, table: pd.DataFrame, x: str, y: str) -> None:
    """One line a layout, by sequences a batch."""
    for number, (together, rows) in enumerate(table.groupby("together")):
        rows = rows.sort_values(x)
        axis.plot(
            rows[x], rows[y], color=SERIES[number % len(SERIES)], marker=".", linewidth=1.2,
            label=f"{together} together",
        )  # fmt: skip
    axis.set(xscale="log", yscale="log")


def plot_scaling(table: pd.DataFrame, machine: str, price: str) -> Figure:
    """Machine hours, and money per million sequences, against the number of sequences.

    table: `capacity.tables.scaling_table`; layouts that do not fit the machine are left out.
    `machine` says which and how many, `price` what one unit of money is.
    """
    shown = table[table.machines > 0]
    figure, axes = make_axes(1, 2, size=(4.8, 3.8))
    for axis, name, label in (
        (axes[0][0], "machine_hours", "machine hours"),
        (axes[0][1], "money_per_million", f"money per million sequences\n({price})"),
    ):
        _lines(axis, shown, "sequences", name)
        axis.set_xlabel("sequences in all")
        axis.set_ylabel(label)
    axes[0][0].set_title(f"Work, idle time included\n{machine}")
    axes[0][1].set_title(f"Price of a million sequences\n{machine}")
    axes[0][1].legend(fontsize=7)
    return finish(figure)


def plot_deadline(table: pd.DataFrame, machine: str) -> Figure:
    """Machines of a kind needed against the deadline; a line ends where no number will do."""
    figure, axes = make_axes(size=(6.4, 3.8))
    axis = axes[0][0]
    _lines(axis, table[table.verdict.isin(["", "cheapest"])], "deadline_hours", "machines")
    axis.set_xlabel("deadline (hours)")
    axis.set_ylabel("machines")
    axis.set_title(f"Machines for a deadline\n{machine}")
    axis.legend(fontsize=7)
    return finish(figure)


def plot_traffic(table: pd.DataFrame) -> Figure:
    """Bytes into the machines, and bytes kept if nothing is deleted, against sequences."""
    shown = table[table.machines > 0]
    figure, axes = make_axes(1, 2, size=(4.8, 3.8))
    for axis, name, title in (
        (axes[0][0], "in_TB", "Network, into the machines"),
        (axes[0][1], "stored_TB", "Storage, if all is kept"),
    ):
        _lines(axis, shown, "sequences", name)
        axis.set_xlabel("sequences in all")
        axis.set_ylabel("TB")
        axis.set_title(title)
    axes[0][1].legend(fontsize=7)
    return finish(figure)


def plot_simulation(table: pd.DataFrame) -> Figure:
    """Error of the closed formula against simulation, by workers and batches a worker."""
    figure, axes = make_axes(size=(6.4, 3.2))
    axis = axes[0][0]
    for number, (waves, rows) in enumerate(table.groupby("waves")):
        axis.plot(
            rows.workers, 100 * rows.error, marker="o", markersize=4, linewidth=0.8,
            color=SERIES[number % len(SERIES)], label=f"{waves:g} batches a worker",
        )  # fmt: skip
    axis.axhline(0, color="#666666", linewidth=0.6)
    axis.set(xscale="log")
    axis.set_xlabel("workers")
    axis.set_ylabel("formula over simulation - 1 (%)")
    axis.set_title("The closed formula against simulation")
    axis.legend(fontsize=7)
    return finish(figure)


def plot_validation(summary: pd.DataFrame) -> Figure:
    """Predicted against measured seconds of whole runs and of single batches, 1 and 2 workers."""
    shown = summary[summary.quantity.isin(["seconds", "batch_s", "load_s"])]
    shown = shown[shown.measured > 0]
    figure, axes = make_axes(size=(4.6, 4.2))
    axis = axes[0][0]
    ends = [0.8 * shown.measured.min(), 1.25 * shown.measured.max()]
    axis.plot(ends, ends, color="#999999", linewidth=0.8)
    names = {"seconds": "whole run", "batch_s": "a batch", "load_s": "first batch's extra"}
    for number, (name, label) in enumerate(names.items()):
        for workers, marker in ((1, "o"), (2, "s")):
            rows = shown[(shown.quantity == name) & (shown.workers == workers)]
            axis.scatter(
                rows.measured, rows.predicted, color=SERIES[number], marker=marker, s=24,
                label=f"{label}, {workers} worker(s)",
            )  # fmt: skip
    axis.set(xscale="log", yscale="log")
    axis.set_xlabel("measured seconds (median)")
    axis.set_ylabel("predicted seconds")
    axis.set_title("Predicted before, measured after")
    axis.legend(fontsize=7)
    return finish(figure)
