"""Noise added on purpose: on the server to hide the model, on the client before a result is shared.

Server, circuit privacy. A result ciphertext (c0, c1) tells its owner more than the result: c1 is
what the model made of polynomials the client chose, from which weights can be solved for, and the
noise e in c0 + c1 s = m + e depends on weights and values. The server therefore adds

1. a fresh encryption of zero under the client's public key: c1 then is pseudorandom even to the
   owner of the secret key (RLWE, once 2. hides the noise of that encryption), and
2. a polynomial with coefficients uniform in [-2^(B-1), 2^(B-1)) ("smudging": Asharov et al.,
   Eurocrypt 2012, lemma 1; for circuit privacy Gentry 2009, section 8.2). For two noises e, e'
   the client's views differ by a statistical distance of at most

       sum_j |e_j - e'_j| / 2^B  <=  2 sqrt(N) ||e||_2 / 2^B,   ||e||_2 = sqrt(2) * scale * error,

   where `error` is the standard deviation of a slot's real part, by Parseval (`he.masking`).

In a slot the polynomial of 2. has standard deviation sqrt(N / 24) 2^B / scale (N/2 of a
coefficient's variance 4^B / 12); an output that is the mean of c copies has that over sqrt(c). To
hide by s bits thus costs about s + log2(N) - 1 bits of precision: CKKS keeps noise and message in
one number. With B = 0 only 1. is done; its noise is that of one more rescaling.

Client, IND-CPA^D. A decryption m + e lets a reader who knows m solve for the key (Li & Micciancio,
ePrint 2020/1533). Before values are shared, noise of standard deviation

       sigma = sqrt(12 tau) 2^(s/2) t

is added (Li, Micciancio, Schultz & Sorrell, ePrint 2022/816, corollary 2, as OpenFHE documents it
in CKKS_NOISE_FLOODING.md), for tau shared results, s bits and an error of at most t, here the
Euclidean norm over all values shared at once.
"""

from __future__ import annotations

import math
import random
from typing import Any

import numpy as np

from heclstm_lib.errors import DataError, PlanError
from heclstm_lib.he.masking import BOUND_BITS, mask_bits
from heclstm_lib.he.packing import Vector
from heclstm_lib.he.params import END_ROOM_BITS, CkksParameters
from heclstm_lib.he.plan import Plan
from heclstm_lib.he.refresh import Mask, Masker
from heclstm_lib.he.seal import Context
from heclstm_lib.he.signature import Refresh

GRID = 16
"""Shared values are multiples of sigma / GRID, or less: their low digits are noise's low digits."""


def flooded_zero(context: Context, public_key: Any, level: int, scale: float, bits: int) -> Any:
    """A fresh encryption of zero whose noise is uniform of `bits` bits a coefficient (0: its own).

    Adding it to a result of this level and scale hides how the result came about. Randomness is
    the operating system's.
    """
    zero = Masker(context, public_key).zero(level, scale)
    if bits:
        Mask(context, bits).add(zero)
    return zero


class Flooder:
    """Hides the model in the results of a plan before they go to the client."""

    def __init__(self, plan: Plan, context: Context, public_key: Any, bits: int) -> None:
        """`bits` as in `flooded_zero`. Raises PlanError as `check_flooding`."""
        check_flooding(plan, bits)
        self._context, self._bits = context, bits
        self._masker = Masker(context, public_key)

    def __repr__(self) -> str:
        return f"Flooder({self._bits} bits)"

    def __call__(self, ciphertext: Any) -> Any:
        """A copy that decrypts to the same values but for the noise added."""
        if not self._bits:
            return self._masker.rerandomised(ciphertext)
        return self._masker.hide(ciphertext, self._bits)[0]


def check_flooding(plan: Plan, bits: int) -> None:
    """Raise PlanError if `bits` leave no room for a result, or a slot shows what is no output.

    A fresh zero alone (0 bits) needs none. At an open end results may reach 2^4 under a flood.
    """
    if bits < 0:
        raise PlanError(f"flood_bits is {bits}, expected 0 (fresh zero only) or more.")
    bound = END_ROOM_BITS - 2 if plan.params.end_bits else BOUND_BITS
    for number, index in enumerate(plan.results if bits else ()):
        op = plan.ops[index]
        room = mask_bits(plan.params, Refresh(op.level, op.level, op.scale), bound)
        if bits > room:
            raise PlanError(
                f"result {number}: flood_bits is {bits}, at level {op.level} there is room for "
                f"{room}. Use fewer bits or a larger first prime."
            )
    if bits and any(place < 0 for row in plan.outputs.places for place in row):
        raise PlanError(
            "the results hold places that are no output; flooding does not hide what stands there. "
            "Use a plan whose results hold outputs only, as those of `heclstm plan` do."
        )


def flood_error(params: CkksParameters, scale: float, bits: int, copies: int = 1) -> float:
    """Standard deviation that flooding by `bits` adds to an output, the mean of `copies` slots.

    >>> round(flood_error(CkksParameters(8192, 2, 40, 55, 56), 2.0**40, bits=26), 6)
    0.001128
    """
    return math.sqrt(params.poly_degree / 24 / copies) * 2.0**bits / scale if bits else 0.0


def flood_hiding_bits(params: CkksParameters, scale: float, error: float, bits: int) -> float:
    """-log2 of the statistical distance between results with noises of `error`; at least 0.

    `error` is the standard deviation of a slot's error before flooding, from `he.simulate`.

    >>> round(flood_hiding_bits(CkksParameters(8192, 2, 40, 55, 56), 2.0**40, 2.0**-20, bits=60), 1)
    32.0
    """
    norm = math.sqrt(2) * scale * error
    return max(0.0, bits - 1 - math.log2(math.sqrt(params.poly_degree) * norm))


def share_sigma(error: float, count: int, bits: float = 30.0, queries: int = 1) -> float:
    """sigma = sqrt(12 tau) 2^(s/2) t for `count` values, each off by at most `error`.

    `bits` is s, `queries` is tau: how many results of related ciphertexts will ever be shared.

    >>> round(share_sigma(error=2.0**-30, count=1) * 2**13, 3)
    0.866
    """
    if not (error > 0 and count >= 1 and bits > 0 and queries >= 1):
        raise DataError(
            f"noise to share results: error {error}, {count} values, {bits} bits, {queries} "
            "queries; expected all above 0. Take the error of a value from a measurement or "
            "`evaluate_simulated`."
        )
    return math.sqrt(12 * queries) * 2.0 ** (bits / 2) * error * math.sqrt(count)


def flood_decrypted(
    values: Vector, error: float, bits: float = 30.0, queries: int = 1
) -> tuple[Vector, float]:
    """Decrypted values as they may be shared, and sigma, the standard deviation of their noise.

    Arguments are those of `share_sigma`; `error` bounds the encryption's error of a value. The
    noise comes from the operating system's generator, and values are rounded to a grid far above
    the last digits of a float. Share each result once: another call averages the noise away.
    """
    sigma = share_sigma(error, values.size, bits, queries)
    source = random.SystemRandom()
    noise = np.array([source.normalvariate(0.0, sigma) for _ in range(values.size)])
    grid = 2.0 ** math.floor(math.log2(sigma / GRID))
    return np.round((values + noise.reshape(values.shape)) / grid) * grid, sigma
