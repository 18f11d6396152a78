"""One plan for each number of sequences that may share ciphertexts: the layouts of a network."""

from __future__ import annotations

import math
from collections.abc import Sequence

from heclstm_lib.capacity.layout import Layout, layout_of
from heclstm_lib.compiler.forms import Network
from heclstm_lib.compiler.planner import Candidate, Cost, Task, choose_plan
from heclstm_lib.errors import PlanError
from heclstm_lib.he.packing import Vector


def plan_layouts(
    network: Network,
    poly_degree: int,
    cost: Cost,
    precision_bits: float,
    frames: Vector | None = None,
    together: Sequence[int] | None = None,
    open_end: bool = True,
    **bits: int | None,
) -> list[Candidate]:
    """The fastest plan of enough precision for `together` (1, 2, 4, .. N / 2) sequences a batch.

    Numbers without a plan are left out. `frames` and `bits` are those of `choose_plan`, `open_end`
    that of its task. Raises PlanError when there is none at all, with the reason for the first
    number.
    """
    found: list[Candidate] = []
    reason: PlanError | None = None
    for count in together or [1 << i for i in range(int(math.log2(poly_degree)))]:
        task = Task(
            count, count, memory_bytes=math.inf, precision_bits=precision_bits, open_end=open_end
        )
        try:
            choice = choose_plan(network, task, cost, (poly_degree,), frames, **bits)
        except PlanError as error:
            reason = reason or error
        else:
            found.append(choice.chosen)
    if reason is not None and not found:
        raise reason
    return found


def layouts_of(candidates: list[Candidate], cost: Cost, efficiency: float = 1.0) -> list[Layout]:
    """The capacity model's view of some plans."""
    return [layout_of(one.plan, cost, one.name, efficiency) for one in candidates]
