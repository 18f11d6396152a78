"""The small network as TenSEAL's tutorial 4 writes it, and batched with its CKKSTensor.

The single-image program keeps the tutorial's calls. Its logits are wrong in TenSEAL 0.3.18: `mm`
leaves its result repeated over the slots, `+ bias` reaches the first copy only, and the next `mm`
reads the others. The measured error is reported with the time.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import tenseal as ts

sys.path.append(str(Path(__file__).resolve().parents[1]))

from packing import patches
from protocol import Contender, Refusal, rows, serve, thread_count

CHAINS = {  # ring: (bits of the chain, bits of the scale); the first is the tutorial's
    8192: ([31, 26, 26, 26, 26, 26, 26, 31], 26),
    16384: ([50, 40, 40, 40, 40, 40, 40, 50], 40),
}


def make_context(ring: int, rotations: bool) -> ts.Context:
    """A private context as the tutorial makes it, on the threads allowed."""
    if ring not in CHAINS:
        raise Refusal(f"ring {ring}: expected one of {sorted(CHAINS)}.")
    chain, scale_bits = CHAINS[ring]
    context = ts.context(
        ts.SCHEME_TYPE.CKKS,
        poly_modulus_degree=ring,
        coeff_mod_bit_sizes=chain,
        n_threads=thread_count(),
    )
    context.global_scale = 2**scale_bits
    if rotations:
        context.generate_galois_keys()
    return context


def context_facts(ring: int, rotations: bool) -> dict[str, Any]:
    """Parameters, and the bytes of TenSEAL's default key set (all powers of two, both ways)."""
    chain, scale_bits = CHAINS[ring]
    keys = 1 + (2 * (ring.bit_length() - 2) + 1 if rotations else 0)
    return {
        "parameters": {
            "N": ring,
            "log2_QP": sum(chain),
            "levels": len(chain) - 2,
            "scale_bits": scale_bits,
            "library": f"tenseal {ts.__version__}",
            "threads": thread_count(),
        },
        "key_bytes": keys * 16 * ring * len(chain) * (len(chain) - 1),
    }


class TutorialImage(Contender):
    """One image in a CKKSVector: conv2d_im2col, pack_vectors, square_, mm."""

    def setup(self, case: dict[str, np.ndarray], options: dict[str, Any]) -> dict[str, Any]:
        """Context with the default Galois keys; weights as lists, transposed for mm."""
        ring = int(options.get("ring", 8192))
        self.context = make_context(ring, rotations=True)
        self.image = rows(case["images"], 1)[0, 0].tolist()
        self.kernels = case["conv_weight"][:, 0].tolist()
        self.conv_bias = case["conv_bias"].tolist()
        self.stride = int(case["stride"])
        self.first, self.first_bias = case["dense1"].T.tolist(), case["bias1"].tolist()
        self.second, self.second_bias = case["dense2"].T.tolist(), case["bias2"].tolist()
        self.windows = 0
        upload = len(self.encrypt().serialize())
        facts = context_facts(ring, rotations=True)
        facts["parameters"]["note"] = "bias lost between two mm (TenSEAL 0.3.18): logits are off"
        return {**facts, "layout": "CKKSVector, im2col", "upload_bytes": upload}

    def encrypt(self) -> ts.CKKSVector:
        """The image's windows in im2col encoding."""
        height, width = len(self.kernels[0]), len(self.kernels[0][0])
        encrypted, self.windows = ts.im2col_encoding(
            self.context, self.image, height, width, self.stride
        )
        return encrypted

    def evaluate(self, encrypted: ts.CKKSVector) -> ts.CKKSVector:
        """Encrypted logits."""
        channels = [
            encrypted.conv2d_im2col(kernel, self.windows) + bias
            for kernel, bias in zip(self.kernels, self.conv_bias, strict=True)
        ]
        x = ts.CKKSVector.pack_vectors(channels)
        x.square_()
        x = x.mm(self.first) + self.first_bias
        x.square_()
        return x.mm(self.second) + self.second_bias

    def decrypt(self, encrypted: ts.CKKSVector) -> np.ndarray:
        """Logits [1, K]."""
        return np.array(encrypted.decrypt())[None]


class TensorBatch(Contender):
    """CKKSTensor(batch=True): one ciphertext for each of the 64 x 25 window pixels."""

    def setup(self, case: dict[str, np.ndarray], options: dict[str, Any]) -> dict[str, Any]:
        """Context without Galois keys; the convolution becomes a matrix product."""
        ring = int(options.get("ring", 8192))
        self.batch = int(options["batch"])
        if self.batch > ring // 2:
            raise Refusal(f"batch {self.batch}: a ciphertext holds {ring // 2} images.")
        self.context = make_context(ring, rotations=False)
        weight = case["conv_weight"]
        images = rows(case["images"], self.batch)
        self.windows = patches(images, weight.shape[-1], int(case["stride"])).swapaxes(1, 2)
        self.kernels = weight.reshape(len(weight), -1).T.tolist()
        self.conv_bias = case["conv_bias"].tolist()
        channels, positions = len(weight), self.windows.shape[1]
        # features come out position by position, so the matrix's columns are reordered
        columns = case["dense1"].reshape(-1, channels, positions).swapaxes(1, 2)
        self.first = columns.reshape(len(columns), -1).T.tolist()
        self.first_bias = case["bias1"].tolist()
        self.second, self.second_bias = case["dense2"].T.tolist(), case["bias2"].tolist()
        sample = ts.ckks_tensor(self.context, self.windows[:, :1, :1], batch=True)
        count = self.windows.shape[1] * self.windows.shape[2]
        return {
            **context_facts(ring, rotations=False),
            "layout": "CKKSTensor, one ciphertext per window pixel",
            "upload_bytes": count * len(sample.serialize()),
        }

    def encrypt(self) -> ts.CKKSTensor:
        """Windows [positions, 25], a ciphertext for each."""
        return ts.ckks_tensor(self.context, self.windows, batch=True)

    def evaluate(self, encrypted: ts.CKKSTensor) -> ts.CKKSTensor:
        """Encrypted logits."""
        x = encrypted.mm(self.kernels) + self.conv_bias
        x.square_()
        x = x.reshape([1, len(self.first)])
        x = x.mm(self.first) + self.first_bias
        x.square_()
        return x.mm(self.second) + self.second_bias

    def decrypt(self, encrypted: ts.CKKSTensor) -> np.ndarray:
        """Logits [batch, K]."""
        return np.array(encrypted.decrypt().tolist()).reshape(self.batch, -1)


class Tutorial(Contender):
    """options: batch (1: the tutorial's program), ring (8192: its parameters; or 16384)."""

    def setup(self, case: dict[str, np.ndarray], options: dict[str, Any]) -> dict[str, Any]:
        """Set up the program for this batch."""
        if str(case["kind"]) != "cnn":
            raise Refusal("tenseal_tutorial: the tutorial has the small network only.")
        self.program = TensorBatch() if int(options.get("batch", 1)) > 1 else TutorialImage()
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
    serve(Tutorial)
