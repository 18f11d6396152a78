"""Messages between client and server: magic, JSON header, chunks of bytes, sha256. One file each.

layout: b"HECLSTM1" | u32 header length | header JSON | per chunk (u64 length | bytes) | 32 bytes
sha256 over everything before. Integers are little-endian.
"""

from __future__ import annotations

import hashlib
import json
import os
import struct
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

from heclstm_lib.errors import WireError
from heclstm_lib.files import replacing

MAGIC = b"HECLSTM1"
HEADER_LIMIT = 1 << 20
DIGEST_BYTES = 32


def write_message(path: Path, header: dict[str, Any], chunks: Iterable[bytes]) -> int:
    """Write a message atomically and return its size in bytes.

    `header["chunks"]` must say how many chunks follow; WireError otherwise.
    """
    with replacing(path) as part:
        with part.open("wb") as file:
            written = _write_body(file, header, chunks)
        if written != header.get("chunks"):
            raise WireError(
                f"{path.name}: header announces {header.get('chunks')} chunks, wrote {written}."
            )
    return path.stat().st_size


def _write_body(file: BinaryIO, header: dict[str, Any], chunks: Iterable[bytes]) -> int:
    state, count = hashlib.sha256(), 0

    def emit(data: bytes) -> None:
        state.update(data)
        file.write(data)

    text = json.dumps(header, sort_keys=True).encode()
    emit(MAGIC + struct.pack("<I", len(text)) + text)
    for chunk in chunks:
        emit(struct.pack("<Q", len(chunk)))
        emit(chunk)
        count += 1
    file.write(state.digest())
    return count


def read_header(path: Path, kind: str, plan_digest: str, chunks: int) -> dict[str, Any]:
    """Verify checksum, kind, plan and number of chunks of a message; return its header.

    WireError says what differs. The checksum finds damage; it does not tell who wrote the file.
    """
    _verify_checksum(path)
    with path.open("rb") as file:
        header = _parse_header(file, path)
    for key, wanted in (("kind", kind), ("plan", plan_digest), ("chunks", chunks)):
        if header.get(key) != wanted:
            raise WireError(
                f"{path.name}: {key} is {header.get(key)!r}, expected {wanted!r}. "
                "Client and server must hold the same plan and exchange the right file."
            )
    return header


def read_count(header: dict[str, Any], path: Path, most: int) -> int:
    """The number of sequences a message announces; WireError unless it is from 1 to `most`."""
    count = header.get("sequences")
    if not isinstance(count, int) or not 1 <= count <= most:
        raise WireError(f"{path.name}: sequences is {count!r}, expected a number from 1 to {most}.")
    return count


def iter_chunks(path: Path) -> Iterator[bytes]:
    """Yield the chunks of a message whose header was read before."""
    for place in locate_chunks(path):
        yield read_chunk(path, place)


def locate_chunks(path: Path) -> list[tuple[int, int]]:
    """Offset and length of every chunk of a message whose header was read before."""
    places = []
    with path.open("rb") as file:
        count = _parse_header(file, path)["chunks"]
        end = path.stat().st_size - DIGEST_BYTES
        for number in range(count):
            (length,) = struct.unpack("<Q", _exactly(file, 8, path))
            if length > end - file.tell():
                raise WireError(
                    f"{path.name}: chunk {number} claims {length} bytes, the file ends before."
                )
            places.append((file.tell(), length))
            file.seek(length, os.SEEK_CUR)
        if file.tell() != end:
            raise WireError(f"{path.name}: {end - file.tell()} bytes follow the last chunk.")
    return places


def read_chunk(path: Path, place: tuple[int, int]) -> bytes:
    """The chunk at a place that `locate_chunks` gave."""
    offset, length = place
    with path.open("rb") as file:
        file.seek(offset)
        return _exactly(file, length, path)


def _check_magic(file: BinaryIO, path: Path) -> None:
    if _exactly(file, len(MAGIC), path) != MAGIC:
        raise WireError(f"{path.name} is no HE-CLSTM message: it does not begin with {MAGIC!r}.")


def _parse_header(file: BinaryIO, path: Path) -> dict[str, Any]:
    _check_magic(file, path)
    (length,) = struct.unpack("<I", _exactly(file, 4, path))
    if length > HEADER_LIMIT:
        raise WireError(
            f"{path.name}: header claims {length} bytes, at most {HEADER_LIMIT} allowed."
        )
    try:
        header = json.loads(_exactly(file, length, path))
    except (ValueError, RecursionError) as error:
        raise WireError(f"{path.name}: header is no JSON ({error}).") from error
    if not isinstance(header, dict) or not isinstance(header.get("chunks"), int):
        raise WireError(f"{path.name}: header does not say how many chunks follow.")
    return header


def _exactly(file: BinaryIO, length: int, path: Path) -> bytes:
    data = file.read(length)
    if len(data) != length:
        raise WireError(f"{path.name}: ends early, wanted {length} bytes, got {len(data)}.")
    return data


def _verify_checksum(path: Path) -> None:
    if not path.is_file():
        raise WireError(f"{path}: no such message.")
    left = path.stat().st_size - DIGEST_BYTES
    state = hashlib.sha256()
    with path.open("rb") as file:
        _check_magic(file, path)
        state.update(MAGIC)
        left -= len(MAGIC)
        while left > 0:
            block = _exactly(file, min(left, 1 << 22), path)
            state.update(block)
            left -= len(block)
        if file.read() != state.digest():
            raise WireError(
                f"{path.name}: checksum does not match; the file was damaged or cut. Send it again."
            )
