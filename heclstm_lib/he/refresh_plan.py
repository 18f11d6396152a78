"""Plans whose LSTM state the client re-encrypts between steps: few levels, any number of frames."""

from __future__ import annotations

from dataclasses import replace

from heclstm_lib.errors import DepthBudgetExceeded, PlanError
from heclstm_lib.he.builder import Builder
from heclstm_lib.he.chain import LARGEST_PRIME_BITS, SCALE_BITS
from heclstm_lib.he.check import check_plan
from heclstm_lib.he.compile import PackedCompiler
from heclstm_lib.he.masking import first_prime_bits
from heclstm_lib.he.packing import Layout, power_of_two
from heclstm_lib.he.params import CkksParameters, bit_budget
from heclstm_lib.he.plan import Plan
from heclstm_lib.models.folded import FoldedNetwork

REFRESH_SCALE_BITS = range(SCALE_BITS.start, 45)
"""Working scales tried; beyond 44 bits nothing is gained."""

SENT_LEVEL = 1
"""Level of a state on its way to the client: two primes hold its scale and a mask."""


def step_depth(network: FoldedNetwork) -> int:
    """Levels of a step: product with h, gates (degree - 1), cell, output."""
    return 1 + (network.gate_degree - 1) + 2


def refresh_depth(network: FoldedNetwork) -> int:
    """Levels of the first segment, the longest: 2 a block, product with the features, rest of a
    step, and those that the state keeps when it is sent."""
    return 2 * (1 + len(network.dense)) + step_depth(network) + SENT_LEVEL


def choose_refresh_parameters(
    network: FoldedNetwork,
    poly_degree: int,
    scale_bits: int | None = None,
    first_bits: int | None = None,
    special_bits: int | None = None,
) -> CkksParameters:
    """The chain of a plan with refreshes, without `scale_bits` at the largest secure scale.

    The first prime is wide enough for the masks (`he.masking`), the special one no narrower: key
    switching divides its noise by it. They share what is to spare. Raises DepthBudgetExceeded
    when even the smallest scale does not fit 128-bit security.
    """
    levels, budget = refresh_depth(network), bit_budget(poly_degree)
    first = first_bits or first_prime_bits(poly_degree, network.frames - 1)
    for bits in reversed(REFRESH_SCALE_BITS) if scale_bits is None else [scale_bits]:
        params = CkksParameters(poly_degree, levels, bits, first, special_bits or first)
        if params.total_bits <= budget:
            for name, fixed in (("special_bits", special_bits), ("first_bits", first_bits)):
                spare = budget - params.total_bits
                widest = fixed or min(getattr(params, name) + spare, LARGEST_PRIME_BITS)
                params = replace(params, **{name: widest})
            return params
    raise DepthBudgetExceeded(
        f"a segment of the network needs {levels} levels: {params.total_bits} bits at "
        f"{params.scale_bits} a level, but N={poly_degree} allows {budget} at 128-bit security. "
        "Use a larger N, quadratic gates or fewer blocks."
    )


def plan_refresh(
    network: FoldedNetwork, params: CkksParameters, sequences: int, taps_together: int = 1
) -> Plan:
    """Plan the evaluation of up to `sequences` sequences with a refresh between steps.

    T frames take T - 1 round trips. `taps_together` is as in Convolution. Raises PlanError and its
    kinds for networks without LSTM, or that do not fit.
    """
    check_state(network)
    layout = Layout(params.slots, power_of_two(network.frames), power_of_two(sequences))
    compiler = PackedCompiler(network, Builder(params, layout), True, taps_together)
    compiler.refresh_level = SENT_LEVEL + step_depth(network)
    plan = compiler.plan()
    check_plan(plan)
    return plan


def check_state(network: FoldedNetwork) -> None:
    """Raise PlanError for a network that has no state to refresh."""
    if not network.hidden or network.recurrence != "lstm":
        raise PlanError(
            f"refresh: only an LSTM has a state to refresh, this network has recurrence "
            f"{network.recurrence!r} with {network.hidden} units. Plan without refresh."
        )
