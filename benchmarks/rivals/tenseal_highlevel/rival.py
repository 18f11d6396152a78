"""The flagship network written with TenSEAL's high-level vectors, as its tutorials write networks.

Each frame: conv2d_im2col for each kernel, pack_vectors, square_; each gate: mm of the features and
mm of the state; products, voting by dot. TenSEAL rotates by one for each row of a matrix, with keys
for powers of two only, so a 512 x 16 matrix costs 512 rotations: the whole takes hours.
With {"layers_only": true} one of each expensive layer is measured and the rest extrapolated.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import tenseal as ts

sys.path.append(str(Path(__file__).resolve().parents[1]))

from packing import patches
from protocol import Contender, Refusal, rows, serve, thread_count

MOST_BITS = {16384: 430, 32768: 868}
GATES = 4
FRONT_LEVELS = 3  # conv2d_im2col, the masks of pack_vectors, square


class Network:
    """The flagship case as lists, with its squared features and gate inputs in clear."""

    def __init__(self, case: dict[str, np.ndarray]) -> None:
        degree, recurrence = case["gate_degree"], str(case["recurrence"])
        if set(degree.tolist()) != {2} or recurrence != "lstm" or "dense_matrix_0" in case:
            raise Refusal("tenseal_highlevel: written for quadratic LSTM gates on one conv block.")
        self.frames, self.hidden = int(case["frame_count"]), case["gate_bias"].shape[1]
        self.stride = int(case["stride"])
        self.kernels = case["conv_weight"][:, 0]
        self.conv_bias = case["conv_bias"]
        self.gate_input, self.gate_bias = case["gate_input"], case["gate_bias"]
        self.recurrent = case["gate_recurrent"]
        self.sign, self.constant = case["gate_sign"], case["gate_constant"]
        self.spatial, self.temporal = case["spatial"], case["temporal"]
        self.bias = float(case["bias"])

    @property
    def levels(self) -> int:
        """Front end, gate matrix, 3 levels for the first step, 4 for each further, voting."""
        return FRONT_LEVELS + 1 + 3 + 4 * (self.frames - 1) + 1

    def features(self, frames: np.ndarray) -> np.ndarray:
        """Squared features [T, V] of one sequence [T, 1, H, W]."""
        windows = patches(frames, self.kernels.shape[-1], self.stride)  # [T, taps, positions]
        maps = np.einsum("ok,tkp->top", self.kernels.reshape(len(self.kernels), -1), windows)
        return ((maps + self.conv_bias[:, None]) ** 2).reshape(len(frames), -1)


class HighLevel(Contender):
    """options: layers_only, ring, scale_bits, first_bits, special_bits."""

    def setup(self, case: dict[str, np.ndarray], options: dict[str, Any]) -> dict[str, Any]:
        """Context with TenSEAL's default Galois keys (several GB at N = 32768)."""
        if str(case["kind"]) != "flagship" or int(options.get("batch", 1)) > 1:
            raise Refusal("tenseal_highlevel: only one sequence of the flagship is written.")
        self.network = network = Network(case)
        self.layers_only = bool(options.get("layers_only", False))
        self.sequence = rows(case["frames"], 1)[0]
        ring, bits = int(options.get("ring", 32768)), int(options.get("scale_bits", 38))
        ends = [int(options.get(name, 50)) for name in ("first_bits", "special_bits")]
        chain = [ends[0], *[bits] * network.levels, ends[1]]
        if ring not in MOST_BITS or sum(chain) > MOST_BITS[ring]:
            raise Refusal(f"{sum(chain)} bits at N = {ring}: at most {MOST_BITS} for 128 bits.")
        self.context = ts.context(
            ts.SCHEME_TYPE.CKKS,
            poly_modulus_degree=ring,
            coeff_mod_bit_sizes=chain,
            n_threads=thread_count(),
        )
        self.context.global_scale = 2.0**bits
        self.context.generate_galois_keys()
        self.windows = 0
        upload = sum(len(vector.serialize()) for vector in self.encrypt())
        keys = 2 + 2 * (ring.bit_length() - 2)  # relinearisation, conjugation, powers of two
        return {
            "parameters": {
                "N": ring,
                "log2_QP": sum(chain),
                "levels": network.levels,
                "scale_bits": bits,
                "library": f"tenseal {ts.__version__}",
                "threads": thread_count(),
                "note": "bias lost before the state's mm (TenSEAL 0.3.18): logits may be off",
            },
            "key_bytes": keys * 16 * ring * len(chain) * (len(chain) - 1),
            "layout": "CKKSVector, im2col" + (", layers only" if self.layers_only else ""),
            "upload_bytes": upload,
        }

    def encrypt(self) -> list[ts.CKKSVector]:
        """Each frame in im2col encoding."""
        height, width = self.network.kernels.shape[1:]
        uploads = []
        for frame in self.sequence[:, 0]:
            upload, self.windows = ts.im2col_encoding(
                self.context, frame.tolist(), height, width, self.network.stride
            )
            uploads.append(upload)
        return uploads

    def evaluate(self, encrypted: list[ts.CKKSVector]) -> ts.CKKSVector:
        """Encrypted logit; fills `extra` with the seconds of each kind of layer."""
        self.seconds: dict[str, float] = {}
        self.skipped = {"convolution": 0, "gate input": 0}
        front = self._shortened_front(encrypted) if self.layers_only else self._front(encrypted)
        score = self._recurrence(*front)
        self._report()
        return score

    def _timed(self, layer: str, call: Callable[[], Any]) -> Any:
        start = time.perf_counter()
        result = call()
        self.seconds[layer] = self.seconds.get(layer, 0.0) + time.perf_counter() - start
        return result

    def _convolution(self, upload: ts.CKKSVector) -> ts.CKKSVector:
        kernels = zip(self.network.kernels.tolist(), self.network.conv_bias.tolist(), strict=True)
        channels = [upload.conv2d_im2col(k, self.windows) + bias for k, bias in kernels]
        features = ts.CKKSVector.pack_vectors(channels)
        features.square_()
        return features

    def _gate_input(self, features: ts.CKKSVector, gate: int) -> ts.CKKSVector:
        network = self.network
        product = features.mm(network.gate_input[gate].T.tolist())
        return product + network.gate_bias[gate].tolist()

    def _front(self, uploads: list[ts.CKKSVector]) -> tuple[list[Any], list[list[Any]]]:
        features = [self._timed("convolution", lambda x=x: self._convolution(x)) for x in uploads]
        inputs = [
            [self._timed("gate input", lambda a=a, k=k: self._gate_input(a, k)) for k in range(4)]
            for a in features
        ]
        return features, inputs

    def _shortened_front(self, uploads: list[ts.CKKSVector]) -> tuple[list[Any], list[list[Any]]]:
        """One frame and one of its gates for real; the others enter as ciphertexts of the values
        that the skipped layers would have given, at the level at which they would have come out."""
        network = self.network
        values = network.features(self.sequence)
        features = [self._timed("convolution", lambda: self._convolution(uploads[0]))]
        first = self._timed("gate input", lambda: self._gate_input(features[0], 0))
        arguments = np.einsum("ghv,tv->tgh", network.gate_input, values) + network.gate_bias
        inputs = [
            [self._lowered(argument, FRONT_LEVELS + 1) for argument in frame] for frame in arguments
        ]
        inputs[0][0] = first
        features += [self._lowered(frame, FRONT_LEVELS) for frame in values[1:]]
        self.skipped = {
            "convolution": network.frames - 1,
            "gate input": GATES * network.frames - 1,
        }
        return features, inputs

    def _lowered(self, values: np.ndarray, levels: int) -> ts.CKKSVector:
        vector = ts.ckks_vector(self.context, values.tolist())
        for _ in range(levels):
            vector.mul_([1.0] * len(values))
        return vector

    def _recurrence(self, features: list[Any], inputs: list[list[Any]]) -> ts.CKKSVector:
        network = self.network
        hidden = cell = score = None
        for t in range(network.frames):
            gates = [self._gate(inputs[t][k], hidden, k) for k in range(GATES)]
            i, f, g, o = gates
            new = self._timed("products", lambda i=i, g=g: i * g)
            if cell is not None:
                kept = self._timed("products", lambda f=f, cell=cell: f * cell)
                new = new + kept
            cell = new
            hidden = self._timed("products", lambda o=o, cell=cell: o * cell)
            part = self._timed("voting", lambda t=t, h=hidden: self._vote(features[t], h, t))
            score = part if score is None else score + part
        return score + network.bias

    def _gate(self, argument: Any, hidden: Any, gate: int) -> Any:
        network = self.network
        if hidden is not None:
            weights = network.recurrent[gate].T.tolist()
            argument = argument + self._timed("recurrent", lambda: hidden.mm(weights))
        square = self._timed("gates", argument.square)
        square = square if network.sign[gate] > 0 else -square
        return square + float(network.constant[gate])

    def _vote(self, features: Any, hidden: Any, t: int) -> Any:
        network = self.network
        return features.dot(network.spatial[t].tolist()) + hidden.dot(network.temporal[t].tolist())

    def _report(self) -> None:
        """The seconds of each kind of layer; a skipped layer counts as the one measured."""
        for layer, count in self.skipped.items():
            self.seconds[layer] *= 1 + count  # without layers_only none is skipped
        self.extra = {"time_by_kind": dict(self.seconds)}
        if self.layers_only:
            frames = self.network.frames
            self.extra["server_s"] = sum(self.seconds.values())
            self.extra["note"] = (
                f"extrapolated: 1 of {frames} frames' convolutions and 1 of {GATES * frames} gate "
                "input matrices measured, the rest in full; what was left out entered as "
                "encryptions of its true values"
            )

    def decrypt(self, encrypted: ts.CKKSVector) -> np.ndarray:
        """Logit [1, 1]."""
        return np.array(encrypted.decrypt()[:1])[None]


if __name__ == "__main__":
    serve(HighLevel)
