"""The ways to compile each kind of network, for the planner to choose from."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

from heclstm_lib.errors import PlanError
from heclstm_lib.he.chain import choose_chain, choose_parameters
from heclstm_lib.he.cnn import cnn_depth, plan_cnn
from heclstm_lib.he.compile import plan_network
from heclstm_lib.he.params import CkksParameters
from heclstm_lib.he.plan import Plan
from heclstm_lib.he.step import STEP_DEPTH, plan_step
from heclstm_lib.models.cnn import FoldedCnn
from heclstm_lib.models.folded import FoldedNetwork
from heclstm_lib.models.step import FoldedStep

Network = FoldedNetwork | FoldedCnn | FoldedStep


@dataclass(frozen=True)
class Form:
    """One way to compile a network under some parameters, for a number of sequences."""

    name: str
    params: CkksParameters
    compile: Callable[[int], Plan]


def forms(network: Network, poly_degree: int, scale_bits: int | None = None) -> Iterator[Form]:
    """Every form whose levels fit a ring degree at 128-bit security."""
    makers = {FoldedNetwork: _network_forms, FoldedCnn: _cnn_forms, FoldedStep: _step_forms}
    try:
        yield from makers[type(network)](network, poly_degree, scale_bits)  # type: ignore[operator]
    except PlanError:
        return  # too deep for this degree; what was yielded before is not as deep


def _network_forms(
    network: FoldedNetwork, poly_degree: int, scale_bits: int | None
) -> Iterator[Form]:
    for packed in (False, True) if network.hidden else (False,):
        params = choose_parameters(network, poly_degree, scale_bits, packed=packed)
        name = "gates packed" if packed else "gates apart"
        compile_ = partial(plan_network, network, params, packed=packed)
        yield Form(name if network.hidden else "no recurrence", params, compile_)


def _cnn_forms(network: FoldedCnn, poly_degree: int, scale_bits: int | None) -> Iterator[Form]:
    params = choose_chain(cnn_depth(network), poly_degree, scale_bits)
    yield Form("dense", params, partial(plan_cnn, network, params))


def _step_forms(network: FoldedStep, poly_degree: int, scale_bits: int | None) -> Iterator[Form]:
    params = choose_chain(STEP_DEPTH, poly_degree, scale_bits)
    yield Form("one step", params, partial(plan_step, network, params))
