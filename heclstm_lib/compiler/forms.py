"""The ways to compile each kind of network, for the planner to choose from."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

from heclstm_lib.compiler.chain import (
    CIPHERTEXT_ENDS,
    OPEN_ENDS,
    choose_chain,
    network_depth,
    open_chain,
)
from heclstm_lib.compiler.cnn import cnn_depth, plan_cnn
from heclstm_lib.compiler.network import plan_network
from heclstm_lib.compiler.refresh_plan import check_state, choose_refresh_parameters, plan_refresh
from heclstm_lib.compiler.score import plan_score, score_depth
from heclstm_lib.compiler.step import STEP_DEPTH, plan_step
from heclstm_lib.errors import PlanError
from heclstm_lib.he.params import CkksParameters
from heclstm_lib.he.plan import Plan
from heclstm_lib.models.cnn import FoldedCnn
from heclstm_lib.models.folded import FoldedNetwork
from heclstm_lib.models.score import FoldedScore
from heclstm_lib.models.step import FoldedStep

Network = FoldedNetwork | FoldedCnn | FoldedStep | FoldedScore

Ends = tuple[tuple[int, int], ...]

TAPS_TOGETHER = (1, 2, 4, 8, 16)
"""Taps of the convolution in one input ciphertext; layouts without room for them are left out."""


@dataclass(frozen=True)
class Form:
    """One way to compile a network under some parameters, for a number of sequences."""

    name: str
    params: CkksParameters
    compile: Callable[[int], Plan]


def forms(
    network: Network,
    poly_degree: int,
    refresh: bool = False,
    open_end: bool = True,
    **bits: int | None,
) -> Iterator[Form]:
    """Every form whose levels fit a ring degree at 128-bit security.

    With `refresh` those that have the client re-encrypt the state, else those that do not ask the
    client. `bits` fixes scale_bits, first_bits or special_bits of the chain. Without `open_end`,
    or with fixed bits, chains have a closed end. Raises PlanError when not even the form of least
    depth fits, or there is no state to refresh.
    """
    ends, step_ends = (OPEN_ENDS, CIPHERTEXT_ENDS) if open_end else ((), ())
    if refresh:
        yield from _refresh_forms(network, poly_degree, **bits)
    elif isinstance(network, FoldedNetwork):
        yield from _network_forms(network, poly_degree, ends, **bits)
    elif isinstance(network, FoldedCnn):
        for params in _chains(cnn_depth(network), poly_degree, ends, bits):
            for together in TAPS_TOGETHER:
                compile_ = partial(plan_cnn, network, params, taps_together=together)
                yield Form(_name(params, _taps(together)), params, compile_)
    elif isinstance(network, FoldedScore):
        for params in _chains(score_depth(network), poly_degree, ends, bits):
            yield Form(_name(params, "one score"), params, partial(plan_score, network, params))
    else:
        for params in _chains(STEP_DEPTH, poly_degree, step_ends, bits):
            yield Form(_name(params, "one step"), params, partial(plan_step, network, params))


def _network_forms(
    network: FoldedNetwork, poly_degree: int, ends: Ends, **bits: int | None
) -> Iterator[Form]:
    ends = () if network.recurrence == "sru" else ends
    for name, levels, options in _gate_forms(network):
        depth, required = network_depth(network, levels), not levels
        for params in _chains(depth, poly_degree, ends, bits, required):
            for together in TAPS_TOGETHER:
                compile_ = partial(plan_network, network, params, taps_together=together, **options)
                yield Form(_name(params, name, _taps(together)), params, compile_)


def _chains(
    depth: int, poly_degree: int, ends: Ends, bits: dict[str, int | None], required: bool = True
) -> Iterator[CkksParameters]:
    """Chains of a depth: with an open end where it has room and `bits` fixes nothing, and closed.

    When there is none and one is `required`, the PlanError of the closed one is raised.
    """
    opened = None if any(bits.values()) else open_chain(depth, poly_degree, ends)
    if opened:
        yield opened
    try:
        yield choose_chain(depth, poly_degree, **bits)
    except PlanError:
        if required and not opened:
            raise


def _name(params: CkksParameters, *parts: str) -> str:
    return ", ".join([*parts, "open end"] if params.end_bits else parts)


def _refresh_forms(network: Network, poly_degree: int, **bits: int | None) -> Iterator[Form]:
    if not isinstance(network, FoldedNetwork):
        raise PlanError("refresh: only a network with frames has a state to refresh.")
    check_state(network)
    params = choose_refresh_parameters(network, poly_degree, **bits)
    for together in TAPS_TOGETHER:
        compile_ = partial(plan_refresh, network, params, taps_together=together)
        yield Form(f"refresh, {_taps(together)}", params, compile_)


def _gate_forms(network: FoldedNetwork) -> list[tuple[str, bool, dict[str, bool]]]:
    """Name, whether a level unpacks the gates, options of plan_network; least depth first."""
    if not network.hidden:
        return [("no recurrence", False, {"packed": False})]
    forms = [("gates apart", False, {"packed": False}), ("gates unpacked", True, {"packed": True})]
    if network.recurrence != "sru":
        forms.insert(1, ("gates packed", False, {"packed": True, "stay_packed": True}))
    return forms


def _taps(together: int) -> str:
    return f"{together} taps an input" if together > 1 else "1 tap an input"
