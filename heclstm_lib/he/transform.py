"""Between residues of coefficients, SEAL's NTT form, and plaintexts of other levels.

The transform is SEAL's own. It takes ciphertexts only, so a polynomial travels as the first half
of one. The second half is 1: SEAL refuses ciphertexts whose second half vanishes.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from heclstm_lib.he.memory import Words, coefficients, make_ciphertext, plaintext_coefficients
from heclstm_lib.he.residues import WideIntegers
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


def lift(context: Context, plain: Any, level: int) -> Any:
    """The same polynomial as an encoded plaintext of another, usually higher, level: exact.

    Coefficients are taken to lie in [-q/2, q/2), q the modulus of the plaintext's own level.
    """
    primes, degree = context.params.primes, context.params.poly_degree
    known = from_ntt(context, plaintext_coefficients(plain, degree))
    numbers = WideIntegers.from_residues(known, primes[: len(known)])
    lifted = context.encode(np.array(0.0), level, plain.scale)
    wanted = to_ntt(context, numbers.residues(primes[: level + 1]))
    plaintext_coefficients(lifted, degree)[:] = wanted
    return lifted


def _transformed(vehicle: Any, values: Words, transform: Any) -> Words:
    words = coefficients(vehicle)
    words[0], words[1] = values, 1
    transform(vehicle)
    return coefficients(vehicle)[0].copy()
