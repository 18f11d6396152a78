"""Measured cost of every primitive at every level, and the floor of a plan made of them.

The floor is sum over the plan of (operations of a kind at a level x that primitive's median cost):
what the plan would take if nothing but SEAL's own work took time.
"""

from __future__ import annotations

import hashlib
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from heclstm_lib.files import replacing
from heclstm_lib.he.keys import SecretKeys
from heclstm_lib.he.params import CkksParameters
from heclstm_lib.he.plan import KINDS, Op, Plan
from heclstm_lib.he.seal import TENSEAL_VERSION, SealBackend, from_bytes, load_context
from heclstm_lib.provenance import cpu_model

MEASURED = tuple(kind for kind in KINDS if kind != "input")


def measure_primitives(params: CkksParameters, repeats: int = 5) -> pd.DataFrame:
    """Median seconds of each primitive at each level: columns kind, level, seconds.

    Plaintext products use an encoded plaintext, as an evaluation after its first batch does.
    """
    bench = _Bench(params)
    rows = []
    for level in range(params.levels, -1, -1):
        for kind, run in bench.calls(level).items():
            run()  # warm: encodes the plaintext, touches the memory
            seconds = statistics.median(_timed(run) for _ in range(repeats))
            rows.append({"kind": kind, "level": level, "seconds": seconds})
    return pd.DataFrame(rows)


def load_primitives(params: CkksParameters, cache: Path, repeats: int = 5) -> pd.DataFrame:
    """The costs on this processor, measured once and kept in `cache` as Parquet."""
    identity = f"{cpu_model()}|{TENSEAL_VERSION}|{params}"
    path = cache / f"primitives-{hashlib.sha256(identity.encode()).hexdigest()[:16]}.parquet"
    if path.is_file():
        return pd.read_parquet(path)
    table = measure_primitives(params, repeats)
    with replacing(path) as part:
        table.to_parquet(part, index=False)
    return table


def floor_table(plan: Plan, primitives: pd.DataFrame) -> pd.DataFrame:
    """One row a kind: operations in the plan and the seconds they cannot go below."""
    cost = primitives.set_index(["kind", "level"])["seconds"]
    rows = [
        {"kind": kind, "operations": count, "floor_s": count * cost[(kind, level)]}
        for (kind, level), count in plan.counts().items()
        if kind != "input"
    ]
    return pd.DataFrame(rows).groupby("kind", sort=False).sum().reset_index()


class _Bench:
    """One ciphertext per level and the backend's calls on it."""

    def __init__(self, params: CkksParameters) -> None:
        self.params = params
        keys, context = SecretKeys(params), load_context(params)
        _, relin, galois = keys.evaluation_keys((1,))
        self.vector = np.random.default_rng(0).normal(size=params.slots)
        self.fresh = from_bytes("Ciphertext", keys.encrypt(self.vector), context)
        self.backend = SealBackend(
            context,
            from_bytes("RelinKeys", relin, context),
            {1: from_bytes("GaloisKeys", galois, context)},
        )

    def calls(self, level: int) -> dict[str, Callable[[], Any]]:
        """A call of each primitive that exists at `level`."""
        params, backend, scale = self.params, self.backend, self.params.scale
        number = level * len(MEASURED)
        ops = {
            kind: Op(number + i, kind, (), "bench", level, scale, constant_scale=scale)
            for i, kind in enumerate(MEASURED)
        }

        def op(kind: str, **changes: Any) -> Op:
            return Op(**(vars(ops[kind]) | changes))

        value = backend.mod_switch(self.fresh, op("mod_switch"))
        made: dict[str, Callable[[], Any]] = {
            "add": lambda: backend.add(value, value, ops["add"]),
            "add_plain": lambda: backend.add_plain(value, self.vector, ops["add_plain"]),
            "negate": lambda: backend.negate(value, ops["negate"]),
            "rotate": lambda: backend.rotate(value, op("rotate", step=1)),
        }
        if level > 0:
            made["mod_switch"] = lambda: backend.mod_switch(
                value, op("mod_switch", level=level - 1)
            )
            square = op("square", scale=scale**2, size=3)
            product = backend.square(value, square)
            relin = op("relinearise", scale=scale**2)
            wide = backend.relinearise(product, relin)
            down = op("rescale", level=level - 1, scale=scale**2 / params.primes[level])
            made |= {
                "multiply_plain": lambda: backend.multiply_plain(
                    value, self.vector, op("multiply_plain", scale=scale**2)
                ),
                "multiply": lambda: backend.multiply(value, value, op("multiply", scale=scale**2)),
                "square": lambda: backend.square(value, square),
                "relinearise": lambda: backend.relinearise(product, relin),
                "rescale": lambda: backend.rescale(wide, down),
            }
        return made


def _timed(run: Callable[[], Any]) -> float:
    begin = time.perf_counter()
    run()
    return time.perf_counter() - begin
