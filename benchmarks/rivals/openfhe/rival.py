"""OpenFHE packed by hand: the small network and one LSTM step, single and batched."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np

sys.path.append(str(Path(__file__).resolve().parents[1]))

from batch_cnn import BatchCnn
from lstm import BatchStep, SingleStep
from machine import Machine, Setting, ciphertext_bytes
from packed_cnn import packed_cnn
from protocol import Contender, Refusal, rows, serve


class SingleCnn(Contender):
    """One image through a network packed by hand."""

    def setup(self, case: dict[str, np.ndarray], options: dict[str, Any]) -> dict[str, Any]:
        """Context, keys, and one evaluation so that every constant is encoded."""
        self.images = rows(case["images"], 1)
        defaults = {"ring": 16384, "depth": 5, "scale_bits": 36, "first_bits": 44, "digits": 2}
        self.machine = Machine(Setting.of(options, radix=8, **defaults))
        self.network = packed_cnn(self.machine, case, options)
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


class OpenFhe(Contender):
    """Chooses the program by the case's kind and the options' batch."""

    def setup(self, case: dict[str, np.ndarray], options: dict[str, Any]) -> dict[str, Any]:
        """Set up the program for this case."""
        kind, batch = str(case["kind"]), int(options.get("batch", 1))
        programs = {
            ("cnn", False): SingleCnn,
            ("cnn", True): BatchCnn,
            ("lstm_step", False): SingleStep,
            ("lstm_step", True): BatchStep,
        }
        if (kind, batch > 1) not in programs:
            raise Refusal(f"openfhe: nothing is written for {kind} at batch {batch}.")
        self.program = programs[kind, batch > 1]()
        facts = self.program.setup(case, options)
        self.batch = self.program.batch
        return facts

    def encrypt(self) -> Any:
        """The program's request."""
        return self.program.encrypt()

    def evaluate(self, encrypted: Any) -> Any:
        """The program's evaluation."""
        return self.program.evaluate(encrypted)

    def decrypt(self, encrypted: Any) -> np.ndarray:
        """The program's outputs."""
        return self.program.decrypt(encrypted)


if __name__ == "__main__":
    serve(OpenFhe)
