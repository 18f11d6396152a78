"""Our contender's work on one case: plan, keys, runs, floor.

Options of the set-up, beside `batch`: workers (processes, a request each), processes (that share
each request), sequences (in one request; default: the planner decides), choice (0: the planner's,
1: its first runner-up), memory_gb, latency_s and precision_bits (its limits), poly_degree (no other
one), refresh (the client re-encrypts the state between steps).
"""

from __future__ import annotations

import math
import resource
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np

from heclstm_lib.bench.cases import Arrays
from heclstm_lib.bench.flagship import folded_network
from heclstm_lib.bench.machines import (
    InProcess,
    Machine,
    Pool,
    Refreshing,
    Rows,
    Strands,
    batches,
)
from heclstm_lib.compiler.forms import Network
from heclstm_lib.compiler.planner import Candidate, Task, choose_plan
from heclstm_lib.errors import BenchError
from heclstm_lib.evaluation.cost_model import load_costs
from heclstm_lib.evaluation.floor import measure_floor
from heclstm_lib.he.client import Client
from heclstm_lib.he.packing import Vector
from heclstm_lib.he.params import STANDARD_2018
from heclstm_lib.he.store import write_plan
from heclstm_lib.models.cnn import FoldedCnn
from heclstm_lib.models.step import FoldedStep
from heclstm_lib.paths import cache_root, encoded_cache

OPTIONS: dict[str, Any] = {
    "batch": 1,
    "workers": 1,
    "processes": 1,
    "sequences": None,
    "choice": 0,
    "memory_gb": 12.0,
    "latency_s": math.inf,
    "precision_bits": 12.0,
    "poly_degree": None,
    "refresh": False,
}
ROWS_REPORTED = 16
MATRIX_KINDS = ("rotate", "multiply_plain", "weighted_sum")
"""In the LSTM's steps these are the products by the recurrent matrices."""


def case_network(case: Arrays) -> tuple[Network, Vector]:
    """The folded network of a case, and its inputs [n, T, *shape]."""
    kind = str(case["kind"])
    if kind == "cnn":
        dense = ((case["dense1"], case["bias1"]), (case["dense2"], case["bias2"]))
        size, stride = int(case["image_size"]), int(case["stride"])
        network: Network = FoldedCnn(size, stride, case["conv_weight"], case["conv_bias"], dense)
        return network, case["images"][:, None]
    if kind == "lstm_step":
        values = np.concatenate([case["x"], case["h"], case["c"]], axis=1)
        step = FoldedStep.from_coefficients(
            case["gate_input"], case["gate_recurrent"], case["gate_bias"],
            case["gate_coefficients"], case["cell_coefficients"],
        )  # fmt: skip
        return step, values[:, None]
    return folded_network(case), case["frames"]


