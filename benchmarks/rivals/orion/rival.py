"""Orion (on Lattigo): the small network as an Orion module, one image."""

from __future__ import annotations

import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import orion
import orion.nn as on
import torch

sys.path.append(str(Path(__file__).resolve().parents[1]))

from protocol import Contender, Refusal, rows, serve, thread_count

MOST_BITS = 430  # N = 16384, 128 bits: Bossuat et al., ePrint 2024/463
RING = 14
DEPTH = 5


class Network(on.Module):
    """conv, square, dense, square, dense."""

    def __init__(self, case: dict[str, np.ndarray]) -> None:
        super().__init__()
        channels, _, size, _ = case["conv_weight"].shape
        middle, features = case["dense1"].shape
        self.conv = on.Conv2d(1, channels, kernel_size=size, stride=int(case["stride"]))
        self.first_square = on.Quad()
        self.flatten = on.Flatten()
        self.first = on.Linear(features, middle)
        self.second_square = on.Quad()
        self.second = on.Linear(middle, len(case["dense2"]))
        names = {"conv.weight": "conv_weight", "conv.bias": "conv_bias"}
        names |= {"first.weight": "dense1", "first.bias": "bias1"}
        names |= {"second.weight": "dense2", "second.bias": "bias2"}
        parameters = dict(self.named_parameters())
        with torch.no_grad():
            for name, key in names.items():
                parameters[name].copy_(torch.from_numpy(case[key]))

    def forward(self, x: Any) -> Any:
        """Logits."""
        x = self.flatten(self.first_square(self.conv(x)))
        return self.second(self.second_square(self.first(x)))


class Orion(Contender):
    """options: log_q (bits of the chain), log_p (bits of the special primes), log_scale."""

    def setup(self, case: dict[str, np.ndarray], options: dict[str, Any]) -> dict[str, Any]:
        """Scheme (one a process), compiled network, keys."""
        if str(case["kind"]) != "cnn" or int(options.get("batch", 1)) > 1:
            raise Refusal("orion: only one image of the small network is written.")
        scale = int(options.get("log_scale", 40))
        log_q = options.get("log_q", [50, *[scale] * DEPTH])
        log_p = options.get("log_p", [50, 50])
        if sum(log_q) + sum(log_p) > MOST_BITS:
            raise Refusal(f"{sum(log_q) + sum(log_p)} bits exceed {MOST_BITS} at N = 2^{RING}.")
        torch.set_num_threads(thread_count())
        self.image = torch.from_numpy(rows(case["images"], 1)).float()
        # H: a secret with two thirds of its coefficients set, as dense as a uniform ternary one
        ckks = {"LogN": RING, "LogQ": log_q, "LogP": log_p, "LogScale": scale}
        ckks |= {"H": 2 * 2**RING // 3, "RingType": "standard"}
        settings = {"margin": 2, "embedding_method": "hybrid", "backend": "lattigo"}
        settings |= {"fuse_modules": True, "debug": False, "io_mode": "none"}
        orion.init_scheme({"ckks_params": ckks, "orion": settings})
        self.network = Network(case)
        self.network.eval()
        orion.fit(self.network, self.image)
        self.level = orion.compile(self.network)
        self.network.he()
        self.evaluate(self.encrypt())
        digits = -(-len(log_q) // len(log_p))
        return {
            "parameters": {
                "N": 2**RING,
                "log2_QP": sum(log_q) + sum(log_p),
                "levels": len(log_q) - 1,
                "digits": digits,
                "library": f"orion-fhe {version('orion-fhe')} on Lattigo",
                "threads": thread_count(),
            },
            "layout": "Orion's hybrid embedding",
            "upload_bytes": 2 * 2**RING * 8 * (self.level + 1),
            "response_bytes": 2 * 2**RING * 8 * (self.level + 1 - DEPTH),
        }

    def encrypt(self) -> Any:
        """The image in one ciphertext."""
        return orion.encrypt(orion.encode(self.image, self.level))

    def evaluate(self, encrypted: Any) -> Any:
        """Encrypted logits."""
        return self.network(encrypted)

    def decrypt(self, encrypted: Any) -> np.ndarray:
        """Logits [1, K]."""
        return encrypted.decrypt().decode().numpy().reshape(1, -1)


if __name__ == "__main__":
    serve(Orion)
