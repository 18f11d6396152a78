"""BFV parameters for an integer network: ring, coefficient primes, plaintext moduli."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from math import prod
from typing import ClassVar

from heclstm_lib.errors import PlanError, SecurityError
from heclstm_lib.he.params import bit_budget, seal_primes
from heclstm_lib.models.integer_cnn import IntegerCnn

CHAINS = {8192: (42, *[43] * 4), 16384: (46, *[48] * 8)}
"""Coefficient primes by ring degree, special prime last: all that both tables grant (he.params)."""

SQUARES = {8192: 2, 16384: 4}
"""Squares in a row that a chain's noise budget carries with plain moduli of PLAIN_BITS."""

PLAIN_BITS = (22, 26)
"""Fewest (below, too few primes allow batching) and most (noise) bits of a plaintext modulus."""


@dataclass(frozen=True)
class BfvParameters:
    """Ring degree, sizes of the coefficient primes, plaintext moduli, and what is exchanged."""

    poly_degree: int
    coeff_bits: tuple[int, ...]
    plain_moduli: tuple[int, ...]
    pixels: int
    outputs: int

    ntt_form: ClassVar[bool] = False
    """Ciphertexts are coefficients."""

    @property
    def primes(self) -> tuple[int, ...]:
        """The coefficient primes, special prime last."""
        return seal_primes(self.poly_degree, self.coeff_bits)

    @property
    def total_bits(self) -> int:
        """log2 of all coefficient primes, as the security tables count it."""
        return sum(self.coeff_bits)

    @property
    def levels(self) -> int:
        """Data primes less one, as messages to users count them."""
        return len(self.coeff_bits) - 2

    @property
    def digest(self) -> str:
        """sha256 of the parameters: both sides must hold the same."""
        return hashlib.sha256(json.dumps(asdict(self)).encode()).hexdigest()


def choose_bfv(network: IntegerCnn) -> BfvParameters:
    """The smallest ring for the network's squares, and plain moduli that hold every output.

    Raises PlanError for more squares than the largest ring carries, SecurityError for a chain
    beyond the 128-bit tables.
    """
    squares = len(network.dense)
    degrees = [degree for degree, carried in SQUARES.items() if carried >= squares]
    if not degrees:
        raise PlanError(f"BFV: {squares} squares in a row, at most {max(SQUARES.values())} fit.")
    degree, wanted = degrees[0], 2 * network.bound() + 1
    bits = wanted.bit_length() + 1
    count = -(-bits // PLAIN_BITS[1])
    moduli = seal_primes(degree, (max(-(-bits // count), PLAIN_BITS[0]),) * count)
    if prod(moduli) <= wanted:
        raise PlanError(f"BFV: plain moduli {moduli} do not hold outputs of {bits} bits.")
    pixels = network.conv_weight.shape[1] * network.image_size**2
    params = BfvParameters(degree, CHAINS[degree], moduli, pixels, len(network.dense[-1][0]))
    if params.total_bits > bit_budget(degree):
        raise SecurityError(
            f"BFV: {params.total_bits} bits at N={degree}, 128-bit security allows "
            f"{bit_budget(degree)}. Use fewer coefficient primes."
        )
    return params
