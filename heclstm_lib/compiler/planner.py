"""Choose how a network is packed: the plan that takes the least predicted time for its task.

Candidates differ in how many sequences share a ciphertext, from one (latency layout: features and
frames fill the slots) to one feature a ciphertext (throughput layout: sequences fill them), in the
form of the gate inputs and in the ring degree. The predicted time is the floor: operations at each
level times the cost of that primitive there, on this machine.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from heclstm_lib.compiler.forms import Form, Network, forms
from heclstm_lib.errors import PlanError
from heclstm_lib.he.footprint import evaluation_bytes
from heclstm_lib.he.packing import Vector, power_of_two
from heclstm_lib.he.params import STANDARD_2018, CkksParameters
from heclstm_lib.he.plan import Plan
from heclstm_lib.he.simulate import Simulation, evaluate_simulated

Cost = Callable[[str, int, CkksParameters], float]
"""Seconds of one unit of a primitive (kind, level) under some parameters."""


@dataclass(frozen=True)
class Task:
    """What is asked of a plan: `sequences` to evaluate on `workers` processes within limits.

    `batch` fixes how many are evaluated together (a power of two), else the planner chooses.
    `memory_bytes` is for all workers together, `latency_s` for one batch. Outputs must keep
    `precision_bits` bits as simulated. With `refresh` the client re-encrypts the state on the way;
    without `open_end` every chain has a closed end (`compiler.chain`).
    """

    sequences: int
    batch: int | None = None
    workers: int = 1
    memory_bytes: float = 12e9
    latency_s: float = math.inf
    precision_bits: float = 12.0
    refresh: bool = False
    open_end: bool = True

    def __post_init__(self) -> None:
        for name in ("sequences", "workers", "memory_bytes", "latency_s"):
            if not getattr(self, name) > 0:
                raise PlanError(f"task: {name} must be positive, got {getattr(self, name)}.")


@dataclass(frozen=True)
class Candidate:
    """A plan with its predicted seconds a batch and bytes a worker; `why_not` says what rules it
    out. `streamed` plaintexts are read from the cache on every use, not held in memory.
    """

    plan: Plan
    form: str
    seconds: float
    memory_bytes: float
    streamed: bool = False
    total_s: float = math.inf
    why_not: str = ""

    @property
    def name(self) -> str:
        """Short and unique among the candidates of a network."""
        return f"N={self.plan.params.poly_degree} x{self.plan.layout.sequences}, {self.form}"

    @property
    def seconds_per_sequence(self) -> float:
        """Predicted server seconds of one process a sequence, in a full batch."""
        return self.seconds / self.plan.layout.sequences


@dataclass(frozen=True)
class Choice:
    """The chosen candidate with its simulation, and the others: usable by time, then ruled out."""

    chosen: Candidate
    simulation: Simulation
    runners_up: tuple[Candidate, ...]


def predicted_seconds(plan: Plan, cost: Cost) -> float:
    """The floor of a plan: work at each level times the cost of the primitive there."""
    return sum(
        units * cost(kind, level, plan.params) for (kind, level), units in plan.work().items()
    )


def choose_plan(
    network: Network,
    task: Task,
    cost: Cost,
    degrees: Sequence[int] = tuple(STANDARD_2018),
    frames: Vector | None = None,
    **bits: int | None,
) -> Choice:
    """The candidate with the least predicted time for the whole task, within its limits.

    frames [n, T, *shape], normalised, are what the precision is simulated on (standard normal
    values without). `bits` fixes scale_bits, first_bits or special_bits. Raises PlanError when no
    candidate is left, with the reasons.
    """
    made = [_judged(one, task) for one in candidates(network, task, cost, degrees, **bits)]
    usable = sorted((one for one in made if not one.why_not), key=lambda one: one.total_s)
    ruled_out = [one for one in made if one.why_not]
    for place, candidate in enumerate(usable):
        simulation, why_not = _simulated(candidate, task, frames)
        if simulation is not None and not why_not:
            others = (*usable[:place], *usable[place + 1 :], *ruled_out)
            return Choice(candidate, simulation, others)
        usable[place] = replace(candidate, why_not=why_not)
    reasons = "; ".join(f"{one.name}: {one.why_not}" for one in [*usable, *ruled_out])
    raise PlanError(
        f"no plan for {task}: {reasons or 'no ring degree has enough levels'}. Allow more memory "
        "or time, fewer frames, quadratic gates or a larger ring degree."
    )


def candidates(
    network: Network,
    task: Task,
    cost: Cost,
    degrees: Sequence[int],
    **bits: int | None,
) -> Iterator[Candidate]:
    """Every layout that compiles, for batches of up to the task's sequences."""
    largest = power_of_two(task.sequences)
    sizes = [1 << i for i in range(largest.bit_length())] if task.batch is None else [task.batch]
    for form in _all_forms(network, degrees, task, **bits):
        for sequences in sizes:
            plan = _compiled(form, sequences)
            if plan is not None:
                memory = evaluation_bytes(plan, held_plaintexts=False)
                yield Candidate(plan, form.name, predicted_seconds(plan, cost), memory)


def _all_forms(
    network: Network, degrees: Sequence[int], task: Task, **bits: int | None
) -> Iterator[Form]:
    """Forms of every ring degree with enough levels; of a single one the error says what lacks."""
    for degree in degrees:
        try:
            yield from forms(network, degree, task.refresh, task.open_end, **bits)
        except PlanError:
            if len(degrees) == 1:
                raise


def _compiled(form: Form, sequences: int) -> Plan | None:
    """The plan, or None where the form has no layout for so many sequences."""
    try:
        plan = form.compile(sequences)
    except PlanError:
        return None
    return plan if plan.depth == form.params.levels else None  # the form wastes a level here


def _judged(candidate: Candidate, task: Task) -> Candidate:
    """With plaintexts held or streamed, the time of the whole task, and what rules it out."""
    plan, allowed = candidate.plan, task.memory_bytes / task.workers
    held = candidate.memory_bytes + plan.plaintext_bytes()
    streamed = held > allowed
    memory = candidate.memory_bytes if streamed else held
    rounds = math.ceil(math.ceil(task.sequences / plan.layout.sequences) / task.workers)
    why_not = ""
    if memory > allowed:
        why_not = f"needs {memory / 1e9:.1f} GB a worker, {allowed / 1e9:.1f} GB are allowed"
    elif candidate.seconds > task.latency_s:
        why_not = f"takes {candidate.seconds:.3g} s a batch, {task.latency_s:.3g} s are allowed"
    return replace(
        candidate,
        memory_bytes=memory,
        streamed=streamed,
        total_s=rounds * candidate.seconds,
        why_not=why_not,
    )


def _simulated(
    candidate: Candidate, task: Task, frames: Vector | None
) -> tuple[Simulation | None, str]:
    """The simulated outputs, and why they will not do ("" when they will)."""
    if frames is None:
        inputs = candidate.plan.inputs
        frames = np.random.default_rng(0).normal(size=(4, inputs.frames, *inputs.shape))
    try:
        simulation = evaluate_simulated(candidate.plan, frames[: candidate.plan.layout.sequences])
    except PlanError as error:
        return None, str(error)
    bits = simulation.precision_bits
    if bits < task.precision_bits:
        return simulation, f"{bits:.1f} bits predicted, {task.precision_bits:g} are asked"
    return simulation, ""
