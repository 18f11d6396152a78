"""Serialised SEAL objects taken apart before SEAL sees them.

SEAL 4.3 takes bytes after an object's end, arrays that are compressed once more, key lists with
more keys than asked for, and scales that are no numbers; older ones inflate all there is before
they look at sizes. Here the stream is inflated to at most what the parameters allow, every length
inside must be the one these parameters give, and SEAL gets the object uncompressed: there is one
form of each object, and nothing left to inflate. What SEAL checks itself (ids of parameters,
residues below their primes) is left to it. The layout is that of serialization.h, ciphertext.cpp
and kswitchkeys.cpp.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable
from typing import Protocol

import numpy as np
import pyarrow

from heclstm_lib.errors import WireError

_HEADER = struct.Struct("<HBBBBHQ")  # magic, size, major, minor, compression, reserved, whole size
_MAGIC, _MAJOR, _PLAIN, _ZSTD = 0xA15E, 4, 0, 2
_CIPHERTEXT = struct.Struct("<32sBQQQdQ")  # id, NTT form, size, N, primes, scale, correction
_COUNT = struct.Struct("<Q")
_SEED = struct.Struct("<B64s")
_GENERATORS = (1, 2)
"""Numbers of SEAL's pseudo-random generators: Blake2xb, SHAKE-256."""

MOST_SIZE = 3
"""Polynomials of a ciphertext, at most: a product before it is relinearised."""


class Ring(Protocol):
    """What decides the sizes of objects: those of CKKS or of another scheme."""

    @property
    def poly_degree(self) -> int:
        """N."""

    @property
    def primes(self) -> tuple[int, ...]:
        """The coefficient primes, special prime last."""

    @property
    def ntt_form(self) -> bool:
        """Whether ciphertexts are in NTT form; keys always are."""


def plain_object(kind: str, data: bytes, params: Ring) -> bytes:
    """The same SEAL object without compression, its whole structure checked.

    `kind` is "Ciphertext", "PublicKey", "RelinKeys" or "GaloisKeys" (one key). WireError says what
    is not as these parameters have it.
    """
    walk, most = _walks(params)[kind]
    body = _inflated(data, most, kind)
    if (end := walk(_Bytes(body, kind))) != len(body):
        raise WireError(f"{kind}: {len(body) - end} bytes follow its end.")
    size = _HEADER.size + len(body)
    return _HEADER.pack(_MAGIC, _HEADER.size, _MAJOR, data[4], _PLAIN, 0, size) + body


def _walks(params: Ring) -> dict[str, tuple[Callable[[_Bytes], int], int]]:
    """How to walk through each kind, and the bytes it has at most."""
    primes, degree = len(params.primes), params.poly_degree
    data = _ciphertext_bytes(MOST_SIZE, primes - 1, degree)
    key = _ciphertext_bytes(2, primes, degree)
    keys = (primes - 1) * (_HEADER.size + key)
    lists = 32 + _COUNT.size
    return {
        "Ciphertext": (
            lambda body: _walk_ciphertext(
                body, 0, params, primes - 1, MOST_SIZE, ntt_form=params.ntt_form
            ),
            data,
        ),
        "PublicKey": (lambda body: _walk_ciphertext(body, 0, params, primes, 2), key),
        "RelinKeys": (lambda body: _walk_keys(body, 1, params), lists + _COUNT.size + keys),
        "GaloisKeys": (lambda body: _walk_keys(body, degree, params), lists + 8 * degree + keys),
    }


def _ciphertext_bytes(size: int, primes: int, degree: int) -> int:
    return _CIPHERTEXT.size + _HEADER.size + _COUNT.size + 8 * size * primes * degree


class _Bytes:
    """A body that is read field by field; WireError where it ends too early."""

    def __init__(self, body: bytes, kind: str) -> None:
        self.body, self.kind = body, kind

    def unpack(self, form: struct.Struct, place: int) -> tuple:
        if place + form.size > len(self.body):
            raise self.error(f"ends at {len(self.body)} bytes, in the middle of a field")
        return form.unpack_from(self.body, place)

    def error(self, found: str) -> WireError:
        return WireError(
            f"{self.kind}: {found}. It was damaged or made for other parameters; make it anew from "
            "the plan's signature."
        )


