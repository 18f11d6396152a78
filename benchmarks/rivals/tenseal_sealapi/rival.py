"""The small network packed by hand on tenseal.sealapi, one image."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np

sys.path.append(str(Path(__file__).resolve().parents[1]))

from machine import Machine, Setting, ciphertext_bytes
from packed_cnn import packed_cnn
from protocol import Contender, Refusal, rows, serve

DEFAULTS = {
    8192: {
        "scale_bits": 29,
        "first_bits": 33,
        "special_bits": 36,
        "scales": (30, 29, 32, 29, 32, 32),
    },
    16384: {"scale_bits": 40, "first_bits": 50, "special_bits": 50},
}


class SealApi(Contender):
    """options: packing ("tiled", "bsgs", "stacked"), uploads, ring (8192 or 16384), bits."""

    def setup(self, case: dict[str, np.ndarray], options: dict[str, Any]) -> dict[str, Any]:
        """Context, keys, and one evaluation so that every constant is encoded."""
        if str(case["kind"]) != "cnn" or int(options.get("batch", 1)) > 1:
            raise Refusal("tenseal_sealapi: only one image of the small network is written.")
        self.images = rows(case["images"], 1)
        ring = int(options.get("ring", 8192))
        if ring not in DEFAULTS:
            raise Refusal(f"ring {ring}: expected one of {sorted(DEFAULTS)}.")
        self.machine = Machine(Setting.of(options, ring=ring, depth=5, **DEFAULTS[ring]))
        uploads = 2 if ring == 8192 else 1  # the window places need 6400 slots
        self.network = packed_cnn(self.machine, case, {"uploads": uploads, **options})
        self.machine.make_rotation_keys(*self.network.rotation_steps())
        request = self.encrypt()
        response = self.evaluate(request)
        return {
            **self.machine.facts(),
            "layout": f"{options.get('packing', 'tiled')}, {len(request)} upload(s)",
            "upload_bytes": ciphertext_bytes(request),
            "response_bytes": ciphertext_bytes([response]),
        }

    def encrypt(self) -> list[Any]:
        """Uploads of the image."""
        return self.network.encrypt(self.images[0])

    def evaluate(self, encrypted: list[Any]) -> Any:
        """Encrypted logits."""
        return self.network.evaluate(encrypted)

    def decrypt(self, encrypted: Any) -> np.ndarray:
        """Logits [1, K]."""
        return self.network.decrypt(encrypted)[None]


if __name__ == "__main__":
    serve(SealApi)
