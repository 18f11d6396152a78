"""Figures of the data: example sequences, brightness over frames, lengths, splits."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from heclstm_lib.data.sequences import SequenceSet
from heclstm_lib.figures.style import NEGATIVE, POSITIVE, finish, make_axes

CLASSES = ((0, NEGATIVE, "negative"), (1, POSITIVE, "positive"))


def plot_sequences(sequences: SequenceSet, per_class: int = 4) -> Figure:
    """The first sequences of each class as film strips, stages above the frames."""
    rows = [
        (index, colour, name)
        for label, colour, name in CLASSES
        for index in np.flatnonzero(sequences.labels == label)[:per_class]
    ]
    frames = sequences.frames.shape[1]
    figure, axes = make_axes(len(rows), frames, size=(1.45, 1.5))
    for line, (index, colour, name) in zip(axes, rows, strict=True):
        for t, axis in enumerate(line):
            _show(axis, sequences.frames[index, t])
            axis.set_title(sequences.frame_labels[index][t].replace("_", " ")[:24], fontsize=6)
        line[0].set_ylabel(f"{sequences.patient_ids[index]}\n{name}", color=colour, fontsize=7)
    return finish(figure)


def plot_class_averages(sequences: SequenceSet) -> Figure:
    """Mean image of each class and frame: no single patient can be recognised in it."""
    frames = sequences.frames.shape[1]
    figure, axes = make_axes(len(CLASSES), frames, size=(1.7, 1.8))
    for line, (label, colour, name) in zip(axes, CLASSES, strict=True):
        chosen = sequences.labels == label
        for t, axis in enumerate(line):
            _show(axis, sequences.frames[chosen, t].mean(axis=0))
            axis.set_title(f"frame {t + 1}", fontsize=8)
        line[0].set_ylabel(f"{name}, mean of {int(chosen.sum())}", color=colour, fontsize=7)
    return finish(figure)


def _show(axis: Axes, frame: np.ndarray) -> None:
    """A frame [C, H, W] in [0, 1]: three channels as colours, any other number as their mean."""
    image = frame.transpose(1, 2, 0) if len(frame) == 3 else frame.mean(axis=0)
    axis.imshow(image, cmap="gray", vmin=0, vmax=1, interpolation="nearest")
    axis.set_xticks([])
    axis.set_yticks([])


def plot_examples(sequences: SequenceSet, single: bool, per_class: int = 4) -> Figure:
    """Single sequences, or class averages where patients' images must not be shown."""
    return plot_sequences(sequences, per_class) if single else plot_class_averages(sequences)


def plot_course(sequences: SequenceSet) -> Figure:
    """Mean intensity of each frame by class: median and middle half over sequences."""
    figure, axes = make_axes()
    axis = axes[0, 0]
    means = sequences.frames.mean(axis=(2, 3, 4))
    place = np.arange(1, means.shape[1] + 1)
    for label, colour, name in CLASSES:
        low, middle, high = np.quantile(means[sequences.labels == label], [0.25, 0.5, 0.75], axis=0)
        axis.plot(place, middle, color=colour, marker="o", label=name)
        axis.fill_between(place, low, high, color=colour, alpha=0.15)
    axis.set_xticks(place)
    axis.set_xlabel("frame t")
    axis.set_ylabel("mean intensity (0 to 1)")
    axis.set_title("Course of brightness: median, middle half")
    axis.legend()
    return finish(figure)


def plot_lengths(sequences: SequenceSet) -> Figure:
    """How many real frames the sequences have, by class."""
    figure, axes = make_axes(size=(4.2, 2.6))
    axis = axes[0, 0]
    place = np.arange(1, int(sequences.lengths.max()) + 1)
    for offset, (label, colour, name) in zip((-0.2, 0.2), CLASSES, strict=True):
        lengths = sequences.lengths[sequences.labels == label]
        share = [np.mean(lengths == length) for length in place]
        axis.bar(place + offset, share, 0.38, color=colour, label=name)
    axis.axvline(sequences.frames.shape[1], color="#666666", linestyle=":", linewidth=0.8)
    axis.set_xlabel("real frames (dotted: T)")
    axis.set_ylabel("share of the class")
    axis.set_title("Length before padding and sampling")
    axis.legend()
    return finish(figure)


def plot_split(parts: pd.DataFrame) -> Figure:
    """Sequences per fold, part and class, stacked."""
    folds = sorted(parts.fold.unique())
    figure, axes = make_axes(1, len(folds), size=(2.4, 2.4))
    for axis, fold in zip(axes[0], folds, strict=True):
        bottom = np.zeros(3)
        for label, colour, name in CLASSES:
            chosen = parts[(parts.fold == fold) & (parts.label == label)]
            height = np.array([(chosen.part == part).sum() for part in ("train", "val", "test")])
            axis.bar(["train", "val", "test"], height, bottom=bottom, color=colour, label=name)
            bottom += height
        axis.set_title(f"fold {fold}")
    axes[0, 0].set_ylabel("sequences")
    axes[0, 0].legend(fontsize=7)
    return finish(figure)
