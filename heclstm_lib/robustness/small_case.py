"""A small task as files, with real keys at 128-bit security, for faults to be put into."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from heclstm_lib.compiler.chain import choose_parameters
from heclstm_lib.compiler.network import plan_network
from heclstm_lib.he.client import Client
from heclstm_lib.he.store import write_plan, write_signature
from heclstm_lib.models.folded import GATES, FoldedNetwork, GateForm

FRAMES, SIZE, CHANNELS, SEQUENCES = 2, 12, 2, 2


@dataclass(frozen=True)
class SmallCase:
    """The files of a server, and the client whose requests they are."""

    plan: Path
    bundle: Path
    requests: Path
    client: Client

    @property
    def names(self) -> list[str]:
        """The requests' names, sorted."""
        return sorted(path.stem for path in self.requests.glob("*.request"))


def make_small_case(folder: Path, requests: int = 8, seed: int = 0) -> SmallCase:
    """Plan, keys and requests of a network without LSTM (3 levels, N=8192); weights by seed."""
    return make_case(folder, small_network(seed), 8192, requests, seed)


def make_case(
    folder: Path,
    network: FoldedNetwork,
    poly_degree: int,
    requests: int,
    seed: int = 0,
    sequences: int = SEQUENCES,
) -> SmallCase:
    """Plan, keys and requests of a network, each of `sequences` sequences; frames by seed."""
    plan = plan_network(network, choose_parameters(network, poly_degree), sequences)
    server, asked = folder / "server", folder / "requests"
    server.mkdir(parents=True)
    asked.mkdir()
    write_plan(plan, server / "plan.npz")
    write_signature(plan.signature, server / "signature.json")
    client = Client(plan.signature)
    client.write_public_bundle(server / "public.bundle")
    rng = np.random.default_rng([seed, 1])
    for number in range(requests):
        frames = rng.normal(size=(sequences, plan.inputs.frames, *plan.inputs.shape))
        client.encrypt_batch(frames, asked / f"{number:02d}.request")
    return SmallCase(server / "plan.npz", server / "public.bundle", asked, client)


def small_network(seed: int) -> FoldedNetwork:
    """Random weights: one convolution on 4 x 4 places, a square, a weighted vote."""
    rng = np.random.default_rng([seed, 0])
    return FoldedNetwork(
        frames=FRAMES,
        image_size=SIZE,
        stride=2,
        conv_weight=rng.normal(size=(CHANNELS, 1, 6, 6)) / 6,
        conv_bias=rng.normal(size=CHANNELS) / 10,
        dense=(),
        gates=(),
        gate_input=np.zeros((4, 0, 0)),
        gate_bias=np.zeros((4, 0)),
        gate_recurrent=np.zeros((4, 0, 0)),
        spatial=rng.normal(size=(FRAMES, 16 * CHANNELS)) / 6,
        temporal=np.zeros((FRAMES, 0)),
        bias=0.2,
    )


def small_lstm_network(seed: int) -> FoldedNetwork:
    """Random weights: a convolution on 2 x 2 places, an LSTM over two frames (12 levels)."""
    rng = np.random.default_rng([seed, 0])
    hidden, width = 2, 4 * CHANNELS
    form = GateForm.from_coefficients(np.array([0.5, 0.25, 0.05]))
    return FoldedNetwork(
        frames=FRAMES,
        image_size=4,
        stride=2,
        conv_weight=rng.normal(size=(CHANNELS, 1, 2, 2)) / 2,
        conv_bias=rng.normal(size=CHANNELS) / 10,
        dense=(),
        gates=(form,) * len(GATES),
        gate_input=rng.normal(size=(len(GATES), hidden, width)) / 20,
        gate_bias=rng.normal(size=(len(GATES), hidden)) / 10 + form.shift,
        gate_recurrent=rng.normal(size=(len(GATES), hidden, hidden)) / 14,
        spatial=rng.normal(size=(FRAMES, width)) / 3,
        temporal=rng.normal(size=(FRAMES, hidden)),
        bias=0.25,
    )
