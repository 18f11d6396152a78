"""Between residues of coefficients and SEAL's NTT form, by SEAL's own transform.

SEAL transforms ciphertexts only, so a polynomial travels as the first half of one. The second half
is 1: SEAL refuses ciphertexts whose second half vanishes.
"""

from __future__ import annotations

from typing import Any

from heclstm_lib.he.memory import Words, coefficients, make_ciphertext
from heclstm_lib.he.seal import Context, api


def to_ntt(context: Context, residues: Words) -> Words:
    """NTT form [k, N] of coefficients' residues [k, N] modulo the first k primes of the chain."""
    vehicle = api.Ciphertext()
    vehicle.resize(context.seal, context.level_ids[len(residues) - 1], 2)
    return _transformed(vehicle, residues, api.Evaluator(context.seal).transform_to_ntt_inplace)


def from_ntt(context: Context, values: Words) -> Words:
    """Residues [k, N] of the coefficients of a polynomial given in NTT form [k, N]."""
    vehicle = make_ciphertext(context, len(values) - 1, 2, 1.0, api.Ciphertext())
    return _transformed(vehicle, values, api.Evaluator(context.seal).transform_from_ntt_inplace)


def _transformed(vehicle: Any, values: Words, transform: Any) -> Words:
    words = coefficients(vehicle)
    words[0], words[1] = values, 1
    transform(vehicle)
    return coefficients(vehicle)[0].copy()
