"""Figures of the overview: the protocol, the security tables, what a ciphertext looks like."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch

from heclstm_lib.config import Profile
from heclstm_lib.figures.style import NEGATIVE, POSITIVE, SERIES, finish, make_axes
from heclstm_lib.he.packing import Vector
from heclstm_lib.he.params import GUIDELINES_2024, STANDARD_2018


def plot_protocol() -> Figure:
    """The two parties, what each holds, and what crosses."""
    figure, axes = make_axes(size=(8.5, 2.8))
    axis = axes[0, 0]
    axis.set_axis_off()
    axis.set_xlim(0, 10)
    axis.set_ylim(0, 4)
    _party(axis, 0.1, "Hospital (client)", "secret key\nimages, verdict", POSITIVE)
    _party(axis, 6.9, "Server", "model (plan)\npublic + evaluation keys", NEGATIVE)
    arrows = [
        (3.2, "once: public, relinearisation, Galois keys", True),
        (2.2, "per batch: encrypted image sequences", True),
        (1.2, "per batch: encrypted scores", False),
    ]
    for height, text, to_server in arrows:
        start, end = (3.2, 6.8) if to_server else (6.8, 3.2)
        axis.annotate(
            "", (end, height), (start, height), arrowprops={"arrowstyle": "->", "lw": 1.4}
        )
        axis.text(5, height + 0.12, text, ha="center", fontsize=8.5)
    return finish(figure)


def _party(axis, left: float, title: str, text: str, colour: str) -> None:  # type: ignore[no-untyped-def]
    axis.add_patch(
        FancyBboxPatch((left, 0.5), 3, 3, boxstyle="round,pad=0.05", fill=False, ec=colour, lw=2)
    )
    axis.text(left + 1.5, 2.9, title, ha="center", weight="bold", color=colour)
    axis.text(left + 1.5, 1.7, text, ha="center", va="center")


def plot_security(profile: Profile) -> Figure:
    """The largest modulus 128-bit security allows by ring degree, and the degrees used here."""
    figure, axes = make_axes(size=(6, 2.6))
    axis = axes[0, 0]
    degrees = sorted(STANDARD_2018)
    place = np.arange(len(degrees))
    axis.bar(place - 0.2, [STANDARD_2018[d] for d in degrees], 0.38, color=SERIES[3],
             label="HE standard 2018")  # fmt: skip
    axis.bar(place + 0.2, [GUIDELINES_2024[d] for d in degrees], 0.38, color=SERIES[0],
             label="Security guidelines 2024 (binding here)")  # fmt: skip
    used = {study.he.poly_degree for study in profile.studies}
    axis.set_xticks(place, [f"N={d}" + ("\nused" if d in used else "") for d in degrees])
    axis.set_ylabel("log2(QP) allowed (bits)")
    axis.set_title("Modulus for 128-bit security")
    axis.legend(fontsize=7)
    return finish(figure)


def plot_coefficients(first: Vector, second: Vector, modulus: int) -> Figure:
    """Histograms of two ciphertexts' coefficients modulo one prime, and one against the other."""
    figure, axes = make_axes(1, 2, size=(4.2, 2.6))
    left, right = axes[0]
    pair = [coefficients / modulus for coefficients in (first, second)]
    for data, colour in zip(pair, (POSITIVE, NEGATIVE), strict=True):
        left.hist(data, bins=64, histtype="step", color=colour)
    left.set_xlabel("coefficient / modulus")
    left.set_ylabel("count")
    left.set_ylim(0)
    left.set_title("Two encryptions of the same numbers")
    right.scatter(pair[0][:2000], pair[1][:2000], s=1, color=SERIES[0])
    right.set_xlabel("coefficient of the first / modulus")
    right.set_ylabel("of the second / modulus")
    right.set_title("One against the other")
    return finish(figure)
