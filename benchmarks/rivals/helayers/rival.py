"""IBM HElayers: the small network from ONNX, packed by its own optimiser, on SEAL by default."""

from __future__ import annotations

import json
import math
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pyhelayers as hl
from onnx import TensorProto, helper, numpy_helper

sys.path.append(str(Path(__file__).resolve().parents[1]))

from protocol import Contender, Refusal, rows, serve, thread_count

CONTEXTS = {"seal": "SEAL_CKKS", "openfhe": "OpenFHE_CKKS", "lattigo": "Lattigo_CKKS"}


def channels_last(dense: np.ndarray, channels: int) -> np.ndarray:
    """Columns [out, channels * positions] reordered to position by position.

    HElayers' encrypted Flatten runs over channels last although the ONNX input is channels first.
    """
    positions = dense.shape[1] // channels
    order = np.arange(dense.shape[1]).reshape(channels, positions).T.ravel()
    return dense[:, order]


def onnx_network(case: dict[str, np.ndarray], batch: int) -> onnx.ModelProto:
    """conv, square, dense, square, dense as an ONNX graph."""
    channels = len(case["conv_weight"])
    tensors = {
        "conv_weight": case["conv_weight"],
        "conv_bias": case["conv_bias"],
        "dense1": channels_last(case["dense1"], channels),
        "bias1": case["bias1"],
        "dense2": case["dense2"],
        "bias2": case["bias2"],
    }
    window = {  # spelled out in full: HElayers knows no ONNX defaults
        "kernel_shape": list(case["conv_weight"].shape[2:]),
        "strides": [int(case["stride"])] * 2,
        "pads": [0, 0, 0, 0],
        "dilations": [1, 1],
        "group": 1,
    }
    gemm = {"alpha": 1.0, "beta": 1.0, "transB": 1}
    nodes = [
        helper.make_node("Conv", ["images", "conv_weight", "conv_bias"], ["c"], **window),
        helper.make_node("Mul", ["c", "c"], ["cc"]),
        helper.make_node("Flatten", ["cc"], ["f"]),
        helper.make_node("Gemm", ["f", "dense1", "bias1"], ["d"], **gemm),
        helper.make_node("Mul", ["d", "d"], ["dd"]),
        helper.make_node("Gemm", ["dd", "dense2", "bias2"], ["logits"], **gemm),
    ]
    shape = [batch, *case["images"].shape[1:]]
    graph = helper.make_graph(
        nodes,
        "cnn",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, [batch, len(case["bias2"])])],
        [numpy_helper.from_array(a.astype(np.float32), name) for name, a in tensors.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)])
    model.ir_version = 8
    return model


def saved_bytes(saveable: Any) -> int:
    """Size of an object as HElayers writes it (through a file: requests take a gigabyte)."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "saved"
        saveable.save_to_file(str(path))
        return path.stat().st_size


class HeLayers(Contender):
    """options: batch, backend ("seal", "openfhe", "lattigo"), precision (fractional bits)."""

    def setup(self, case: dict[str, np.ndarray], options: dict[str, Any]) -> dict[str, Any]:
        """Let HElayers choose parameters and tile layout, make keys, encode the model."""
        if str(case["kind"]) != "cnn":
            raise Refusal("HElayers: no recurrent layer; only the small network is compared.")
        self.batch = int(options.get("batch", 1))
        backend = options.get("backend", "seal")
        self.images = rows(case["images"], self.batch)
        requirements = self._requirements(backend, options)
        with tempfile.TemporaryDirectory() as folder:
            path = str(Path(folder) / "cnn.onnx")
            onnx.save(onnx_network(case, self.batch), path)
            plain = hl.PlainModel.create(hl.PlainModelHyperParams(), [path])
        profile = hl.HeModel.compile(plain, requirements)
        if profile is None:
            raise Refusal(f"HElayers found no configuration for batch {self.batch} on {backend}.")
        self.context = hl.HeModel.create_context(profile)
        self.network = hl.NeuralNet(self.context)
        self.network.encode(plain, profile)
        self.encoder = hl.ModelIoEncoder(self.network)
        request = self.encrypt()
        response = self.evaluate(request)
        facts = json.loads(profile.to_string())
        print(json.dumps(facts), file=sys.stderr)
        return {
            "parameters": self._parameters(backend),
            "layout": f"tiles {profile.get_tile_layout()}",
            # an evaluation context without the secret key: public, relinearisation, Galois keys
            "key_bytes": saved_bytes(self.context),
            "upload_bytes": saved_bytes(request),
            "response_bytes": saved_bytes(response),
        }

    def _requirements(self, backend: str, options: dict[str, Any]) -> hl.HeRunRequirements:
        if backend not in CONTEXTS:
            raise Refusal(f"backend {backend!r}: expected one of {sorted(CONTEXTS)}.")
        requirements = hl.HeRunRequirements()
        requirements.set_he_context_options([hl.HeContext.create([CONTEXTS[backend]])])
        requirements.set_model_encrypted(False)
        requirements.set_security_level(128)
        requirements.optimize_for_batch_size(self.batch)
        if "slots" in options:
            requirements.set_fixed_num_slots(int(options["slots"]))
        if "precision" in options:
            requirements.set_fractional_part_precision(int(options["precision"]))
        return requirements

    def _parameters(self, backend: str) -> dict[str, Any]:
        context = self.context
        primes = [int(prime) for prime in np.asarray(context.get_modulus_chain())]
        return {
            "N": 2 * context.slot_count(),
            "log2_Q": round(sum(math.log2(prime) for prime in primes), 1),
            "levels": context.get_top_chain_index(),
            "security": context.get_security_level(),
            "library": f"pyhelayers {version('pyhelayers')} on {backend}",
            "threads": thread_count(),
        }

    def encrypt(self) -> hl.EncryptedData:
        """The batch, encoded and encrypted."""
        request = hl.EncryptedData(self.context)
        self.encoder.encode_encrypt(request, [self.images])
        return request

    def evaluate(self, encrypted: hl.EncryptedData) -> hl.EncryptedData:
        """Encrypted logits."""
        response = hl.EncryptedData(self.context)
        self.network.predict(response, encrypted)
        return response

    def decrypt(self, encrypted: hl.EncryptedData) -> np.ndarray:
        """Logits [batch, K]."""
        logits = np.asarray(self.encoder.decrypt_decode_output(encrypted))
        return logits.reshape(self.batch, -1)


if __name__ == "__main__":
    serve(HeLayers)
