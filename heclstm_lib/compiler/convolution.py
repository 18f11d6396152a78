"""The first convolution and its square: the client's layout of pixels spares every rotation."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np

from heclstm_lib.compiler.builder import Builder
from heclstm_lib.compiler.dense import square_feature
from heclstm_lib.compiler.linear import Content, Tensor
from heclstm_lib.he.packing import Vector, offset_copies, power_of_two
from heclstm_lib.he.plan import Op

CHUNK = 64
"""Features handed on together when each has a ciphertext of its own: bounds the memory."""


class Convolution:
    """square(conv(x) + bias) for weights [O, C, k, k], as features o * positions + position.

    The client sends one ciphertext per tap and set of positions; a feature is a sum of taps. Taps
    that several features share are sent once. Features stand `rows`-wise shifted copies apart
    when one ciphertext holds them all (`packing.offset_copies`), else one after the other.

    When it does, `taps_together` taps (a power of two) share a ciphertext, side by side: fewer to
    send and load, for log2 of that many rotations that add them up.
    """

    def __init__(
        self,
        builder: Builder,
        weight: Vector,
        bias: Vector,
        image_size: int,
        stride: int,
        rows: int,
        taps_together: int = 1,
    ) -> None:
        self.builder, self.layout = builder, builder.layout
        self.weight, self.bias = weight, bias
        self.image_size, self.stride = image_size, stride
        self.grid = (image_size - weight.shape[-1]) // stride + 1
        self.together = taps_together
        self.contents = self._contents(len(weight) * self.grid**2, rows)

    @property
    def ciphertexts(self) -> int:
        """Ciphertexts that hold the features."""
        return len(self.contents)

    def _contents(self, count: int, rows: int) -> list[Content]:
        """Features of each ciphertext; those at the same positions follow each other."""
        width = self.layout.features
        if self.together > 1 or power_of_two(count) <= width:
            return [offset_copies(count, width // self.together, rows)]
        place = np.arange(-(-count // width) * width).reshape(-1, width)
        rows_of = [np.where(row < count, row, -1) for row in place]
        return sorted(rows_of, key=lambda row: int(row[0]) % self.grid**2)

    def chunks(self) -> Iterator[Tensor]:
        """Squared features, some ciphertexts at a time, in order of the pixels they need."""
        same_taps = itertools.groupby(self.contents, key=lambda row: tuple(self.positions(row)))
        ready: list[tuple[Op, Content]] = []
        for _, group in same_taps:
            contents = list(group)
            ready += zip(self._features(contents), contents, strict=True)
            if len(ready) >= CHUNK:
                yield Tensor(*zip(*ready, strict=True))
                ready = []
        if ready:
            yield Tensor(*zip(*ready, strict=True))

    def positions(self, content: Content) -> Content:
        """Position of each place's feature, -1 for an empty place."""
        return np.where(content >= 0, content % self.grid**2, -1)

    def _features(self, contents: list[Content]) -> list[Op]:
        builder = self.builder
        with builder.layer("blocks.0.conv"):
            sums = self._sums(list(self._patterns(contents[0])), contents)
            width, unit = len(contents[0]), self.layout.lanes
            values = [
                builder.add_plain(
                    builder.fold(
                        builder.rescale(total), self.together * width * unit, width * unit
                    ),
                    self._constant(self._places(self.bias, content)),
                )
                for total, content in zip(sums, contents, strict=True)
            ]
        with builder.layer("blocks.0.activation"):
            return [square_feature(builder, value) for value in values]

    def _patterns(self, content: Content) -> Iterator[Content]:
        """Pixel of each place for the taps (channel, dy, dx), in the weights' order."""
        position = self.positions(content)
        row, column = position // self.grid * self.stride, position % self.grid * self.stride
        _, channels, size, _ = self.weight.shape
        for channel, dy, dx in itertools.product(range(channels), range(size), range(size)):
            pixel = (channel * self.image_size + row + dy) * self.image_size + column + dx
            yield np.where(position >= 0, pixel, -1)

    def _places(self, per_channel: Vector, content: Content) -> Vector:
        """Values [O] at the places of their channels, 0 where it is empty."""
        return np.where(content >= 0, per_channel[np.maximum(content, 0) // self.grid**2], 0.0)

    def _constant(self, values: Vector) -> Vector:
        """Values of the places as a constant, of one number if all are alike."""
        return self.layout.spread(values[:1] if np.ptp(values) == 0 else values)

    def _sums(self, patterns: list[Content], contents: list[Content]) -> list[Op]:
        """Weighted sums of the taps, by scalars where every ciphertext holds one channel."""
        weights = self.weight.reshape(len(self.weight), -1)
        channels = [np.unique(content // self.grid**2) for content in contents]
        if self.together == 1 and all(len(one) == 1 and one[0] >= 0 for one in channels):
            taps = [self.builder.input(pattern) for pattern in patterns]
            sums = self.builder.weighted_sums(taps, weights[np.concatenate(channels)])
            return [self.builder.required(value) for value in sums]
        return [self._accumulate(patterns, weights, content) for content in contents]

    def _accumulate(self, patterns: list[Content], weights: Vector, content: Content) -> Op:
        terms: list[Op] = []
        taps = len(patterns)
        empty = np.full(len(content), -1)
        for first in range(0, taps, self.together):
            chosen = range(first, first + self.together)
            pattern = [patterns[tap] if tap < taps else empty for tap in chosen]
            columns = [
                self._places(weights[:, tap] if tap < taps else 0 * self.bias, content)
                for tap in chosen
            ]
            product = self.builder.products(
                [
                    (
                        self.builder.input(np.concatenate(pattern)),
                        self._constant(np.concatenate(columns)),
                    )
                ]
            )
            terms = [self.builder.sum(terms + product)] if terms or product else []
        return self.builder.sum(terms)
