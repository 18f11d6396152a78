"""Plans: exact scales, levels, depth, what check_plan refuses, and what a plan says of itself."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from networks import make_network

from heclstm_lib.compiler.builder import Builder
from heclstm_lib.compiler.chain import choose_parameters, network_depth
from heclstm_lib.compiler.network import plan_network
from heclstm_lib.errors import DepthBudgetExceeded, PlanError, SecurityError
from heclstm_lib.he.check import check_plan
from heclstm_lib.he.packing import Layout
from heclstm_lib.he.params import CkksParameters
from heclstm_lib.he.plan import Op, Plan
from heclstm_lib.he.signature import InputSpec, OutputSpec

SIZES = [
    {"frames": frames, "degree": degree, "dense": dense}
    for degree, most in ((2, 4), (3, 3))
    for frames in range(1, most + 1)
    for dense in ((), (6,))
]


@pytest.fixture(scope="module")
def plan() -> Plan:
    network = make_network(frames=2, dense=(6,))
    return plan_network(network, choose_parameters(network, 32768), sequences=2)


@pytest.mark.parametrize("sizes", [*SIZES, {"hidden": 0}, {"hidden": 0, "dense": (6, 5)}], ids=str)
def test_depth_scales_and_levels_are_exact(sizes: dict) -> None:
    network = make_network(**sizes)
    plan = plan_network(network, choose_parameters(network, 32768), sequences=2)
    assert plan.depth == network_depth(network) == plan.params.levels
    assert plan.ops[plan.results[0]].level == 0
    for op in plan.ops:
        args = [plan.ops[arg] for arg in op.args]
        assert all(arg.index < op.index for arg in args)
        if op.kind in ("add", "multiply"):
            assert args[0].level == args[1].level == op.level
        if op.kind == "add":
            assert args[0].scale == pytest.approx(args[1].scale, rel=1e-12)
        if op.kind == "add_plain":
            assert op.constant_scale == args[0].scale
        if op.kind == "multiply_plain":
            assert op.scale == pytest.approx(args[0].scale * op.constant_scale, rel=1e-12)
        if op.kind == "rescale":
            prime = plan.params.primes[args[0].level]
            assert op.scale == args[0].scale / prime and op.level == args[0].level - 1
        if op.kind in ("rotate", "relinearise"):
            assert op.size == 2
    check_plan(plan)


@pytest.mark.parametrize("degree", [8192, 16384, 32768])
def test_parameters_use_every_bit_that_security_grants(degree: int) -> None:
    network = make_network(hidden=0)
    params = choose_parameters(network, degree)
    assert params.levels == 3
    assert params.scale_bits == 40 if degree > 8192 else 38
    tight = choose_parameters(make_network(frames=2), 16384)
    assert tight.total_bits == 430
    assert tight.special_bits >= tight.scale_bits + 12


def test_given_sizes_are_kept() -> None:
    params = choose_parameters(make_network(frames=1), 16384, 30, 45, 50)
    assert params.coeff_bits == (45, *[30] * 8, 50)


def test_flagship_fits() -> None:
    network = make_network(4, 16, channels_out=8, image_size=28)
    plan = plan_network(network, choose_parameters(network, 32768), sequences=8)
    assert plan.depth == 20 and plan.params.total_bits <= 868
    assert len(plan.rotations) <= 12
    assert plan.inputs.count == 25 and plan.layout.lanes == 32


def test_too_deep_a_network_names_the_remedy() -> None:
    network = make_network(frames=8)
    assert network_depth(network) == 36
    with pytest.raises(
        DepthBudgetExceeded, match=r"needs 36 levels.*N=32768 allows 868.*fewer frames"
    ):
        choose_parameters(network, 32768)
    with pytest.raises(SecurityError, match=r"65536 has no entry"):
        choose_parameters(network, 65536)
    short = CkksParameters(32768, 5, 30, 40, 42)
    with pytest.raises(DepthBudgetExceeded, match=r"layer 'lstm\.t0'.*chain has 5 levels"):
        plan_network(make_network(), short, 1)


def spoil(plan: Plan, kind: str, where: Callable[[Op], bool] = bool, **values: object) -> Plan:
    """The plan with one operation of a kind replaced."""
    index = next(op.index for op in plan.ops if op.kind == kind and where(op))
    ops = list(plan.ops)
    ops[index] = replace(ops[index], **values)
    return replace(plan, ops=tuple(ops))


def test_check_plan_refuses(plan: Plan) -> None:
    with pytest.raises(SecurityError, match="larger N"):
        check_plan(replace(plan, params=replace(plan.params, first_bits=60, special_bits=1000)))
    with pytest.raises(DepthBudgetExceeded, match=r"operation \d+ \(rescale\) needs 2 more level"):
        check_plan(spoil(plan, "rescale", level=-2))
    with pytest.raises(PlanError, match=r"scale 2\^900.0 exceeds"):
        check_plan(spoil(plan, "multiply_plain", scale=2.0**900))
    feeds_add = {op.args[0] for op in plan.ops if op.kind == "add"}
    with pytest.raises(PlanError, match=r"\(add\): scales .* differ"):
        check_plan(spoil(plan, "multiply_plain", lambda op: op.index in feeds_add, scale=2.0**40))
    with pytest.raises(PlanError, match=r"\((add|multiply)\): operand levels \d+ and \d+ differ"):
        check_plan(spoil(plan, "mod_switch", level=1))


def test_check_plan_refuses_slots_that_differ_and_keys_that_do_not_fit(plan: Plan) -> None:
    half = replace(plan.layout, slots=plan.layout.slots // 2)
    with pytest.raises(PlanError, match=r"layout of 8192 slots, expected 16384 "):
        check_plan(replace(plan, layout=half))
    short = replace(plan.inputs, patterns=(plan.inputs.patterns[0][:-1],))
    with pytest.raises(PlanError, match=rf"input 0: {plan.layout.features - 1} places.*Plan again"):
        check_plan(replace(plan, inputs=short))
    with pytest.raises(PlanError, match=r"output 0: 3 places with indices up to 0"):
        check_plan(replace(plan, outputs=OutputSpec(((0, 0, 0),))))
    with pytest.raises(PlanError, match=r"input 0: 1 places with indices up to 144.*below 144"):
        check_plan(replace(plan, inputs=replace(plan.inputs, patterns=((144,),))))
    assert check_plan(plan, plan.key_bytes())
    with pytest.raises(PlanError, match=r"evaluation keys take .* GB, at most .* allowed\. Use"):
        check_plan(plan, plan.key_bytes() - 1)


def test_plaintext_bytes_count_an_encoding_once() -> None:
    builder = Builder(CkksParameters(8192, 2, 30, 40, 42), Layout(4096, 1, 1))
    value, ones = builder.input(), np.ones((1, 1))
    first, again = builder.multiply_plain(value, ones), builder.multiply_plain(value, ones)
    output = builder.add(first, again)
    made = Plan(
        builder.params, builder.layout, InputSpec(1, (1,), ((0,),)), OutputSpec(((0,),)),
        tuple(builder.ops), tuple(builder.constants), (output.index,),
    )  # fmt: skip
    assert made.plaintext_bytes() == 8 * 8192 * 3 == made.summary()["plaintext_bytes"]


def test_summary_and_table(plan: Plan) -> None:
    summary = check_plan(plan)
    assert json.loads(json.dumps(summary)) == summary
    assert summary["operations"]["input"] == plan.inputs.count == summary["input_ciphertexts"]
    assert sum(summary["operations"].values()) == len(plan.ops)
    triples = sum(op.kind in ("add", "rescale") and op.size == 3 for op in plan.ops)
    assert sum(plan.work().values()) == len(plan.ops) + triples / 2
    assert summary["evaluation_key_bytes"] == plan.key_bytes()
    lines = plan.table().splitlines()
    assert [line.split()[0] for line in lines[1:]] == [
        "blocks.0.conv", "blocks.0.activation", "blocks.1.conv", "blocks.1.activation",
        "lstm.input", "weighted_unit", "lstm.unpack", "lstm.t0", "lstm.t1", "voting",
    ]  # fmt: skip
    assert lines[-1].split()[2] == "0"


def test_digest_changes_with_a_weight() -> None:
    network = make_network(hidden=0)
    params = choose_parameters(network, 8192)
    plan = plan_network(network, params, 1)
    assert plan.digest == plan_network(network, params, 1).digest == plan.signature.digest
    changed = replace(network, conv_bias=network.conv_bias + 1e-12)
    assert plan_network(changed, params, 1).digest != plan.digest


def test_composed_rotations_need_no_further_key() -> None:
    found = {}
    for levels in (1, 20):
        builder = Builder(CkksParameters(32768, levels, 38, 48, 50), Layout(16384, 1, 1))
        value = builder.lower(builder.rotate(builder.input(), 4096), 1)
        value = builder.rescale(builder.multiply_plain(value, np.ones((1, 1))))
        builder.fold(value, 16384, 4096)
        found[levels] = {op.step for op in builder.ops if op.kind == "rotate"}
    assert found == {1: {4096, 8192}, 20: {4096}}  # a small key is worth having


def test_at_a_higher_level_a_fold_takes_its_own_keys() -> None:
    builder = Builder(CkksParameters(8192, 1, 30, 40, 42), Layout(4096, 1, 1))
    builder.fold(builder.input(), 4096, 1024)
    assert [op.step for op in builder.ops if op.kind == "rotate"] == [2048, 1024]


def test_builder_refuses_nothing_to_sum_and_rising_levels() -> None:
    builder = Builder(CkksParameters(8192, 1, 30, 40, 42), Layout(4096, 1, 1))
    value = builder.input()
    with builder.layer("here"), pytest.raises(PlanError, match=r"'here'.*all its weights are zero"):
        builder.sum(builder.products([(value, np.zeros((1, 1)))]))
    lowered = builder.lower(value, 0)
    with pytest.raises(PlanError, match="level 0 cannot rise to 1"):
        builder.lower(lowered, 1)
