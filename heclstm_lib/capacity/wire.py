"""Bytes of messages on the wire, by packing random residues as SEAL packs its own.

SEAL 4 writes every object as one zstd stream at level 3, the library's default. What that leaves of
a residue of b bits in 8 bytes has no simple formula: literals cost about the entropy of a byte, but
runs of zero bytes with a few bytes beside them repeat within zstd's window by chance, the more so
the smaller the primes, and the window holds several polynomials of a small ring. The entropy alone
is up to 11 % too high (31 bits, N=16384). So the same compressor packs made-up objects of the same
shape, once for each: within 0.1 % of the mean of SEAL's own at N=16384 and 32768 and within 1.5 %
at 8192, where single ones scatter by 2.5 %, for primes of 25 to 60 bits
(tests/capacity/test_capacity_wire.py).
"""

from __future__ import annotations

import json
from functools import lru_cache

import numpy as np
import pyarrow

from heclstm_lib.he.client import random_ids
from heclstm_lib.he.header import message_header
from heclstm_lib.he.plan import Plan
from heclstm_lib.he.wire import DIGEST_BYTES, MAGIC

SEAL_LEVEL = 3
"""zstd's level in SEAL 4: packing what one of its objects holds again gives the same length."""

FIELDS_BYTES = 178
"""What SEAL writes beside the residues of a polynomial: ids, sizes and the other one's seed."""

KEY_SAMPLE_BYTES = 1 << 23
"""A key's digits are packed up to here, the rest in proportion: zstd's window is 2 MiB."""

SEED = 0
"""Of the made-up residues: the same prediction each time."""


@lru_cache(maxsize=256)
def packed_bytes(poly_degree: int, prime_bits: tuple[int, ...], polynomials: int = 1) -> int:
    """Bytes of one SEAL object that holds `polynomials` modulo primes of so many bits each.

    Residues are taken to be uniform below 2^bits: SEAL's primes are the largest of their size.

    >>> 0.55 < packed_bytes(16384, (31,) * 12) / (12 * 8 * 16384) < 0.60  # 31 / 64 is 0.48
    True
    """
    rng = np.random.default_rng(SEED)
    body = bytearray()
    for _ in range(polynomials):
        body += rng.bytes(FIELDS_BYTES)
        for bits in prime_bits:
            body += rng.integers(0, 1 << bits, poly_degree, dtype=np.uint64).tobytes()
    codec = pyarrow.Codec("zstd", compression_level=SEAL_LEVEL)
    return len(codec.compress(bytes(body), asbytes=True))


def ciphertext_bytes(plan: Plan, level: int, polynomials: int) -> int:
    """Bytes of a ciphertext at a level; a fresh one has one polynomial, the other is a seed."""
    return packed_bytes(plan.params.poly_degree, plan.params.coeff_bits[: level + 1], polynomials)


def key_bytes(plan: Plan) -> float:
    """Bytes of a Galois or relinearisation key: a polynomial and a seed for each digit."""
    params = plan.params
    digits = params.levels + 1
    digit = 8 * params.poly_degree * len(params.coeff_bits)
    sample = min(digits, -(-KEY_SAMPLE_BYTES // digit))
    return packed_bytes(params.poly_degree, params.coeff_bits, sample) * digits / sample


def request_bytes(plan: Plan) -> float:
    """Bytes of a full request whose sequences have the client's own ids."""
    inputs = plan.inputs.count * ciphertext_bytes(plan, plan.params.levels, 1)
    return inputs + _frame_bytes(plan, "request", plan.inputs.count, plan.layout.sequences)


def response_bytes(plan: Plan) -> float:
    """Bytes of the response to such a request."""
    results = [plan.ops[index] for index in plan.results]
    packed = sum(ciphertext_bytes(plan, op.level, op.size) for op in results)
    return packed + _frame_bytes(plan, "response", len(results), plan.layout.sequences)


def bundle_bytes(plan: Plan) -> float:
    """Bytes of a public bundle: the public key, and a key for relinearisation and each rotation."""
    params, keys = plan.params, 1 + len(plan.rotations)
    public = packed_bytes(params.poly_degree, params.coeff_bits, 2)  # the only one without a seed
    return public + keys * key_bytes(plan) + _frame_bytes(plan, "public", 1 + keys, 0)


def _frame_bytes(plan: Plan, kind: str, chunks: int, sequences: int) -> int:
    """Bytes of a message around its chunks (`he.wire`): magic, header, lengths, checksum."""
    more = {"sequences": sequences, "ids": random_ids(sequences)} if sequences else {}
    if kind == "response":
        more["request"] = "0" * 2 * DIGEST_BYTES
    header = json.dumps(message_header(plan, kind, chunks, **more), sort_keys=True)
    return len(MAGIC) + 4 + len(header) + 8 * chunks + DIGEST_BYTES
