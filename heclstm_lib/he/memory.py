"""SEAL's own coefficients as NumPy arrays: TenSEAL binds no buffer, so the layout is read here.

A pybind11 object holds the pointer to its C++ object in the word after the Python object's head.
The C++ objects are those of SEAL 4.1 on a 64-bit machine (ciphertext.h, plaintext.h, dynarray.h).
Nothing is trusted: every metadata word is held against SEAL's public accessors before the data
pointer is followed, and the first and last coefficient after. Another build of TenSEAL therefore
ends in a PlanError, not in wrong numbers.
"""

from __future__ import annotations

import ctypes
import struct
import sys
from collections.abc import Sequence
from importlib import metadata
from typing import Any

import numpy as np
from numpy.typing import NDArray

from heclstm_lib.errors import PlanError

Words = NDArray[np.uint64]
"""Residues modulo the primes, in SEAL's memory."""

_HEAD = object.__basicsize__  # 16: reference count and type
_CIPHERTEXT_WORDS = 15
_PLAINTEXT_WORDS = 11
_MAX_WORDS = 1 << 32  # 32 GB; more can only be a misread length


def coefficients(ciphertext: Any) -> Words:
    """Writable view [size, level + 1, N] of a ciphertext's residues, in NTT form for CKKS.

    The view keeps the ciphertext alive. It is void once SEAL gives the ciphertext other memory:
    when it is the destination of an evaluator call or is resized, released or loaded again.
    Raises PlanError when the memory is not laid out as in the TenSEAL this was written for.
    """
    words = _object_words(ciphertext, _CIPHERTEXT_WORDS)
    shape = (
        ciphertext.size(),
        ciphertext.coeff_modulus_size(),
        ciphertext.poly_modulus_degree(),
    )
    count = shape[0] * shape[1] * shape[2]
    expected = {
        **_identity(ciphertext),
        5: shape[0],
        6: shape[2],
        7: shape[1],
        8: _double_bits(ciphertext.scale),
        13: count,
    }
    ntt = words[4] & 0xFF
    _check(ciphertext, words, expected)
    if ntt != int(ciphertext.is_ntt_form()) or words[12] < count:
        raise _unknown_layout(ciphertext, f"NTT flag {ntt}, capacity {words[12]} of {count} words")
    return _view(ciphertext, words[14], count).reshape(shape)


def plaintext_coefficients(plaintext: Any, poly_degree: int) -> Words:
    """Writable view [level + 1, N] of an encoded plaintext; see `coefficients`.

    SEAL's plaintext does not know its degree, so N is given. Raises PlanError for a plaintext
    that is not in NTT form, or whose length is no multiple of N.
    """
    count = plaintext.coeff_count()
    if not plaintext.is_ntt_form() or count % poly_degree:
        raise PlanError(
            f"a plaintext of {count} coefficients, NTT form {plaintext.is_ntt_form()}, is no CKKS "
            f"plaintext of degree N={poly_degree}; encode it with the context it is used in."
        )
    words = _object_words(plaintext, _PLAINTEXT_WORDS)
    expected = {**_identity(plaintext), 4: count, 5: _double_bits(plaintext.scale), 9: count}
    _check(plaintext, words, expected)
    if words[8] < count:
        raise _unknown_layout(plaintext, f"capacity {words[8]} of {count} words")
    return _view(plaintext, words[10], count).reshape(-1, poly_degree)


def make_ciphertext(context: Any, level: int, size: int, scale: float, like: Any) -> Any:
    """A ciphertext of zeros in NTT form, to be written through `coefficients`.

    `context` is a `he.seal.Context`; `like` is any ciphertext and lends only its type.
    Raises PlanError when the NTT flag cannot be set.
    """
    parms_id = context.level_ids[level]
    result = type(like)(context.seal, parms_id, size)
    result.resize(context.seal, parms_id, size)
    result.scale = scale
    coefficients(result)  # the layout is as expected, so word 4 holds the flag
    ctypes.c_uint8.from_address(_address(result) + 4 * 8).value = 1
    if not result.is_ntt_form():
        raise _unknown_layout(result, "the NTT flag could not be set")
    return result


def _address(thing: Any) -> int:
    """Where the C++ object lies."""
    if sys.implementation.name != "cpython" or ctypes.sizeof(ctypes.c_void_p) != 8:
        raise PlanError(
            f"direct access to SEAL's memory needs 64-bit CPython, this is "
            f"{sys.implementation.name}, {8 * ctypes.sizeof(ctypes.c_void_p)} bits."
        )
    if type(thing).__basicsize__ < _HEAD + 8:
        raise _unknown_layout(thing, f"an object of {type(thing).__basicsize__} bytes")
    address = ctypes.c_uint64.from_address(id(thing) + _HEAD).value
    if not address or address % 8 or address >> 48:
        raise _unknown_layout(thing, f"a C++ pointer {address:#x}")
    return address


def _object_words(thing: Any, count: int) -> Sequence[int]:
    return list((ctypes.c_uint64 * count).from_address(_address(thing)))


def _identity(thing: Any) -> dict[int, int]:
    return dict(enumerate(thing.parms_id()))


def _double_bits(value: float) -> int:
    return int(struct.unpack("<Q", struct.pack("<d", value))[0])


def _check(thing: Any, words: Sequence[int], expected: dict[int, int]) -> None:
    for index, value in expected.items():
        if words[index] != value:
            raise _unknown_layout(thing, f"word {index} is {words[index]}, not {value}")


def _view(thing: Any, address: int, count: int) -> Words:
    if not 0 < count <= _MAX_WORDS or not address or address % 8 or address >> 48:
        raise _unknown_layout(thing, f"{count} coefficients at {address:#x}")
    buffer = (ctypes.c_uint64 * count).from_address(address)
    buffer.owner = thing  # type: ignore[attr-defined]  # the array's base keeps it alive
    view: Words = np.ctypeslib.as_array(buffer)
    ends = int(view[0]), int(view[-1])
    if ends != (thing[0], thing[count - 1]):
        raise _unknown_layout(thing, f"first and last coefficient {ends}")
    return view


def _unknown_layout(thing: Any, found: str) -> PlanError:
    return PlanError(
        f"a {type(thing).__name__} of TenSEAL {metadata.version('tenseal')} does not lie in memory "
        f"as that of TenSEAL 0.3.18: {found}. Install the versions of requirements.lock."
    )
