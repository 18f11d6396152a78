"""How many levels a network needs, and the modulus chain that gives exactly those."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from heclstm_lib.compiler.scan import scan_depth
from heclstm_lib.errors import DepthBudgetExceeded
from heclstm_lib.he.params import CkksParameters, bit_budget
from heclstm_lib.models.folded import FoldedNetwork

SCALE_BITS = range(26, 41)
"""Working scales tried: below 26 bits rescaling leaves too little precision, and primes are few."""

TYPICAL_SCALE_BITS = 36
"""What a level takes in most plans; costs are measured on chains of it."""

LARGEST_PRIME_BITS = 60
"""SEAL's limit on the bits of one prime."""

OPEN_ENDS = ((60, 27), (51, 25))
"""Open ends tried where the last product is by a plaintext: bits of the first prime, and of the
scale at level 0. What the first leaves above that scale and END_ROOM_BITS is the plaintext's."""

CIPHERTEXT_ENDS = ((60, 23),)
"""The same where both factors are ciphertexts: the narrow one is the larger value."""


def network_depth(network: FoldedNetwork, packed: bool = True) -> int:
    """Levels a network needs: 2 a block, 1 to reach the gates, the LSTM steps, 1 for the score.

    With `packed` gates one more unpacks them. A step costs the product with h (1, not in the
    first step), the gates (degree - 1), the cell (1) and the output (1); the halves of a Bi-LSTM go
    side by side. An SRU costs `scan_depth`
    in place of steps and score; where a ciphertext holds one feature it has no gates to unpack,
    but from three frames on needs `packed`'s level for a mask.
    """
    depth = 2 * (1 + len(network.dense)) + 1
    if network.hidden and network.recurrence == "sru":
        depth += packed + scan_depth(network.frames, network.gate_degree)
    elif network.hidden:
        depth += packed + network.frames * step_depth(network)
    return depth


def step_depth(network: FoldedNetwork) -> int:
    """Levels of an LSTM step: product with h (first: with the features), gates, cell, output."""
    return 1 + (network.gate_degree - 1) + 2


def choose_parameters(
    network: FoldedNetwork,
    poly_degree: int,
    scale_bits: int | None = None,
    first_bits: int | None = None,
    special_bits: int | None = None,
    packed: bool = True,
) -> CkksParameters:
    """The chain of exactly the network's depth; without `scale_bits` the largest secure scale.

    Raises DepthBudgetExceeded when even the smallest scale does not fit 128-bit security,
    SecurityError for a degree outside the tables.
    """
    levels = network_depth(network, packed)
    return choose_chain(levels, poly_degree, scale_bits, first_bits, special_bits)


def choose_chain(
    levels: int,
    poly_degree: int,
    scale_bits: int | None = None,
    first_bits: int | None = None,
    special_bits: int | None = None,
) -> CkksParameters:
    """A chain of `levels` levels; without `scale_bits` at the largest secure scale.

    The first prime leaves 10 bits above the scale for the result, the special prime 12 and what
    is to spare: key switching divides its noise by it. Raises as `choose_parameters`.
    """
    tried = reversed(SCALE_BITS) if scale_bits is None else [scale_bits]
    chains = (
        CkksParameters(
            poly_degree, levels, bits, first_bits or bits + 10, special_bits or bits + 12
        )
        for bits in tried
    )
    remedy = "a larger N, fewer frames, quadratic gates or a smaller scale_bits"
    params = first_fitting(chains, "the network", remedy)
    return params if special_bits else widened(params, "special_bits")


def open_chain(
    depth: int, poly_degree: int, ends: Sequence[tuple[int, int]] = OPEN_ENDS
) -> CkksParameters | None:
    """A chain with the first open end that fits: a level fewer than `depth`; None without room.

    The prime of level 1 leads products of the working scale to the one wanted at level 0; the
    special prime is no narrower than the first, whose digits would else drown values in noise.
    """
    budget, levels = bit_budget(poly_degree), depth - 1
    for first, low in ends if levels > 0 else ():
        special = min(first + 2, LARGEST_PRIME_BITS)
        scale = min((budget - first - special + low) // (levels + 1), SCALE_BITS[-1])
        if scale >= SCALE_BITS[0]:
            params = CkksParameters(poly_degree, levels, scale, first, special, 2 * scale - low)
            return widened(params, "special_bits")
    return None


def first_fitting(chains: Iterable[CkksParameters], who: str, remedy: str) -> CkksParameters:
    """The first chain within 128-bit security; DepthBudgetExceeded says what the last one lacks."""
    for params in chains:
        budget = bit_budget(params.poly_degree)
        if params.total_bits <= budget:
            return params
    raise DepthBudgetExceeded(
        f"{who} needs {params.levels} levels: {params.total_bits} bits at {params.scale_bits} a "
        f"level, but N={params.poly_degree} allows {budget} at 128-bit security. Use {remedy}."
    )


def widened(params: CkksParameters, prime: str) -> CkksParameters:
    """The chain with all bits that security leaves given to "first_bits" or "special_bits"."""
    spare = bit_budget(params.poly_degree) - params.total_bits
    return replace(params, **{prime: min(getattr(params, prime) + spare, LARGEST_PRIME_BITS)})


def longest_chain(poly_degree: int, scale_bits: int = TYPICAL_SCALE_BITS) -> CkksParameters:
    """The secure chain of most levels at a scale.

    Raises DepthBudgetExceeded when there is not even one level.
    """
    params = choose_chain(1, poly_degree, scale_bits)
    while True:
        try:
            params = choose_chain(params.levels + 1, poly_degree, scale_bits)
        except DepthBudgetExceeded:
            return params
