"""What serialised SEAL bytes claim of themselves, read without SEAL and before it.

SEAL inflates the whole object before it looks at its sizes, so a few kB could ask for all memory;
here the inflated bytes are counted, a block at a time, and never kept. The 16 bytes of the header
are those of SEAL 4.1 (serialization.h).
"""

from __future__ import annotations

import struct

import pyarrow

from heclstm_lib.errors import WireError

MAGIC, HEADER_BYTES, MAJOR_VERSION = 0xA15E, 16, 4
ZSTD = 2
_HEADER = struct.Struct("<HBBBBHQ")
_BLOCK = 1 << 20


def check_seal_bytes(data: bytes, most: int, name: str) -> None:
    """Raise WireError unless `data` is one compressed SEAL object of at most `most` bytes inside.

    The header must be SEAL's and its size the data's; whether the content is valid SEAL says.
    """
    if len(data) < HEADER_BYTES:
        raise WireError(f"{name}: {len(data)} bytes, a SEAL object has at least {HEADER_BYTES}.")
    magic, header, major, _minor, mode, _reserved, size = _HEADER.unpack_from(data)
    found = {"magic": magic, "header": header, "version": major, "compression": mode, "size": size}
    wanted = {
        "magic": MAGIC, "header": HEADER_BYTES, "version": MAJOR_VERSION, "compression": ZSTD,
        "size": len(data),
    }  # fmt: skip
    if wrong := [f"{key} is {found[key]}, expected {wanted[key]}" for key in found
                 if found[key] != wanted[key]]:  # fmt: skip
        raise WireError(f"{name} is no SEAL object: {'; '.join(wrong)}.")
    _check_inflated(data, most, name)


def _check_inflated(data: bytes, most: int, name: str) -> None:
    total = 0
    try:
        source = pyarrow.BufferReader(memoryview(data)[HEADER_BYTES:])
        with pyarrow.input_stream(source, compression="zstd") as stream:
            while block := stream.read(_BLOCK):
                total += len(block)
                if total > most:
                    break
    except (OSError, ValueError) as error:
        raise WireError(f"{name}: its zstd stream is damaged ({error}).") from error
    if total > most:
        raise WireError(f"{name}: inflates to more than the {most} bytes this plan allows.")
