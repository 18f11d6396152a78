"""Plans whose LSTM state the client re-encrypts between steps: few levels, any number of frames."""

from __future__ import annotations

from heclstm_lib.compiler.builder import Builder
from heclstm_lib.compiler.chain import SCALE_BITS, first_fitting, step_depth, widened
from heclstm_lib.compiler.network import PackedCompiler
from heclstm_lib.errors import PlanError
from heclstm_lib.he.masking import first_prime_bits
from heclstm_lib.he.packing import Layout, power_of_two
from heclstm_lib.he.params import CkksParameters
from heclstm_lib.he.plan import Plan
from heclstm_lib.models.folded import FoldedNetwork

REFRESH_SCALE_BITS = range(SCALE_BITS.start, 45)
"""Working scales tried; beyond 44 bits nothing is gained."""

SENT_LEVEL = 1
"""Level of a state on its way to the client: two primes hold its scale and a mask."""


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
    levels = refresh_depth(network)
    first = first_bits or first_prime_bits(poly_degree, network.frames - 1)
    tried = reversed(REFRESH_SCALE_BITS) if scale_bits is None else [scale_bits]
    chains = (
        CkksParameters(poly_degree, levels, bits, first, special_bits or first) for bits in tried
    )
    who, remedy = "a segment of the network", "a larger N, quadratic gates or fewer blocks"
    params = first_fitting(chains, who, remedy)
    for name, fixed in (("special_bits", special_bits), ("first_bits", first_bits)):
        params = params if fixed else widened(params, name)
    return params


def plan_refresh(
    network: FoldedNetwork, params: CkksParameters, sequences: int, taps_together: int = 1
) -> Plan:
    """Plan the evaluation of up to `sequences` sequences with a refresh between steps.

    T frames take T - 1 round trips. `taps_together` is as in Convolution. Raises PlanError and its
    kinds for networks without an LSTM that reads one way, or that do not fit.
    """
    check_state(network)
    layout = Layout(params.slots, power_of_two(network.frames), power_of_two(sequences))
    compiler = PackedCompiler(network, Builder(params, layout), True, taps_together)
    compiler.refresh_level = SENT_LEVEL + step_depth(network)
    return compiler.plan()


def check_state(network: FoldedNetwork) -> None:
    """Raise PlanError for a network that has no state to refresh."""
    if not network.hidden or network.recurrence != "lstm":
        raise PlanError(
            f"refresh: only an LSTM that reads one way has a state to refresh, this network has "
            f"recurrence {network.recurrence!r} with {network.hidden} units. Plan without refresh."
        )
