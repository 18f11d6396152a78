"""Compile a folded network into a plan: packing, rotations, levels, exact scales."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property

import numpy as np

from heclstm_lib.compiler.builder import Builder
from heclstm_lib.compiler.convolution import Convolution
from heclstm_lib.compiler.dense import dense_layer, square_features
from heclstm_lib.compiler.finish import finish_plan
from heclstm_lib.compiler.gates import BLOCKS, unpack_gates
from heclstm_lib.compiler.linear import Products, Tensor, pad_rows, padded_rows
from heclstm_lib.compiler.lstm import LstmCompiler
from heclstm_lib.compiler.packed_lstm import PackedLstm
from heclstm_lib.compiler.scan import ScanCompiler, scan_steps
from heclstm_lib.compiler.windowed_lstm import WindowedLstm, choose_diagonals
from heclstm_lib.errors import PlanError
from heclstm_lib.he.packing import Layout, Vector, power_of_two
from heclstm_lib.he.params import CkksParameters
from heclstm_lib.he.plan import Op, Plan
from heclstm_lib.models.folded import FoldedNetwork


def plan_network(
    network: FoldedNetwork,
    params: CkksParameters,
    sequences: int,
    packed: bool = True,
    stay_packed: bool = False,
    taps_together: int = 1,
) -> Plan:
    """Plan the encrypted evaluation of up to `sequences` sequences (a power of two) at once.

    `packed` computes the four gates' inputs as blocks of one ciphertext and unpacks them, one
    level deeper but with fewer rotations; without it each gate has its own product. With
    `stay_packed` the gates of an LSTM are never unpacked, which needs no level. `taps_together`
    is as in Convolution. Needs no key. Raises PlanError and its kinds when the network does not
    fit.
    """
    layout = Layout(params.slots, power_of_two(network.frames), power_of_two(sequences))
    compiler = PackedCompiler if stay_packed else NetworkCompiler
    return compiler(network, Builder(params, layout), packed or stay_packed, taps_together).plan()


class NetworkCompiler:
    """Walks the network front to back, appending to one builder."""

    def __init__(
        self, network: FoldedNetwork, builder: Builder, packed: bool, taps_together: int = 1
    ) -> None:
        self.network, self.builder, self.packed = network, builder, packed
        self.taps_together = taps_together
        self.layout = builder.layout
        self.scalar = self.layout.features == 1
        self.spatial: list[Op] = []

    def plan(self) -> Plan:
        """The whole network's plan, checked."""
        network, builder = self.network, self.builder
        rows = self.padded(len(network.dense[0][0])) if network.dense else self.gate_rows
        convolution = Convolution(
            builder, network.conv_weight, network.conv_bias, network.image_size, network.stride,
            rows or 1, self.taps_together,
        )  # fmt: skip
        count, chunks = convolution.ciphertexts, convolution.chunks()
        for number, (matrix, bias) in enumerate(network.dense, start=1):
            with builder.layer(f"blocks.{number}.conv"):
                block = dense_layer(builder, chunks, count, matrix, bias)
            with builder.layer(f"blocks.{number}.activation"):
                block = square_features(builder, block)
            count, chunks = len(block.values), iter([block])
        temporal = self.recurrence(chunks, count)
        with builder.layer("voting"):
            result = self.score(temporal)
        channels = network.conv_weight.shape[1]
        shape = (channels, network.image_size, network.image_size)
        return finish_plan(builder, network.frames, shape, [[0]], [result])

    def padded(self, rows: int) -> int:
        """Rows of a matrix as its product is laid out."""
        return padded_rows(rows, self.layout.features)

    @property
    def gate_rows(self) -> int:
        """Rows of the first matrix after the features: all gates packed, or one gate."""
        hidden = self.padded(self.network.hidden)
        return hidden * (BLOCKS if self.packed else 1)

    def recurrence(self, chunks: Iterator[Tensor], count: int) -> list[Op]:
        """The states' part of the score; the frames' spatial scores are kept on the way."""
        network, builder = self.network, self.builder
        apart = [] if self.packed else self.step_compilers
        lanes = [lane for compiler in apart for lane in compiler.lanes]
        products = Products(builder, self.gate_matrices(), count, lanes)
        spatial: list[Op] = []
        for chunk in chunks:
            if network.hidden:
                with builder.layer(f"{self.layer}.input"):
                    products.feed(chunk)
            if not (self.scalar and network.hidden):
                with builder.layer("weighted_unit"):
                    pairs, scale = self.spatial_products(chunk), builder.params.end_scale
                    terms = [*spatial, *builder.products(pairs, scale)]
                    spatial = [builder.sum(terms)] if terms else []
        with builder.layer("weighted_unit"):
            self.spatial = [builder.settle(value) for value in spatial]
        if not network.hidden:
            return []
        with builder.layer(f"{self.layer}.input"):
            results = products.finish()
            if self.scalar:
                with builder.layer("weighted_unit"):
                    self.spatial = self.frame_scores(results.pop())
            gates = [[builder.required(value) for value in parts] for parts in results]
        share = len(gates) // len(network.directions)
        parts = (gates[at : at + share] for at in range(0, len(gates), share))
        return [value for way, own in enumerate(parts) for value in self.temporal(way, own)]

    @property
    def layer(self) -> str:
        """Name of the recurrence's layer."""
        return "sru" if self.network.recurrence == "sru" else "lstm"

    @cached_property
    def step_compilers(self) -> Sequence[LstmCompiler | ScanCompiler]:
        """What appends the steps of the recurrence: one for each way it reads, none without."""
        network, builder = self.network, self.builder
        if not network.hidden:
            return []
        if network.recurrence == "sru":
            return [ScanCompiler(network, builder)]
        return [LstmCompiler(one, builder, bool(way)) for way, one in enumerate(network.directions)]

    def temporal(self, way: int, gates: list[list[Op]]) -> list[Op]:
        """The states' part of the score, read forward (way 0) or backward, from gates' inputs."""
        compiler = self.step_compilers[way]
        if self.packed and not self.scalar:
            with self.builder.layer(f"{compiler.layer}.unpack"):
                packed = gates[0][0]
                gates = unpack_gates(self.builder, packed, compiler.period, compiler.lanes)
        return compiler.temporal(gates)

    def gate_matrices(self) -> list[Vector]:
        """The matrices from the features: gates, packed or apart; for scalars also the scores."""
        network, hidden = self.network, self.padded(self.network.hidden)
        ways = [[pad_rows(gate, hidden) for gate in one.gate_input] for one in network.directions]
        apart = [gate for gates in ways for gate in gates]
        if self.scalar:
            return [*apart, network.spatial]
        rows = BLOCKS * hidden
        if self.packed and rows > self.layout.features:
            raise PlanError(
                f"packing: {rows} rows (the gates of the padded hidden size) do not fit a "
                f"feature axis of {self.layout.features}. Encrypt fewer sequences together, or "
                "plan the gates apart."
            )
        if not self.packed:
            return apart
        return [pad_rows(np.concatenate(gates), rows) for gates in ways]

    def spatial_products(self, chunk: Tensor) -> Iterator[tuple[Op, Vector]]:
        """Each feature once, times its weight in each frame's score."""
        frames = np.zeros((self.layout.frames, self.network.spatial.shape[1]))
        frames[: self.network.frames] = self.network.spatial
        for value, content in zip(chunk.values, chunk.contents, strict=True):
            places = np.resize(content, self.layout.features)
            _, first = np.unique(places, return_index=True)
            chosen = np.zeros(len(places), dtype=bool)
            chosen[first] = True
            yield value, (frames[:, places] * (chosen & (places >= 0))).T

    def frame_scores(self, rows: list[Op | None]) -> list[Op]:
        """The spatial score of frame t taken from row t and the lanes of frame t."""
        scale = self.builder.params.end_scale
        products = [
            self.builder.multiply_plain(value, self.layout.spread(np.ones(1), frame=t), scale)
            for t, value in enumerate(rows)
            if value is not None
        ]
        return [self.builder.settle(self.builder.sum(products))] if products else []

    def score(self, temporal: list[Op]) -> Op:
        """Weighted unit, frame score and votes: what is left are folds over the slots."""
        builder = self.builder
        terms = [*temporal, *self.spatial]
        level = min((value.level for value in terms), default=0)
        total = builder.sum(builder.lower(value, level) for value in terms)
        score = self.sum_frames(builder.fold(total, self.layout.slots, self.layout.lanes))
        return builder.add_plain(score, np.full((1, 1), self.network.bias))

    def sum_frames(self, score: Op) -> Op:
        """Sum over frames by rotations back, those that the recurrence has keys for already."""
        builder, step = self.builder, -self.layout.sequences
        for bit in range(scan_steps(self.layout.frames)):
            keyed = any(op.step == step << bit for op in builder.ops)
            back = builder.rotate(score, *((step << bit, 1) if keyed else (step, 1 << bit)))
            score = builder.add(score, back)
        return score


class PackedCompiler(NetworkCompiler):
    """The same with an LSTM whose gates stay packed."""

    refresh_level: int | None = None

    def temporal(self, way: int, gates: list[list[Op]]) -> list[Op]:
        """The states' part of the score of one way."""
        if self.network.recurrence == "sru" or self.scalar:
            raise PlanError(
                f"gates that stay packed: expected an LSTM and several features a ciphertext, got "
                f"recurrence {self.network.recurrence!r} and {self.layout.features} feature(s). "
                "Plan the gates apart."
            )
        return self.packed_lstm(way).temporal(gates[0][0])

    def packed_lstm(self, way: int) -> PackedLstm:
        """What appends the steps; windows for the state where a refresh makes them cheap."""
        network, builder, level = self.network.directions[way], self.builder, self.refresh_level
        if level is not None:
            hidden = power_of_two(network.hidden)
            diagonals = choose_diagonals(hidden, level, self.layout.features)
            if diagonals:
                return WindowedLstm(network, builder, level, diagonals, bool(way))
        return PackedLstm(network, builder, level, bool(way))
