"""Primes, tables and the security check."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tenseal import sealapi

from heclstm_lib.errors import PlanError, SecurityError
from heclstm_lib.he.params import (
    GUIDELINES_2024,
    STANDARD_2018,
    CkksParameters,
    bit_budget,
    check_security,
    security_report,
)

FLAGSHIP = CkksParameters(32768, levels=20, scale_bits=38, first_bits=48, special_bits=60)


@pytest.mark.parametrize(
    "params",
    [
        CkksParameters(8192, 3, 38, 48, 52),
        CkksParameters(8192, 3, 40, 40, 40),  # one size for every prime: one shared list
        CkksParameters(16384, 9, 37, 47, 50),
        FLAGSHIP,
        CkksParameters(32768, 27, 29, 39, 46),
    ],
)
def test_primes_are_those_of_seal(params: CkksParameters) -> None:
    made = sealapi.CoeffModulus.Create(params.poly_degree, list(params.coeff_bits))
    assert params.primes == tuple(modulus.value() for modulus in made)


def test_sizes_of_the_flagship() -> None:
    assert FLAGSHIP.total_bits == 48 + 20 * 38 + 60 == 868
    assert FLAGSHIP.slots == 16384
    assert FLAGSHIP.ciphertext_bytes(level=0) == 8 * 2 * 32768
    assert FLAGSHIP.switching_key_bytes() == 16 * 32768 * 22 * 21
    assert FLAGSHIP.fresh_bytes() == 8 * 32768 * 21


@pytest.mark.parametrize("degree", sorted(STANDARD_2018))
def test_stricter_table_decides(degree: int) -> None:
    limit = min(STANDARD_2018[degree], GUIDELINES_2024[degree])
    assert bit_budget(degree) == limit
    at_limit = CkksParameters(degree, 1, 40, 50, limit - 90)
    check_security(at_limit)
    over = replace(at_limit, special_bits=at_limit.special_bits + 1)
    assert not security_report(over)["secure"]
    assert security_report(over)["within_2018"] == (limit < STANDARD_2018[degree])
    with pytest.raises(
        SecurityError, match=f"{limit + 1} bits.*N={degree} allows.*{limit}.*larger N"
    ):
        check_security(over)


def test_degree_outside_the_tables_is_refused() -> None:
    with pytest.raises(SecurityError, match=r"4096 has no entry.*8192, 16384, 32768"):
        check_security(CkksParameters(4096, 1, 30, 40, 40))


def test_too_few_primes_of_a_size() -> None:
    params = CkksParameters(32768, 25, 24, 34, 36)
    with pytest.raises(PlanError, match=r"only \d+ primes of 24 bits.*larger scale_bits"):
        _ = params.primes
