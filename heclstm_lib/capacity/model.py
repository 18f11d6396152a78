"""The capacity model: what a workload takes on machines of a kind, in one layout.

Everything is a closed formula of facts that are measured (`layout`, `workload`), so that a table
over layouts and orders of magnitude takes milliseconds. What it leaves out: the hospitals' own
time, the price of traffic and of storage, and requests that arrive later than they could be taken.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from heclstm_lib.capacity.layout import Layout
from heclstm_lib.capacity.makespan import Load, makespan_s
from heclstm_lib.capacity.workload import GB, Machine, Workload

HOUR_S = 3600.0
MILLION = 1_000_000
MOST_MACHINES = 1 << 24


@dataclass(frozen=True)
class Estimate:
    """What one layout takes; `why_not` says why it cannot be done at all ("" when it can).

    `hours` is the time from the first request to the last response, `core_hours` what workers are
    at work, `machine_hours` what is paid. `filled` is the share of places in batches that hold a
    sequence. `moved` bytes are those of all machines' networks together, `stored_bytes` requests,
    responses and bundles if all are kept. `binds` names what would have to change first.
    """

    layout: Layout
    batches: int
    filled: float
    workers_per_machine: int
    machines: int = 0
    hours: float = math.inf
    network_hours: float = 0.0
    core_hours: float = math.inf
    machine_hours: float = math.inf
    money: float = math.inf
    money_per_million: float = math.inf
    loads: int = 0
    in_bytes: float = 0.0
    out_bytes: float = 0.0
    stored_bytes: float = 0.0
    upload_per_sequence: float = 0.0
    binds: str = ""
    why_not: str = ""


def workers_on(machine: Machine, layout: Layout) -> int:
    """Workers of a layout that a machine holds: one a core, as far as memory goes."""
    memory = machine.memory_gb * GB
    return min(machine.cores, int(memory // layout.worker_bytes(memory)))


def load_of(workload: Workload, machine: Machine, layout: Layout, workers: int) -> Load:
    """What a fleet with `workers` workers on each machine has to do."""
    slow = machine.slowdown(workers) / machine.speed
    return Load(
        batches=workload.batches(layout.together),
        groups=workload.groups,
        batch_s=layout.batch_on(machine.memory_gb * GB) * slow,
        load_s=layout.load_s * slow,
        start_s=layout.start_s / machine.speed + layout.first_s * slow,
        spread=layout.spread,
        failures_s=machine.failures_per_hour / HOUR_S,
        restart_s=machine.restart_s,
    )


def estimate(workload: Workload, machine: Machine, layout: Layout, machines: int) -> Estimate:
    """What a workload takes on so many machines; `deadline_s` only decides `why_not`."""
    blank, why_not = _blank(workload, machine, layout)
    if why_not:
        return replace(blank, why_not=why_not)
    workers = min(blank.workers_per_machine, blank.batches)  # no more than there is work for
    load = load_of(workload, machine, layout, workers)
    compute_s = makespan_s(load, machines * workers)
    moved_in, moved_out = _moved(workload, layout, load, machines)
    rate = machines * machine.network_gbit_s * 1e9 / 8
    network_s = max(moved_in, moved_out) / rate
    seconds = max(compute_s, network_s)
    busy_s = load.batches * load.mean_batch_s + load.loads(machines * workers) * load.load_s
    hours = seconds / HOUR_S
    money = machines * hours * machine.price_per_hour
    made = replace(
        blank,
        machines=machines,
        hours=hours,
        network_hours=network_s / HOUR_S,
        core_hours=busy_s / HOUR_S,
        machine_hours=machines * hours,
        money=money,
        money_per_million=money / workload.sequences * MILLION,
        loads=load.loads(machines * workers),
        in_bytes=moved_in,
        out_bytes=moved_out,
    )
    late = seconds > workload.deadline_s
    reason = f"takes {hours:.3g} h, {workload.deadline_s / HOUR_S:.3g} h are allowed"
    return replace(made, binds=_binding(made, machine, load), why_not=reason if late else "")


def _blank(workload: Workload, machine: Machine, layout: Layout) -> tuple[Estimate, str]:
    """What does not depend on the number of machines, and what rules the layout out."""
    batches, workers = workload.batches(layout.together), workers_on(machine, layout)
    requests = batches * layout.request_bytes + workload.senders * layout.bundle_bytes
    made = Estimate(
        layout,
        batches,
        workload.sequences / (batches * layout.together),
        workers,
        stored_bytes=requests + batches * layout.response_bytes,
        upload_per_sequence=requests / workload.sequences,
    )
    needed = layout.worker_bytes(machine.memory_gb * GB) / GB
    lacks = f"a worker needs {needed:.1f} GB, a machine has {machine.memory_gb:g} GB"
    return made, "" if workers else lacks


def _moved(workload: Workload, layout: Layout, load: Load, machines: int) -> tuple[float, float]:
    """Bytes into and out of all machines: a bundle goes to each machine that works on its group."""
    bundles = min(load.batches, workload.groups + machines - 1)
    moved_in = load.batches * layout.request_bytes + bundles * layout.bundle_bytes
    return moved_in, load.batches * layout.response_bytes


def _binding(made: Estimate, machine: Machine, load: Load) -> str:
    """What would have to change first to make it quicker or cheaper."""
    if made.network_hours >= made.hours:
        return "network"
    if made.stored_bytes > made.machines * machine.disk_gb * GB:
        return "disk"
    loading = made.loads * load.load_s / HOUR_S
    if loading > made.core_hours / 2:
        return "loading keys"
    if made.filled < 0.5:
        return "empty places"
    workers = made.machines * min(made.workers_per_machine, made.batches)
    if made.core_hours < 0.5 * workers * made.hours:
        return "too few batches"
    return "memory" if made.workers_per_machine < machine.cores else "cores"


def machines_for_deadline(workload: Workload, machine: Machine, layout: Layout) -> Estimate:
    """The fewest machines that end within the workload's deadline; `why_not` when none do."""
    low, high = 0, 1
    while (made := estimate(workload, machine, layout, high)).why_not:
        if not made.workers_per_machine or high >= _most(made):
            return made
        low, high = high, min(2 * high, _most(made))
    while high - low > 1:
        middle = (low + high) // 2
        found = estimate(workload, machine, layout, middle)
        low, high, made = (middle, high, made) if found.why_not else (low, middle, found)
    return made


def _most(made: Estimate) -> int:
    """More machines than batches to begin with are of no use."""
    return min(MOST_MACHINES, math.ceil(made.batches / made.workers_per_machine))


def cheapest(estimates: list[Estimate]) -> Estimate | None:
    """The least money of those that can be done; None when none can."""
    possible = [one for one in estimates if not one.why_not]
    return min(possible, key=lambda one: one.money, default=None)
