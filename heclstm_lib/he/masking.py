"""How wide a mask must be to hide an encrypted state from the client that re-encrypts it.

The server sends a state to the key holder, who decrypts and encrypts it again (he.refresh). What
is decrypted is a polynomial m of N whole coefficients: values at their scale, and the noise of
the computation, which depends on the state and on the model too. The server adds r, uniform in
[-2^(B-1), 2^(B-1)) in every coefficient. The client's m + r is then, for any two states, the same
distribution up to a statistical distance of at most

    sum_j |m_j| / 2^B  <=  sqrt(N) ||m||_2 / 2^B  <=  2^(log2(N) / 2 + bound_bits - B) * scale

against r alone: one coefficient's uniform interval, shifted by m_j, loses |m_j| / 2^B of itself,
and by Parseval ||m||_2 is the scale times the root mean square of the slots, noise included.
Nothing wraps around the modulus q while |m_j| + 2^(B-1) <= q / 2, so the mask is exact: adding r
at a low level and taking it away at a high one changes no bit of m.

`hiding_bits` is -log2 of that distance for all refreshes of one evaluation together. A larger
state than `BOUND_BITS` says weakens it by as much; it wraps only if B was chosen for less.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from heclstm_lib.errors import PlanError
from heclstm_lib.he.params import CkksParameters
from heclstm_lib.he.signature import Refresh

BOUND_BITS = 6
"""Slots of a state are taken to be below 2^6 in size; trained states are of the order of 1."""

LEAST_HIDING_BITS = 40.0
"""Statistical security that a plan must keep over all its refreshes."""


def mask_bits(params: CkksParameters, refresh: Refresh, bound_bits: int = BOUND_BITS) -> int:
    """B: the widest mask that leaves room for values below 2**bound_bits at their level.

    The values are a state that is refreshed, or a result that is flooded (he.flooding).

    Raises PlanError when there is none.
    """
    modulus = math.prod(params.primes[: refresh.sent_level + 1])
    room = modulus // 2 - int(refresh.scale * 2**bound_bits)
    if room < 1:
        raise PlanError(
            f"a mask over values below 2^{bound_bits} at scale 2^{math.log2(refresh.scale):.1f} "
            f"has no room in the {modulus.bit_length()} bits of level {refresh.sent_level}. "
            "Send the values at a higher level or take a larger first prime."
        )
    return room.bit_length()


def hiding_bits(params: CkksParameters, refreshes: Sequence[Refresh]) -> float:
    """-log2 of the statistical distance of all that the client sees from what hides nothing.

    Infinite without a refresh.
    """
    distances = [
        math.sqrt(params.poly_degree)
        * 2.0 ** (BOUND_BITS - mask_bits(params, refresh))
        * refresh.scale
        for refresh in refreshes
    ]
    return -math.log2(sum(distances)) if distances else math.inf


def first_prime_bits(poly_degree: int, refreshes: int) -> int:
    """Bits of the first prime that hide enough when states are sent at level 1.

    There the modulus is first prime times scale, so the scale cancels.

    >>> first_prime_bits(16384, refreshes=3)
    56
    """
    refreshed = math.log2(max(refreshes, 1))
    wanted = LEAST_HIDING_BITS + refreshed + BOUND_BITS + math.log2(poly_degree) / 2
    return math.ceil(wanted + 1.01)  # the sign, and scales that are no powers of two


def check_masks(params: CkksParameters, refreshes: Sequence[Refresh]) -> None:
    """Raise PlanError when a refresh gains nothing or all masks together hide too little."""
    for refresh in refreshes:
        if not refresh.sent_level < refresh.level <= params.levels:
            raise PlanError(
                f"refresh: from level {refresh.sent_level} to {refresh.level}; expected a rise to "
                f"at most {params.levels}. Plan again."
            )
    found = hiding_bits(params, refreshes)
    if found < LEAST_HIDING_BITS:
        raise PlanError(
            f"refresh: the masks of {len(refreshes)} refreshes hide the state by {found:.1f} bits, "
            f"at least {LEAST_HIDING_BITS:g} are needed. Take a larger first prime, a smaller "
            "scale, or refresh at a higher level."
        )
