"""What must hold of a plan before any key is made: security, depth, scales, memory of the keys."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from heclstm_lib.errors import DepthBudgetExceeded, PlanError
from heclstm_lib.he.masking import check_masks
from heclstm_lib.he.params import check_security
from heclstm_lib.he.plan import Op, Plan
from heclstm_lib.he.signature import InputRange, Signature


def check_signature(signature: Signature | Plan) -> None:
    """Raise PlanError unless parameters, layout, inputs and outputs speak of the same slots."""
    layout = signature.layout
    if layout.slots != signature.params.slots:
        raise PlanError(
            f"layout of {layout.slots} slots, expected {signature.params.slots} (N/2). Plan again."
        )
    values = math.prod(signature.inputs.shape)
    for kind, rows, limit in (
        ("input", signature.inputs.patterns, values),
        ("output", signature.outputs.places, math.inf),
    ):
        for number, row in enumerate(rows):
            if not row or layout.features % len(row) or not all(-1 <= i < limit for i in row):
                highest = max(row, default=-1)
                raise PlanError(
                    f"{kind} {number}: {len(row)} places with indices up to {highest}; "
                    f"expected a divisor of {layout.features} places with indices from -1 up to "
                    f"below {limit}. Plan again."
                )


def check_channels(signature: Signature) -> None:
    """Raise PlanError unless range and normalisation, if known, are finite pairs by channel.

    The lowest value must not exceed the highest, deviations must be above 0.
    """
    channels = signature.inputs.shape[0]
    _check_pairs("input_range", signature.input_range, channels, lambda low, high: low <= high)
    _check_pairs("normalisation", signature.normalisation, channels, lambda _mean, std: std > 0)


def _check_pairs(
    name: str, rows: InputRange | None, channels: int, fit: Callable[[float, float], bool]
) -> None:
    if rows is None:
        return
    finite = all(math.isfinite(one) and math.isfinite(other) for one, other in rows)
    if len(rows) != channels or not finite or not all(fit(one, other) for one, other in rows):
        raise PlanError(
            f"{name}: {str(rows)[:200]}, expected a finite pair for each of {channels} channel(s). "
            "Run the conversion notebook (03) again."
        )


def check_plan(plan: Plan, key_budget_bytes: float = 16e9) -> dict[str, Any]:
    """Verify a plan and return `plan.summary()`. Raises as `verify_plan`."""
    verify_plan(plan, key_budget_bytes)
    return plan.summary()


def verify_plan(plan: Plan, key_budget_bytes: float = 16e9) -> None:
    """Check depth, scales, security and key memory without keys.

    Raises SecurityError, DepthBudgetExceeded or PlanError.
    """
    check_security(plan.params)
    check_signature(plan)
    check_masks(plan.params, plan.refreshes)
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
        capacity = sum(plan.params.coeff_bits[: op.level + 1])
        if np.log2(op.scale) >= capacity:
            raise PlanError(
                f"{where}: scale 2^{np.log2(op.scale):.1f} exceeds the {capacity} bits of the "
                f"modulus left at level {op.level}. Rescale earlier or use smaller scale_bits."
            )
        if op.kind in ("add", "multiply", "weighted_sum"):
            _check_operands(op, [plan.ops[arg] for arg in op.args], where)


def _check_operands(op: Op, operands: list[Op], where: str) -> None:
    first = operands[0]
    for other in operands[1:]:
        if first.level != other.level:
            raise PlanError(f"{where}: operand levels {first.level} and {other.level} differ.")
        if op.kind != "multiply" and abs(first.scale / other.scale - 1) > 1e-9:
            raise PlanError(f"{where}: scales {first.scale:.6e} and {other.scale:.6e} differ.")
