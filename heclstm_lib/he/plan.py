"""The plan: every operation in order, with level, scale and rotation, before any key exists."""

from __future__ import annotations

import hashlib
import json
from collections import Counter, defaultdict
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from heclstm_lib.he.packing import Layout, Vector
from heclstm_lib.he.params import CkksParameters, security_report
from heclstm_lib.he.signature import InputSpec, OutputSpec, Refresh, Signature

KINDS = (
    "input",
    "add",
    "add_plain",
    "negate",
    "multiply_plain",
    "weighted_sum",
    "multiply",
    "square",
    "relinearise",
    "rescale",
    "mod_switch",
    "rotate",
    "refresh",
)


@dataclass(frozen=True)
class Op:
    """One operation; its result is value number `index`.

    `level` and `scale` are the result's; `size` its number of polynomials (3 before
    relinearisation). `constant` numbers the plaintext vector, encoded at `constant_scale`;
    `step` is a rotation to the left, in slots.
    """

    index: int
    kind: str
    args: tuple[int, ...]
    layer: str
    level: int
    scale: float
    size: int = 2
    step: int = 0
    constant: int | None = None
    constant_scale: float = 0.0


@dataclass(frozen=True)
class Plan:
    """Operations over CKKS parameters and a layout; `results` are the indices of the outputs.

    `constants` are arrays [P, 1 or T] that `layout.expand` makes slots of, or the weights [n] of a
    weighted_sum.
    """

    params: CkksParameters
    layout: Layout
    inputs: InputSpec
    outputs: OutputSpec
    ops: tuple[Op, ...]
    constants: tuple[Vector, ...]
    results: tuple[int, ...]

    @cached_property
    def rotations(self) -> tuple[int, ...]:
        """The distinct rotation steps: the Galois keys the server needs."""
        return tuple(sorted({op.step for op in self.ops if op.kind == "rotate"}))

    @cached_property
    def refreshes(self) -> tuple[Refresh, ...]:
        """What the client re-encrypts, in order: a round trip each."""
        ops = [op for op in self.ops if op.kind == "refresh"]
        return tuple(Refresh(self.working_level(op), op.level, op.scale) for op in ops)

    @cached_property
    def digest(self) -> str:
        """sha256 over operations, parameters, layout and constants."""
        state = hashlib.sha256(json.dumps(self.to_dict(), sort_keys=True).encode())
        for vector in self.constants:
            state.update(repr(vector.shape).encode() + np.ascontiguousarray(vector).tobytes())
        return state.hexdigest()

    @property
    def signature(self) -> Signature:
        """The part of the plan that the client gets."""
        shared = (self.params, self.layout, self.inputs, self.outputs, self.rotations)
        return Signature(*shared, self.refreshes, self.digest)

    @property
    def depth(self) -> int:
        """Levels used from the fresh input to the result."""
        return self.params.levels - min(self.ops[index].level for index in self.results)

    def work(self) -> dict[tuple[str, int], float]:
        """Work by (kind, level worked at), in units of one such operation on two polynomials.

        A weighted_sum counts once an argument; linear operations on three polynomials count 1.5.
        """
        work: dict[tuple[str, int], float] = defaultdict(float)
        for op in self.ops:
            work[(op.kind, self.working_level(op))] += self.units(op)
        return {cell: units for cell, units in work.items() if units}

    def units(self, op: Op) -> float:
        """Work of one operation in units of its kind; a refresh is mostly the client's: none."""
        units = {"weighted_sum": float(len(op.args)), "refresh": 0.0}.get(op.kind, 1.0)
        if op.kind not in ("square", "multiply", "relinearise"):
            units *= op.size / 2
        return units

    def working_level(self, op: Op) -> int:
        """The level whose primes the operation touches."""
        return self.ops[op.args[0]].level if op.args else op.level

    def key_bytes(self) -> int:
        """Memory of the evaluation keys: one relinearisation key and the Galois keys."""
        return (len(self.rotations) + 1) * self.params.switching_key_bytes()

    def plaintext_bytes(self) -> int:
        """Memory of the encoded plaintexts: N coefficients of 8 bytes a prime, each kept once."""
        encoded = [op for op in self.ops if op.kind in ("add_plain", "multiply_plain")]
        kept = {(op.constant, op.level, op.constant_scale) for op in encoded}
        return sum(self.params.ciphertext_bytes(level, components=1) for _, level, _ in kept)

    def upload_bytes(self) -> int:
        """Bytes of one batch of fresh seeded input ciphertexts."""
        return self.inputs.count * self.params.fresh_bytes()

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready plan without the plaintext vectors."""
        return {
            "params": vars(self.params),
            "layout": vars(self.layout),
            "inputs": vars(self.inputs),
            "outputs": vars(self.outputs),
            "ops": [vars(op) for op in self.ops],
            "results": self.results,
        }

    def summary(self) -> dict[str, Any]:
        """What is known before any key exists: security, depth, rotations, bytes, counts."""
        kinds = Counter(op.kind for op in self.ops)
        return {
            "digest": self.digest,
            "security": security_report(self.params),
            "levels": self.params.levels,
            "depth": self.depth,
            "scale_bits": self.params.scale_bits,
            "slots": self.params.slots,
            "sequences_per_batch": self.layout.sequences,
            "input_ciphertexts": self.inputs.count,
            "galois_keys": len(self.rotations),
            "rotation_steps": list(self.rotations),
            "evaluation_key_bytes": self.key_bytes(),
            "plaintext_bytes": self.plaintext_bytes(),
            "upload_bytes_per_batch": self.upload_bytes(),
            "operations": {kind: kinds[kind] for kind in KINDS if kinds[kind]},
        }

    def layer_rows(self) -> list[dict[str, Any]]:
        """One row a layer, in order: levels in and out, scale, operation counts."""
        rows: dict[str, dict[str, Any]] = {}
        counted = ("multiply_plain", "weighted_sum", "multiply", "rotate", "rescale")
        for op in self.ops:
            row = rows.setdefault(
                op.layer,
                {"layer": op.layer, "level_in": self.working_level(op), "level_out": op.level}
                | {"scale_bits": 0.0}
                | dict.fromkeys(counted, 0),
            )
            row["level_out"] = min(row["level_out"], op.level)
            row["level_in"] = max(row["level_in"], op.level)
            row["scale_bits"] = round(float(np.log2(op.scale)), 3)
            kind = "multiply" if op.kind == "square" else op.kind
            if kind in row:
                row[kind] += 1
        return list(rows.values())

    def table(self) -> str:
        """The layers as a fixed-width text table."""
        rows = self.layer_rows()
        header = list(rows[0])
        lines = [[str(row[key]) for key in header] for row in rows]
        widths = [max(len(line[i]) for line in [header, *lines]) for i in range(len(header))]
        return "\n".join(
            "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
            for line in [header, *lines]
        )
