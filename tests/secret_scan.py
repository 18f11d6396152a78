"""Looks for a secret key's polynomial in bytes: residues or coefficients, in any usual form.

As they are, in base64 or hexadecimal digits, or inside zstd, zlib, gzip or zip streams.
"""

from __future__ import annotations

import base64
import zlib
from collections.abc import Iterator

import numpy as np
import pyarrow

from heclstm_lib.he.keys import SecretKeys
from heclstm_lib.he.seal import load_context
from heclstm_lib.he.transform import from_ntt

SEAL_HEADER = 16
WINDOW = 33
"""Bytes of a sample: a multiple of 3, so that base64 of it is a substring at one of 3 offsets."""

ZSTD, ZLIB, GZIP, ZIP = b"\x28\xb5\x2f\xfd", b"\x78", b"\x1f\x8b\x08", b"PK\x03\x04"
MOST = 1 << 28


def unzstd(stream: bytes | memoryview) -> bytes:
    """What one zstd stream at the beginning of some bytes holds, up to where it breaks."""
    parts: list[bytes] = []
    try:
        reader = pyarrow.input_stream(pyarrow.BufferReader(stream), compression="zstd")
        while (part := reader.read(1 << 16)) and sum(map(len, parts)) < MOST:
            parts.append(part)
    except OSError:
        pass
    return b"".join(parts)


def inflate(stream: bytes | memoryview, kind: int) -> bytes:
    """What one zlib (15), gzip (31) or raw (-15) stream at the beginning of some bytes holds."""
    try:
        return zlib.decompressobj(kind).decompress(stream, MOST)
    except zlib.error:
        return b""


def unpacked(data: bytes) -> Iterator[bytes]:
    """The bytes themselves and all that is compressed in them, at any place."""
    yield data
    view = memoryview(data)
    for place in places(data, ZSTD):
        yield unzstd(view[place:])
    for place in places(data, GZIP):
        yield inflate(view[place:], 31)
    for place in places(data, ZLIB):
        if place + 1 < len(data) and int.from_bytes(data[place : place + 2], "big") % 31 == 0:
            yield inflate(view[place:], 15)
    for place in places(data, ZIP):
        head = data[place : place + 30]
        start = place + 30 + int.from_bytes(head[26:28], "little") + int.from_bytes(
            head[28:30], "little"
        )  # fmt: skip
        yield inflate(view[start:], -15)


def places(data: bytes, mark: bytes) -> Iterator[int]:
    place = data.find(mark)
    while place >= 0:
        yield place
        place = data.find(mark, place + 1)


def forms(keys: SecretKeys) -> dict[str, bytes]:
    """The secret polynomial as it might be written: in NTT form, and its coefficients -1, 0, 1."""
    primes, degree = len(keys.params.primes), keys.params.poly_degree
    stored = unzstd(keys.secret_bytes()[SEAL_HEADER:])[-8 * primes * degree :]
    residues = np.frombuffer(stored, "<u8").reshape(primes, degree)
    first = from_ntt(load_context(keys.params), residues[:1])[0].astype(np.int64)
    signed = np.where(first > 1, -1, first)
    assert set(np.unique(signed)) == {-1, 0, 1}  # ternary, so this is the secret
    words = {f"{kind} coefficients": signed.astype(kind) for kind in ("<i1", "<i2", "<i4", "<i8")}
    words |= {
        "digits": (signed + 49).astype("u1"),
        "packed": np.packbits(signed != 0),
        "residues": residues,
    }
    modulo = np.where(signed < 0, keys.params.primes[0] - 1, signed)
    words |= {"modulo the first prime": modulo.astype("<u8"), "big-endian": residues.astype(">u8")}
    return {name: np.ascontiguousarray(array).tobytes() for name, array in words.items()}


def samples(keys: SecretKeys) -> dict[bytes, str]:
    """Byte strings that stand nowhere unless the secret key does, with the form each is of."""
    found: dict[bytes, str] = {}
    stored = keys.secret_bytes()
    texts = forms(keys) | {"SEAL's compressed object": stored[SEAL_HEADER:]}
    for name, text in texts.items():
        wide = WINDOW * (8 if "8" in name or "modulo" in name else 4)  # small numbers in long words
        for start in range(96, len(text) - wide, max(wide, len(text) // 6)):
            part = text[start : start + wide]
            found |= {part: name, part.hex().encode(): f"{name}, hexadecimal"}
            for skip in range(3):
                inner = part[skip : skip + wide - 3]
                found[base64.b64encode(inner)] = f"{name}, base64"
    return found


def find_secret(data: bytes, wanted: dict[bytes, str]) -> set[str]:
    """The forms in which the secret stands in some bytes; empty for bytes that are safe."""
    contents = [content for content in unpacked(data) if len(content) > WINDOW]
    return {name for content in contents for part, name in wanted.items() if part in content}
