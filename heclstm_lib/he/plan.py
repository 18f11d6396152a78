"""The plan: every operation in order, with level, scale and rotation, before any key exists."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

import numpy as np

from heclstm_lib.errors import DepthBudgetExceeded, PlanError
from heclstm_lib.he.packing import Layout, Vector
from heclstm_lib.he.params import CkksParameters, check_security, security_report

KINDS = (
    "input",
    "add",
    "add_plain",
    "negate",
    "multiply_plain",
    "multiply",
    "square",
    "relinearise",
    "rescale",
    "mod_switch",
    "rotate",
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
class InputSpec:
    """How the client lays frames [n, T, C, H, W] out: one ciphertext per (channel, dy, dx) tap.

    content [F] is the convolution feature (channel_out * positions + position) of each place.
    """

    frames: int
    channels: int
    image_size: int
    kernel_size: int
    stride: int
    content: tuple[int, ...]

    @property
    def grid(self) -> int:
        """Positions of the convolution along one axis."""
        return (self.image_size - self.kernel_size) // self.stride + 1

    @property
    def taps(self) -> int:
        """Ciphertexts per batch."""
        return self.channels * self.kernel_size**2


@dataclass(frozen=True)
class Signature:
    """What the client needs of a plan: no operation, no weight of the model."""

    params: CkksParameters
    layout: Layout
    inputs: InputSpec
    rotations: tuple[int, ...]
    digest: str


@dataclass(frozen=True)
class Plan:
    """Operations over CKKS parameters and a layout; `constants` are the plaintext vectors [S]."""

    params: CkksParameters
    layout: Layout
    inputs: InputSpec
    ops: tuple[Op, ...]
    constants: tuple[Vector, ...]
    output: int

    @cached_property
    def rotations(self) -> tuple[int, ...]:
        """The distinct rotation steps: the Galois keys the server needs."""
        return tuple(sorted({op.step for op in self.ops if op.kind == "rotate"}))

    @cached_property
    def digest(self) -> str:
        """sha256 over operations, parameters, layout and constants."""
        state = hashlib.sha256(json.dumps(self.to_dict(), sort_keys=True).encode())
        for vector in self.constants:
            state.update(np.ascontiguousarray(vector).tobytes())
        return state.hexdigest()

    @property
    def signature(self) -> Signature:
        """The part of the plan that the client gets."""
        return Signature(self.params, self.layout, self.inputs, self.rotations, self.digest)

    @property
    def depth(self) -> int:
        """Levels used from the fresh input to the result."""
        return self.params.levels - self.ops[self.output].level

    def counts(self) -> Counter[tuple[str, int]]:
        """Operations by (kind, level they work at); rescale and mod_switch count at the input's."""
        return Counter((op.kind, self.working_level(op)) for op in self.ops)

    def working_level(self, op: Op) -> int:
        """The level whose primes the operation touches."""
        return self.ops[op.args[0]].level if op.args else op.level

    def key_bytes(self) -> int:
        """Memory of the evaluation keys: one relinearisation key and the Galois keys."""
        return (len(self.rotations) + 1) * self.params.switching_key_bytes()

    def plaintext_bytes(self) -> int:
        """Memory of the encoded plaintexts: N coefficients of 8 bytes a prime, each kept once."""
        encoded = [op for op in self.ops if op.constant is not None]
        kept = {(op.constant, op.level, op.constant_scale) for op in encoded}
        return sum(self.params.ciphertext_bytes(level, components=1) for _, level, _ in kept)

    def upload_bytes(self) -> int:
        """Bytes of one batch of fresh seeded input ciphertexts."""
        return self.inputs.taps * self.params.fresh_bytes()

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready plan without the plaintext vectors."""
        return {
            "params": asdict(self.params),
            "layout": asdict(self.layout),
            "inputs": asdict(self.inputs),
            "ops": [asdict(op) for op in self.ops],
            "output": self.output,
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
            "input_ciphertexts": self.inputs.taps,
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
        for op in self.ops:
            row = rows.setdefault(
                op.layer,
                {"layer": op.layer, "level_in": self.working_level(op), "level_out": op.level}
                | {"scale_bits": 0.0}
                | dict.fromkeys(("multiply_plain", "multiply", "rotate", "rescale"), 0),
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


def check_signature(signature: Signature | Plan) -> None:
    """Raise PlanError unless parameters, layout and inputs speak of the same slots."""
    layout, places = signature.layout, len(signature.inputs.content)
    if layout.slots != signature.params.slots or places != layout.features:
        raise PlanError(
            f"layout of {layout.slots} slots with {places} input places, expected "
            f"{signature.params.slots} slots (N/2) and {layout.features} places. Plan again."
        )


def check_plan(plan: Plan, key_budget_bytes: float = 16e9) -> dict[str, Any]:
    """Check depth, scales, security and key memory without keys; return `plan.summary()`.

    Raises SecurityError, DepthBudgetExceeded or PlanError.
    """
    check_security(plan.params)
    check_signature(plan)
    if plan.key_bytes() > key_budget_bytes:
        raise PlanError(
            f"the {len(plan.rotations) + 1} evaluation keys take {plan.key_bytes() / 1e9:.2f} GB, "
            f"at most {key_budget_bytes / 1e9:.2f} GB are allowed. Use fewer levels, a smaller N "
            "or network, or raise key_budget_bytes."
        )
    for op in plan.ops:
        where = f"layer '{op.layer}', operation {op.index} ({op.kind})"
        if op.level < 0:
            raise DepthBudgetExceeded(
                f"{where} needs {-op.level} more level(s) than the chain of {plan.params.levels} "
                "has. Use fewer frames, quadratic gates or a larger N."
            )
        capacity = plan.params.first_bits + op.level * plan.params.scale_bits
        if np.log2(op.scale) >= capacity:
            raise PlanError(
                f"{where}: scale 2^{np.log2(op.scale):.1f} exceeds the {capacity} bits of the "
                f"modulus left at level {op.level}. Rescale earlier or use smaller scale_bits."
            )
        if op.kind in ("add", "multiply"):
            left, right = (plan.ops[arg] for arg in op.args)
            if left.level != right.level:
                raise PlanError(f"{where}: operand levels {left.level} and {right.level} differ.")
            if op.kind == "add" and abs(left.scale / right.scale - 1) > 1e-9:
                raise PlanError(f"{where}: scales {left.scale:.6e} and {right.scale:.6e} differ.")
    return plan.summary()
