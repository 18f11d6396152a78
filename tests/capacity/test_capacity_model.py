"""The capacity model: by hand, in its units, and as it must grow."""

from __future__ import annotations

import dataclasses
import math

import pytest

from heclstm_lib.capacity.layout import Layout
from heclstm_lib.capacity.makespan import Load, makespan_s, with_failures
from heclstm_lib.capacity.model import (
    cheapest,
    estimate,
    machines_for_deadline,
    workers_on,
)
from heclstm_lib.capacity.tables import estimate_table
from heclstm_lib.capacity.workload import Machine, Workload
from heclstm_lib.errors import ConfigError

LAYOUT = Layout(
    "by hand", together=10, batch_s=100.0, load_s=50.0, memory_bytes=4e9,
    request_bytes=1e8, response_bytes=1e6, bundle_bytes=1e9, start_s=2.0, spread=0.0,
)  # fmt: skip
MACHINE = Machine(
    cores=4, memory_gb=16.0, network_gbit_s=8.0, price_per_hour=3.0, full_slowdown=1.2
)


def test_batches_hold_one_hospital_and_one_delivery() -> None:
    assert Workload(100, hospitals=1).batches(10) == 10
    assert Workload(101, hospitals=1).batches(10) == 11
    assert Workload(100, hospitals=8).batches(10) == 4 * 2 + 4 * 2  # 13 or 12 each
    assert Workload(100, hospitals=100).batches(10) == 100
    assert Workload(100, hospitals=1000).batches(10) == 100
    assert Workload(100, hospitals=1000).senders == 100
    assert Workload(120, hospitals=2, deliveries=30).batches(10) == 60
    assert Workload(120, hospitals=2, deliveries=30).senders == 2


