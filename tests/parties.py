"""A hospital and its server over one plan, exchanging real files."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from heclstm_lib.compiler.chain import choose_parameters
from heclstm_lib.compiler.network import plan_network
from heclstm_lib.he.client import Client
from heclstm_lib.he.plan import Plan
from heclstm_lib.he.server import Server
from heclstm_lib.models.folded import FoldedNetwork


@dataclass
class Parties:
    """Everything of one registration; the files lie in `folder`."""

    network: FoldedNetwork
    plan: Plan
    client: Client
    server: Server
    folder: Path

    def scores(self, frames: np.ndarray) -> np.ndarray:
        """Decrypted scores [n] of normalised frames [n, T, C, H, W], through bytes both ways."""
        self.client.encrypt_batch(frames, self.folder / "request")
        self.server.evaluate(self.folder / "request", self.folder / "response")
        return self.client.decrypt_scores(self.folder / "response")


def make_parties(
    network: FoldedNetwork, poly_degree: int, sequences: int, folder: Path, packed: bool = True
) -> Parties:
    """`register` with a plan for the network."""
    params = choose_parameters(network, poly_degree, packed=packed)
    return register(network, plan_network(network, params, sequences, packed), folder)


def register(network: FoldedNetwork, plan: Plan, folder: Path, **options: int) -> Parties:
    """Keys for a plan of the network, or of an ensemble it is in, and a server with those."""
    client = Client(plan.signature)
    client.write_public_bundle(folder / "bundle")
    return Parties(network, plan, client, Server(plan, folder / "bundle", **options), folder)
