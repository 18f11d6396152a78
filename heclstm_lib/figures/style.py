"""One look for all figures: colour-blind safe, small, readable in print."""

from __future__ import annotations

from typing import Any

import matplotlib.pyplot as plt
from matplotlib.figure import Figure

POSITIVE, NEGATIVE = "#b2182b", "#2166ac"
SERIES = ("#332288", "#117733", "#cc6677", "#ddaa33", "#44aa99", "#882255", "#999933",
          "#88ccee", "#aa4499", "#661100", "#666666")  # fmt: skip
RC: Any = {
    "figure.dpi": 110,
    "font.size": 9,
    "axes.titlesize": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "legend.frameon": False,
    "savefig.bbox": "tight",
}


def make_axes(rows: int = 1, columns: int = 1, size: tuple[float, float] = (4.2, 3.2)) -> Any:
    """A figure with a rows x columns array of axes, each `size` inches; returns (figure, axes)."""
    with plt.rc_context(RC):
        figure, axes = plt.subplots(
            rows, columns, figsize=(size[0] * columns, size[1] * rows), squeeze=False
        )
    return figure, axes


def finish(figure: Figure) -> Figure:
    """Tidy the layout and detach the figure from pyplot, so that it is shown only once."""
    figure.tight_layout()
    plt.close(figure)
    return figure
