"""CKKS parameters: the modulus chain, its primes, and 128-bit security by two published tables."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar

from sympy import isprime

from heclstm_lib.errors import PlanError, SecurityError

# Largest log2(QP), special prime included, ternary secret, 128-bit classical security.
STANDARD_2018 = {8192: 218, 16384: 438, 32768: 881}
"""Homomorphic Encryption Standard (2018), the table SEAL enforces; SEAL's ends at N=32768."""

GUIDELINES_2024 = {8192: 214, 16384: 430, 32768: 868, 65536: 1747}
"""Bossuat et al., Security Guidelines for Implementing HE, ePrint 2024/463, Table 5.2."""

ERROR_STD = 3.2
"""Standard deviation of SEAL's error polynomial, in coefficients (SEAL, globals.h)."""


END_ROOM_BITS = 6
"""Bits of the first prime above an open end's scale: results may reach 2^5."""


@dataclass(frozen=True)
class CkksParameters:
    """Ring degree and modulus chain [first, scale x levels, special], sizes in bits.

    `levels` counts the rescalings a fresh ciphertext allows; a ciphertext at level L holds
    L + 1 primes. A scale of `scale_bits` means that values are multiplied by 2**scale_bits.

    With `end_bits`, the size of level 1's prime in place of scale_bits, the end is open: the last
    product takes place at level 0 and stays unrescaled, at `end_scale`, which saves a level.
    """

    poly_degree: int
    levels: int
    scale_bits: int
    first_bits: int
    special_bits: int
    end_bits: int = 0

    ntt_form: ClassVar[bool] = True
    """Ciphertexts are values at the roots of unity."""

    @property
    def slots(self) -> int:
        """Values per ciphertext, N / 2."""
        return self.poly_degree // 2

    @property
    def scale(self) -> float:
        """The working scale as a float."""
        return 2.0**self.scale_bits

    @property
    def end_scale(self) -> float:
        """The results' scale: with an open end all that the first prime has room for."""
        return 2.0 ** (self.first_bits - END_ROOM_BITS) if self.end_bits else self.scale

    def scale_at(self, level: int) -> float:
        """The working scale of values at a level: an open end's prime sets that of level 0."""
        return 2.0 ** (2 * self.scale_bits - self.end_bits) if self.ends_at(level) else self.scale

    def ends_at(self, level: int) -> bool:
        """Whether a product at this level is an open end's last one."""
        return level == 0 and self.end_bits > 0

    @property
    def coeff_bits(self) -> tuple[int, ...]:
        """Bit sizes of the primes, in SEAL's order (special prime last)."""
        middle = [self.scale_bits] * self.levels
        if self.end_bits:
            middle[0] = self.end_bits
        return (self.first_bits, *middle, self.special_bits)

    @property
    def total_bits(self) -> int:
        """log2(QP) as the tables count it: the sum of the bit sizes."""
        return sum(self.coeff_bits)

    @property
    def primes(self) -> tuple[int, ...]:
        """The primes SEAL would choose; rescaling at a level drops `primes[level]`."""
        return seal_primes(self.poly_degree, self.coeff_bits)

    @property
    def digest(self) -> str:
        """sha256 over degree, sizes and primes: what two parties compare."""
        text = json.dumps([self.poly_degree, self.coeff_bits, self.scale_bits, self.primes])
        return hashlib.sha256(text.encode()).hexdigest()

    def ciphertext_bytes(self, level: int, components: int = 2) -> int:
        """Bytes of an expanded ciphertext at `level`, 8 bytes a coefficient and prime."""
        return 8 * components * self.poly_degree * (level + 1)

    def switching_key_bytes(self) -> int:
        """Bytes of one Galois or relinearisation key, 16 N k (k - 1), k primes in all."""
        primes = len(self.coeff_bits)
        return 16 * self.poly_degree * primes * (primes - 1)

    def fresh_bytes(self) -> int:
        """Bytes of a fresh seeded ciphertext on the wire before compression."""
        return self.ciphertext_bytes(self.levels, components=1)


@lru_cache(maxsize=32)
def seal_primes(poly_degree: int, coeff_bits: tuple[int, ...]) -> tuple[int, ...]:
    """Return the primes of SEAL's `CoeffModulus::Create` without SEAL.

    For each bit size SEAL lists the largest primes congruent to 1 modulo 2N in falling order
    and hands them out from the end of that list (SEAL 4.1, modulus.cpp and numth.cpp).
    Raises PlanError when a size has too few primes.
    """
    step = 2 * poly_degree
    tables: dict[int, list[int]] = {}
    for bits in set(coeff_bits):
        candidate = ((1 << bits) - 1) // step * step + 1
        wanted = coeff_bits.count(bits)
        found: list[int] = []
        while len(found) < wanted and candidate > 1 << (bits - 1):
            if isprime(candidate):
                found.append(candidate)
            candidate -= step
        if len(found) < wanted:
            raise PlanError(
                f"only {len(found)} primes of {bits} bits are 1 modulo {step}, {wanted} are "
                "needed; use a larger scale_bits."
            )
        tables[bits] = found
    return tuple(tables[bits].pop() for bits in coeff_bits)


def security_report(params: CkksParameters) -> dict[str, int | bool]:
    """Set log2(QP) beside both tables; `secure` needs the stricter one of 2024."""
    degree = params.poly_degree
    limit_2018, limit_2024 = STANDARD_2018.get(degree, 0), GUIDELINES_2024.get(degree, 0)
    return {
        "poly_degree": degree,
        "total_bits": params.total_bits,
        "limit_2018_bits": limit_2018,
        "limit_2024_bits": limit_2024,
        "within_2018": params.total_bits <= limit_2018,
        "secure": params.total_bits <= min(limit_2018, limit_2024),
    }


def bit_budget(poly_degree: int) -> int:
    """The largest log2(QP) that both tables grant at this degree.

    Raises SecurityError for a degree that is not in both.
    """
    if poly_degree not in STANDARD_2018:
        raise SecurityError(
            f"poly_degree {poly_degree} has no entry in the HE standard's table; "
            f"use one of {', '.join(map(str, STANDARD_2018))}."
        )
    return min(STANDARD_2018[poly_degree], GUIDELINES_2024[poly_degree])


def check_security(params: CkksParameters) -> None:
    """Raise SecurityError unless both tables grant 128 bits."""
    budget, report = bit_budget(params.poly_degree), security_report(params)
    if params.total_bits > budget:
        raise SecurityError(
            f"the modulus chain has {params.total_bits} bits, but 128-bit security at "
            f"N={params.poly_degree} allows {report['limit_2018_bits']} (HE standard 2018) and "
            f"{report['limit_2024_bits']} (Bossuat et al. 2024). Use a larger N, fewer levels "
            "(fewer frames, quadratic gates) or a smaller scale_bits."
        )