@pytest.mark.parametrize("together", [1, 3, 8, 64])
@pytest.mark.parametrize("hospitals", [1, 7, 50, 999])
def test_batches_are_those_of_a_count_by_hand(together: int, hospitals: int) -> None:
    sizes = [500 // hospitals + (place < 500 % hospitals) for place in range(hospitals)]
    by_hand = sum(math.ceil(size / together) for size in sizes)
    assert Workload(500, hospitals).batches(together) == by_hand


def test_one_machine_by_hand() -> None:
    found = estimate(Workload(400), MACHINE, LAYOUT, machines=1)
    # 40 batches on 4 workers: 10 waves of 120 s (all cores at work), 60 s to load, 2 s to start
    assert found.workers_per_machine == 4
    assert found.hours * 3600 == pytest.approx(2 + 60 + 10 * 120)
    assert found.loads == 4
    assert found.core_hours * 3600 == pytest.approx(40 * 120 + 4 * 60)
    assert found.money == pytest.approx(3 * 1262 / 3600)
    assert found.money_per_million == pytest.approx(found.money * 2500)
    assert found.in_bytes == 40 * 1e8 + 1e9
    assert found.out_bytes == 40 * 1e6
    assert found.stored_bytes == 40 * 1.01e8 + 1e9
    assert found.upload_per_sequence == (40 * 1e8 + 1e9) / 400
    assert found.filled == 1 and found.binds == "cores" and not found.why_not


def test_memory_holds_fewer_workers_and_binds() -> None:
    small = dataclasses.replace(MACHINE, memory_gb=9.0)
    assert workers_on(small, LAYOUT) == 2
    found = estimate(Workload(400), small, LAYOUT, machines=1)
    slowdown = 1 + 0.2 / 3  # one worker beside it, of three that would fill the machine
    assert found.hours * 3600 == pytest.approx(2 + slowdown * (50 + 20 * 100))
    assert found.binds == "memory"
    none = estimate(Workload(400), dataclasses.replace(MACHINE, memory_gb=3.0), LAYOUT, 1)
    assert "needs 4.0 GB" in none.why_not and none.machines == 0 and math.isinf(none.money)


def test_fresh_memory_costs_a_worker_once() -> None:
    fresh = dataclasses.replace(LAYOUT, first_s=5.0)
    found = estimate(Workload(400), MACHINE, fresh, machines=1)
    assert found.hours * 3600 == pytest.approx(2 + 1.2 * 5 + 60 + 10 * 120)


def test_plaintexts_that_do_not_fit_are_encoded_at_each_use() -> None:
    layout = dataclasses.replace(LAYOUT, plaintext_bytes=8e9, encode_s=40.0)
    assert layout.held_share(16e9) == 0.5
    assert layout.batch_on(16e9) == 120.0
    assert layout.worker_bytes(16e9) == 8e9
    assert layout.batch_on(64e9) == 100.0 and layout.worker_bytes(64e9) == 12e9


def test_a_slow_network_binds() -> None:
    slow = dataclasses.replace(MACHINE, network_gbit_s=0.001)
    found = estimate(Workload(400), slow, LAYOUT, machines=1)
    assert found.hours * 3600 == pytest.approx(8 * (40 * 1e8 + 1e9) / 1e6)
    assert found.hours == found.network_hours and found.binds == "network"


def test_what_binds_is_named() -> None:
    many = estimate(Workload(400, hospitals=400), MACHINE, LAYOUT, machines=1)
    assert many.filled == pytest.approx(0.1) and many.binds == "empty places"
    keys = dataclasses.replace(LAYOUT, load_s=500.0)
    assert estimate(Workload(400, hospitals=40), MACHINE, keys, 1).binds == "loading keys"
    disk = dataclasses.replace(MACHINE, disk_gb=1.0)
    assert estimate(Workload(400), disk, LAYOUT, 1).binds == "disk"
    assert estimate(Workload(410), MACHINE, LAYOUT, 30).binds == "too few batches"


def test_fewest_machines_for_a_deadline() -> None:
    for hours in (0.2, 0.5, 1.0, 3.0, 24.0):
        workload = Workload(20_000, hospitals=7, deadline_s=3600 * hours)
        found = machines_for_deadline(workload, MACHINE, LAYOUT)
        assert not found.why_not and found.hours <= hours
        if found.machines > 1:
            assert estimate(workload, MACHINE, LAYOUT, found.machines - 1).hours > hours


def test_a_deadline_shorter_than_a_batch_cannot_be_met() -> None:
    found = machines_for_deadline(Workload(1000, deadline_s=60), MACHINE, LAYOUT)
    assert "are allowed" in found.why_not
    assert cheapest([found]) is None


def test_grows_as_it_must() -> None:
    def hours(sequences: int, machines: int = 4, hospitals: int = 10) -> float:
        return estimate(Workload(sequences, hospitals), MACHINE, LAYOUT, machines).hours

    by_sequences = [hours(10**exponent) for exponent in range(2, 10)]
    assert by_sequences == sorted(by_sequences)
    assert by_sequences[-1] / by_sequences[-2] == pytest.approx(10, rel=0.01)
    by_machines = [hours(10**6, machines) for machines in (1, 2, 4, 8, 16, 32)]
    assert by_machines == sorted(by_machines, reverse=True)
    by_hospitals = [hours(10**4, hospitals=count) for count in (1, 10, 100, 1000, 10_000)]
    assert by_hospitals == sorted(by_hospitals)


def test_failures_make_a_batch_longer() -> None:
    assert with_failures(100, 0, 50) == 100
    # (1 / f + r)(exp(f t) - 1) with f t = 0.01, r = 50: t + half of it lost, once in a hundred
    assert with_failures(100, 1e-4, 50) == pytest.approx(100 + 0.01 * (50 + 50), rel=1e-2)
    calm, failing = Load(1000, 1, 100.0), Load(1000, 1, 100.0, failures_s=1e-3, restart_s=60)
    assert makespan_s(failing, 10) > makespan_s(calm, 10)


def test_table_marks_one_cheapest_layout() -> None:
    large = dataclasses.replace(LAYOUT, name="large", together=1000, batch_s=1000.0)
    table = estimate_table(
        [estimate(Workload(10**5), MACHINE, layout, 2) for layout in (LAYOUT, large)]
    )
    assert table.verdict.tolist() == ["", "cheapest"]
    few = estimate_table(
        [estimate(Workload(100, 10), MACHINE, layout, 2) for layout in (LAYOUT, large)]
    )
    assert few.verdict.tolist() == ["cheapest", ""]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Workload(0), "Workload.sequences: expected above 0, got 0"),
        (lambda: Workload(1, deadline_s=-1.0), "Workload.deadline_s"),
        (lambda: Machine(cores=0, memory_gb=1.0), "Machine.cores"),
        (lambda: Machine(1, 1.0, full_slowdown=0.5), "full_slowdown: expected at least 1"),
        (lambda: Machine(1, 1.0, failures_per_hour=-1.0), "expected 0 or more"),
    ],
)
def test_impossible_facts_are_refused(make: object, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        make()  # type: ignore[operator]
