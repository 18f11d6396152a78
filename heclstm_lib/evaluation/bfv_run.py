"""An integer network evaluated under BFV, both parties, timed; kept in a file once it is done."""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from heclstm_lib.evaluation.encrypted import hash_frames
from heclstm_lib.files import replacing
from heclstm_lib.he.bfv import BfvServer
from heclstm_lib.he.bfv_keys import BfvClient
from heclstm_lib.he.bfv_params import BfvParameters, choose_bfv
from heclstm_lib.models.integer_cnn import IntegerCnn, Integers, Whole


@dataclass(frozen=True)
class BfvRun:
    """Decrypted outputs [n] as decimal texts (they outgrow machine words), seconds and bytes.

    `server_s` is of the whole batch, which holds up to N images in the same time; `budget_bits`
    the noise budget left in the worst result.
    """

    outputs: tuple[str, ...]
    key_s: float
    encrypt_s: float
    server_s: float
    server_cpu_s: float
    decrypt_s: float
    bundle_bytes: int
    request_bytes: int
    response_bytes: int
    budget_bits: int

    @property
    def values(self) -> Whole:
        """Outputs [n, 1] as Python integers."""
        return np.array([[int(text)] for text in self.outputs], dtype=object)


def evaluate_bfv(network: IntegerCnn, images: Integers, work: Path) -> tuple[BfvRun, BfvParameters]:
    """Encrypt whole images [n, C, H, W], evaluate, decrypt; n at most the ring degree.

    The run is kept in `work` and read again for the same network and images. Raises as
    `choose_bfv` and the parties do.
    """
    params = choose_bfv(network)
    path = work / "bfv.json"
    identity = [params.digest, _digest(network), hash_frames(images.astype(np.float64))]
    if path.is_file():
        kept = json.loads(path.read_text(encoding="utf-8"))
        if kept.pop("identity") == identity:
            return BfvRun(**(kept | {"outputs": tuple(kept["outputs"])})), params
    work.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="bfv-", dir=work))
    try:
        run = _run(network, params, images, folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    with replacing(path) as part:
        part.write_text(json.dumps(asdict(run) | {"identity": identity}), encoding="utf-8")
    return run, params


def _run(network: IntegerCnn, params: BfvParameters, images: Integers, folder: Path) -> BfvRun:
    bundle, request, response = (folder / name for name in ("bundle", "request", "response"))
    start = time.perf_counter()
    client = BfvClient(params)
    bundle_bytes = client.write_bundle(bundle)
    keyed = time.perf_counter()
    request_bytes = client.encrypt_batch(images, request)
    encrypted = time.perf_counter()
    server = BfvServer(network, params, bundle)
    wall, cpu = time.perf_counter(), time.process_time()
    response_bytes = server.evaluate(request, response)
    server_s, server_cpu_s = time.perf_counter() - wall, time.process_time() - cpu
    done = time.perf_counter()
    values, budget = client.decrypt_outputs(response)
    return BfvRun(
        tuple(str(value) for value in values[:, 0]), keyed - start, encrypted - keyed, server_s,
        server_cpu_s, time.perf_counter() - done, bundle_bytes, request_bytes, response_bytes,
        budget,
    )  # fmt: skip


def _digest(network: IntegerCnn) -> str:
    layers = [(network.conv_weight, network.conv_bias), *network.dense]
    shape = [network.image_size, network.stride, network.levels]
    numbers = [[array.tolist() for array in layer] for layer in layers]
    return hashlib.sha256(json.dumps([shape, numbers]).encode()).hexdigest()
