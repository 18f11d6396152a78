"""Multi-feature benchmark: shape, texture and colour histograms of a frame, a linear SVM, voting.

Xu et al., "Multi-feature based benchmark for cervical dysplasia classification evaluation", Pattern
Recognition 63, 2017.

Kept: its three hand-made descriptors, pyramid histograms of oriented gradients (PHOG), of local
binary patterns (PLBP) and of LAB colour (PLAB), joined; a support vector machine, C chosen on
validation patients. Scaled down: pyramids of two levels (whole image and quarters), few bins, a
linear kernel. Frames are classified alone and vote by their mean margin. On grey images the colour
part holds lightness only. Scores are margins, not log odds.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from skimage.color import rgb2lab
from skimage.feature import local_binary_pattern

from heclstm_lib.data.sequences import SequenceSet
from heclstm_lib.methods.budget import MethodBudget
from heclstm_lib.methods.features import Standardiser
from heclstm_lib.methods.interface import Array
from heclstm_lib.methods.linear_svm import best_svm

ORIENTATIONS = 8  # bins of PHOG over half a turn, the sign of the gradient left out
POINTS, RADIUS = 8, 1  # neighbourhood of the local binary patterns ("uniform": POINTS + 2 codes)
COLOUR_BINS = 8
LAB_RANGE = ((0.0, 100.0), (-100.0, 100.0), (-100.0, 100.0))
LEVELS = (1, 2)  # cells along a side


def frame_features(images: NDArray[np.float32]) -> Array:
    """PHOG, PLBP and PLAB of images [n, C, H, W] in [0, 1], joined [n, V].

    Unless C is 3, the channels are no colours (slices of a volume, say): their mean is used, grey.
    """
    coloured = images.shape[1] == 3
    colour = images if coloured else np.repeat(images.mean(axis=1, keepdims=True), 3, axis=1)
    lab = rgb2lab(np.moveaxis(colour, 1, -1).astype(np.float64))  # [n, H, W, 3]
    grey = lab[..., 0] / 100
    rows, columns = np.gradient(grey, axis=(1, 2))
    angle = np.mod(np.arctan2(rows, columns), np.pi) / np.pi  # [0, 1]
    # oriented gradients as in skimage.feature.hog, without its blocks, for all images at once
    parts = [_pyramid(_bins(angle, ORIENTATIONS, 0, 1), ORIENTATIONS, np.hypot(rows, columns))]
    codes = np.stack(
        [
            local_binary_pattern(np.rint(255 * image).astype(np.uint8), POINTS, RADIUS, "uniform")
            for image in grey
        ]
    )
    parts.append(_pyramid(codes.astype(np.int64), POINTS + 2))
    for channel, (low, high) in enumerate(LAB_RANGE[: 3 if coloured else 1]):
        parts.append(_pyramid(_bins(lab[..., channel], COLOUR_BINS, low, high), COLOUR_BINS))
    return np.concatenate(parts, axis=1)


def _bins(values: Array, count: int, low: float, high: float) -> NDArray[np.int64]:
    """Index 0..count-1 of the bin of every value; the ends take what lies beyond."""
    scaled = np.floor((values - low) / (high - low) * count)
    return np.clip(scaled, 0, count - 1).astype(np.int64)


def _pyramid(codes: NDArray[np.int64], count: int, weights: Array | None = None) -> Array:
    """Histograms of codes [n, H, W] in every cell of every level, square roots of shares [n, V]."""
    weights = np.ones(codes.shape) if weights is None else weights
    parts = []
    for cells in LEVELS:
        for rows in np.array_split(np.arange(codes.shape[1]), cells):
            for columns in np.array_split(np.arange(codes.shape[2]), cells):
                cell = np.ix_(np.arange(len(codes)), rows, columns)
                parts.append(_histograms(codes[cell], weights[cell], count))
    return np.concatenate(parts, axis=1)


def _histograms(codes: NDArray[np.int64], weights: Array, count: int) -> Array:
    """Square roots of each code's share of the weights (Hellinger) [n, count]; zeros if none."""
    number = len(codes)
    index = codes.reshape(number, -1) + count * np.arange(number)[:, None]
    sums = np.bincount(index.ravel(), weights.ravel(), number * count).reshape(number, count)
    total = sums.sum(axis=1, keepdims=True)
    return np.sqrt(sums / np.where(total > 0, total, 1.0))


@dataclass(frozen=True)
class MultiFeatureFitted:
    """A linear SVM on standardised features of single frames."""

    standardiser: Standardiser
    weights: Array
    bias: float
    notes: dict[str, Any]

    def scores(self, sequences: SequenceSet) -> Array:
        """Mean margins of the frames [n]."""
        return _voted(sequences, self.standardiser) @ self.weights + self.bias


def _voted(sequences: SequenceSet, standardiser: Standardiser) -> Array:
    """Standardised features averaged over frames [n, V]: a mean of linear scores is the score."""
    return (
        standardiser.apply(_all_frames(sequences)).reshape(*sequences.frames.shape[:2], -1).mean(1)
    )


def _all_frames(sequences: SequenceSet) -> Array:
    return frame_features(sequences.frames.reshape(-1, *sequences.frames.shape[2:]))


def fit(sets: dict[str, SequenceSet], budget: MethodBudget) -> MultiFeatureFitted:
    """Fit on the frames of sets["train"], choosing C by the votes of sets["val"]."""
    train = _all_frames(sets["train"])
    standardiser = Standardiser.of(train)
    labels = np.repeat(sets["train"].labels, sets["train"].frames.shape[1])
    weights, bias, strength, area = best_svm(
        standardiser.apply(train),
        labels,
        _voted(sets["val"], standardiser),
        sets["val"].labels,
        budget,
    )
    notes = {"setting": f"C {strength:g}", "val_auc": area, "parameters": len(weights) + 1}
    return MultiFeatureFitted(standardiser, weights, bias, notes)