class Ours:
    """One case, planned, with keys and encoded model; both parties live in this process."""

    def __init__(self, case: Arrays, options: dict[str, Any], work: Path) -> None:
        unknown = sorted(set(options) - set(OPTIONS))
        if unknown:
            raise BenchError(f"ours: unknown option(s) {unknown}; there are: {', '.join(OPTIONS)}.")
        self.options, self.work = OPTIONS | options, work
        network, values = case_network(case)
        rows = np.arange(self.options["batch"]) % len(values)
        self.values, self.expected = values[rows], case["expected"][rows]
        self.costs = load_costs(cache_root())
        self.candidate = self._choose(network)
        plan = self.plan = self.candidate.plan
        write_plan(plan, work / "plan.npz")
        self.client = Client(plan.signature)
        self.client.write_public_bundle(work / "public.bundle")
        self.machine = self._machine()

    def _choose(self, network: Network) -> Candidate:
        """The planner's choice, or one of its usable runners-up."""
        options = self.options
        task = Task(
            options["batch"], options["sequences"], options["workers"],
            options["memory_gb"] * 1e9, options["latency_s"], options["precision_bits"],
            options["refresh"],
        )  # fmt: skip
        degree = options["poly_degree"]
        degrees = tuple(STANDARD_2018) if degree is None else (degree,)
        cost = self.costs.seconds
        choice = choose_plan(network, task, cost, degrees, frames=self.values[:4])
        usable = [choice.chosen, *(one for one in choice.runners_up if not one.why_not)]
        if options["choice"] >= len(usable):
            raise BenchError(f"ours: choice {options['choice']}, but only {len(usable)} plans fit.")
        return usable[options["choice"]]

    def _machine(self) -> Machine:
        plan, bundle, path = self.plan, self.work / "public.bundle", self.work / "plan.npz"
        if self.options["refresh"]:
            return Refreshing(plan, bundle, self.client)
        if self.options["processes"] > 1:
            return Strands(plan, path, bundle, self.options["processes"])
        if self.options["workers"] > 1:
            return Pool(path, bundle, self.options["workers"])
        cache = encoded_cache() if self.candidate.streamed else None
        return InProcess(plan, bundle, cache)

    def facts(self) -> dict[str, Any]:
        """What is known before a run; request and response are sized by the plan."""
        plan, params = self.plan, self.plan.params
        requests = len(list(batches(len(self.values), plan.layout.sequences)))
        response = len(plan.results) * params.ciphertext_bytes(plan.ops[plan.results[0]].level)
        return {
            "parameters": {"N": params.poly_degree, "log2(QP)": params.total_bits}
            | {"levels": params.levels, "scale_bits": params.scale_bits}
            | {"depth": plan.depth, "operations": len(plan.ops), "rotations": len(plan.rotations)}
            | {"costs": self.costs.model(params).source}
            | {"predicted_s": requests * self.candidate.seconds},
            "key_bytes": plan.key_bytes(),
            "upload_bytes": requests * plan.upload_bytes(),
            "response_bytes": requests * response,
            "layout": self.candidate.name,
            "interactive": self.options["refresh"],
            "batch": len(self.values),
        }

    def run(self) -> dict[str, Any]:
        """Encrypt, evaluate, decrypt, compare."""
        pieces = list(batches(len(self.values), self.plan.layout.sequences))
        requests = [self.work / f"request-{piece.start}" for piece in pieces]
        responses = [self.work / f"response-{piece.start}" for piece in pieces]
        begin = time.perf_counter()
        for piece, request in zip(pieces, requests, strict=True):
            self.client.encrypt_batch(self.values[piece], request)
        encrypted = time.perf_counter()
        evaluation = self.machine.evaluate(requests, responses)
        evaluated = time.perf_counter()
        outputs = np.concatenate([self.client.decrypt_outputs(path) for path in responses])
        decrypted = time.perf_counter()
        for path in self.work.glob("re*-*"):  # requests, responses and refreshes
            path.unlink()
        return (
            {
                "encrypt_s": encrypted - begin,
                "server_s": evaluation.seconds,
                "decrypt_s": decrypted - evaluated,
                "outputs": outputs[:ROWS_REPORTED].tolist(),
                "max_error": float(np.abs(outputs - self.expected).max()),
                "peak_rss_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
            }
            | time_shares(evaluation.rows)
            | evaluation.extra
        )

    def floor(self) -> dict[str, Any]:
        """The plan's floor for the whole batch, with costs measured now."""
        requests = len(list(batches(len(self.values), self.plan.layout.sequences)))
        table = measure_floor(self.plan).set_index("kind")["floor_s"] * requests
        return {"floor_s": float(table.sum()), "floor_by_kind": table.to_dict()}


def time_shares(rows: Rows) -> dict[str, Any]:
    """Seconds by kind (inputs as `load`) and by layer, and those of the recurrent matrices."""
    kinds: dict[str, float] = defaultdict(float)
    layers: dict[str, float] = defaultdict(float)
    matrix = 0.0
    for row in rows:
        kinds["load" if row["kind"] == "input" else row["kind"]] += row["seconds"]
        layers[row["layer"]] += row["seconds"]
        if row["layer"].startswith(("lstm.t", "backward_lstm.t")) and row["kind"] in MATRIX_KINDS:
            matrix += row["seconds"]
    return {"time_by_kind": kinds, "time_by_layer": layers, "matrix_s": matrix}
