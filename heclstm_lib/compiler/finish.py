"""The end of every compiler: what its builder holds becomes a plan, and is checked."""

from __future__ import annotations

from collections.abc import Iterable

from heclstm_lib.compiler.builder import Builder
from heclstm_lib.he.check import verify_plan
from heclstm_lib.he.plan import Op, Plan
from heclstm_lib.he.signature import InputSpec, OutputSpec


def finish_plan(
    builder: Builder,
    frames: int,
    shape: tuple[int, ...],
    places: Iterable[Iterable[int]],
    results: Iterable[Op],
) -> Plan:
    """The checked plan of what a builder holds: values [n, frames, *shape] to `results`.

    `places` are those of OutputSpec. Raises as `check_plan`.
    """
    plan = Plan(
        builder.params, builder.layout, InputSpec(frames, shape, tuple(builder.patterns)),
        OutputSpec(tuple(tuple(int(place) for place in row) for row in places)),
        tuple(builder.ops), tuple(builder.constants), tuple(op.index for op in results),
    )  # fmt: skip
    verify_plan(plan)
    return plan