def _inflated(data: bytes, most: int, kind: str) -> bytes:
    """What the outer stream holds, never more than one byte beyond `most`."""
    _check_header(_Bytes(data, kind), 0, len(data), (_PLAIN, _ZSTD))
    if data[5] == _PLAIN:
        body = data[_HEADER.size :]
    else:
        try:
            source = pyarrow.BufferReader(memoryview(data)[_HEADER.size :])
            with pyarrow.input_stream(source, compression="zstd") as stream:
                body = stream.read(most + 1)
        except (OSError, ValueError) as error:
            raise WireError(f"{kind}: its zstd stream is damaged ({error}).") from error
    if len(body) > most:
        raise WireError(f"{kind}: inflates to more than the {most} bytes these parameters allow.")
    return body


def _check_header(body: _Bytes, place: int, size: int, modes: tuple[int, ...]) -> None:
    magic, length, major, _minor, mode, _reserved, stated = body.unpack(_HEADER, place)
    found = (magic, length, major, stated)
    wanted = (_MAGIC, _HEADER.size, _MAJOR, size)
    if found != wanted or mode not in modes:
        raise body.error(
            f"a SEAL header at byte {place} says (magic, header, version, size) = {found}, "
            f"compression {mode}; expected {wanted}, compression {' or '.join(map(str, modes))}"
        )


def _walk_ciphertext(
    body: _Bytes, place: int, params: Ring, primes: int, most_size: int, ntt_form: bool = True
) -> int:
    """The place after a ciphertext, whose second half may be a seed."""
    _, ntt, size, degree, held, scale, factor = body.unpack(_CIPHERTEXT, place)
    right = (
        ntt == ntt_form and factor == 1 and degree == params.poly_degree
        and 1 <= held <= primes and 2 <= size <= most_size and 0 < scale < math.inf
    )  # fmt: skip
    if not right:
        raise body.error(
            f"NTT form {ntt}, {size} polynomials of degree {degree} modulo {held} primes, scale "
            f"{scale:.4g}, factor {factor}; expected NTT form {ntt_form:d}, 2 to {most_size} of "
            f"degree {params.poly_degree} modulo 1 to {primes}, a positive scale, factor 1"
        )
    place += _CIPHERTEXT.size
    (count,) = body.unpack(_COUNT, place + _HEADER.size)
    seeded = count == held * degree and size == 2
    if not seeded and count != size * held * degree:
        raise body.error(f"{count} residues; expected {held * degree} and a seed, or {size} times")
    _check_header(body, place, _HEADER.size + _COUNT.size + 8 * count, (_PLAIN,))
    place += _HEADER.size + _COUNT.size + 8 * count
    return _walk_seed(body, place) if seeded else place


def _walk_seed(body: _Bytes, place: int) -> int:
    _check_header(body, place, _HEADER.size + _SEED.size, (_PLAIN,))
    generator, _ = body.unpack(_SEED, place + _HEADER.size)
    if generator not in _GENERATORS:
        raise body.error(f"a seed for generator {generator}, expected one of {_GENERATORS}")
    return place + _HEADER.size + _SEED.size


def _walk_keys(body: _Bytes, lists: int, params: Ring) -> int:
    """The place after `lists` lists of keys of which one is filled, with a key a prime."""
    primes = len(params.primes)
    (found,) = body.unpack(_COUNT, 32)
    start = 32 + _COUNT.size
    if found != lists:
        raise body.error(f"{found} lists of keys, expected {lists}")
    counts = np.frombuffer(body.body, np.uint64, min(lists, (len(body.body) - start) // 8), start)
    filled = int(np.argmax(counts != 0)) if counts.any() else 0
    place = start + _COUNT.size * filled
    (length,) = body.unpack(_COUNT, place)
    if length != primes - 1:
        raise body.error(f"a list of {length} keys, expected {primes - 1}, one a prime")
    place += _COUNT.size
    for _ in range(length):
        end = _walk_ciphertext(body, place + _HEADER.size, params, primes, 2)
        _check_header(body, place, end - place, (_PLAIN,))
        place = end
    rest = body.body[place : place + _COUNT.size * (lists - filled - 1)]
    if any(rest):
        raise body.error("more than one list of keys is filled")
    return place + _COUNT.size * (lists - filled - 1)
