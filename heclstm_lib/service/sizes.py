"""How many bytes a message of a plan may have: known from its parameters before one arrives.

A ciphertext on the wire is one (seeded) or two polynomials, 8 bytes a coefficient and prime, under
zstd. Residues are random, so no compression gets below their entropy, and zstd adds at most 1/256
(its ZSTD_compressBound). Both ends are therefore known.
"""

from __future__ import annotations

from dataclasses import dataclass

from heclstm_lib.he.header import ID_LENGTH
from heclstm_lib.he.params import CkksParameters
from heclstm_lib.he.plan import Plan
from heclstm_lib.he.wire import HEADER_LIMIT

OBJECT_BYTES = 1024
"""More than SEAL's own fields around one ciphertext take (level id, sizes, scale, seed)."""

HEADER_BYTES = 1 << 14
"""More than a message's header takes without its ids."""

_FRAME_BYTES = 8 + 4 + 32
_ESCAPED = 12
"""Bytes JSON takes for one character of an id, at most."""


@dataclass(frozen=True)
class SizeRange:
    """Least and most bytes, both allowed."""

    least: int
    most: int

    def times(self, count: int) -> SizeRange:
        """The bytes of `count` such things."""
        return SizeRange(self.least * count, self.most * count)


def ciphertext_sizes(params: CkksParameters, primes: int) -> SizeRange:
    """Bytes before compression (most) and after (least) of a ciphertext with so many primes."""
    chosen = params.primes[:-1] if primes < len(params.primes) else params.primes
    entropy = sum(prime.bit_length() - 1 for prime in chosen[:primes])
    least = params.poly_degree * entropy // 8
    return SizeRange(least, 16 * params.poly_degree * primes + OBJECT_BYTES)


def input_sizes(plan: Plan) -> SizeRange:
    """Of one encrypted input, at the top level."""
    return ciphertext_sizes(plan.params, plan.params.levels + 1)


def key_sizes(plan: Plan) -> list[SizeRange]:
    """Of each chunk of a public bundle: public key, relinearisation key, Galois keys."""
    primes = len(plan.params.primes)
    one = ciphertext_sizes(plan.params, primes)
    return [one, *([one.times(primes - 1)] * (1 + len(plan.rotations)))]


def header_bytes(plan: Plan) -> int:
    """Of the header of a message of this plan, at most."""
    return min(HEADER_LIMIT, HEADER_BYTES + plan.layout.sequences * (_ESCAPED * ID_LENGTH + 4))


def request_sizes(plan: Plan) -> SizeRange:
    """Of a whole request."""
    return _message([input_sizes(plan)] * plan.inputs.count, header_bytes(plan))


def bundle_sizes(plan: Plan) -> SizeRange:
    """Of a whole public bundle."""
    return _message(key_sizes(plan), HEADER_BYTES)


def compressed(most: int) -> int:
    """What zstd may make of so many bytes, at most."""
    return most + most // 256 + OBJECT_BYTES


def _message(chunks: list[SizeRange], header: int) -> SizeRange:
    least = sum(chunk.least + 8 for chunk in chunks) + _FRAME_BYTES
    most = sum(compressed(chunk.most) + 8 for chunk in chunks) + _FRAME_BYTES + header
    return SizeRange(least, most)
