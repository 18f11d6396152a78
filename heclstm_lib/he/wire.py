"""Messages between client and server: magic, JSON header, chunks of bytes, sha256. One file each.

layout: b"HECLSTM2" | u32 header length | header JSON | per chunk (u64 length | bytes) | 32 bytes
sha256 over everything before. Integers are little-endian. `docs/wire.md` is the whole description.
"""

from __future__ import annotations

import hashlib
import json
import os
import struct
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

from heclstm_lib.errors import SecretError, WireError
from heclstm_lib.files import replacing
from heclstm_lib.he.header import FORMAT, check_header

MAGIC = b"HECLSTM2"
MAGIC_STEM = b"HECLSTM"
SECRET_MAGIC = b"HECLSEC1"
"""How a secret bundle begins (`he.secret_bundle`)."""

HEADER_LIMIT = 1 << 23
"""Bytes of a header, at most: room for an id of 200 characters for each of 32768 sequences."""

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
    if len(text) > HEADER_LIMIT:
        raise WireError(f"a header of {len(text)} bytes, at most {HEADER_LIMIT} allowed.")
    emit(MAGIC + struct.pack("<I", len(text)) + text)
    for chunk in chunks:
        emit(struct.pack("<Q", len(chunk)))
        emit(chunk)
        count += 1
    file.write(state.digest())
    return count


def read_header(
    path: Path, kind: str, plan_digest: str, chunks: int, terms: dict[str, Any] | None = None
) -> dict[str, Any]:
    """Verify a message's checksum, format, library versions, kind, plan, number of chunks.

    `terms` are further fields both parties must hold alike (`he.header.shared_terms`). Returns the
    header; WireError names all that differs, SecretError refuses a secret bundle. The checksum
    finds damage; it does not tell who wrote the file.
    """
    verify_checksum(path)
    with path.open("rb") as file:
        header = _parse_header(file, path)
    expected = {"kind": kind, "plan": plan_digest, "chunks": chunks}
    check_header(header, expected | (terms or {}), path.name)
    return header


def refuse_secret(path: Path) -> None:
    """Raise SecretError if a file is a secret bundle: it must not be where a server is."""
    try:
        with path.open("rb") as file:
            begin = file.read(len(SECRET_MAGIC))
    except OSError as error:
        raise WireError(f"{path.name}: cannot be read ({error.strerror}).") from error
    refuse_secret_magic(begin, path.name)


def refuse_secret_magic(begin: bytes, name: str) -> None:
    """Raise SecretError if the first 8 bytes of file `name` are a secret bundle's."""
    if begin == SECRET_MAGIC:
        raise SecretError(
            f"{name} is a secret bundle; a server needs the public bundle only. If the file "
            "left its owner's machine, delete it here and make new keys there: heclstm keygen."
        )


def read_count(header: dict[str, Any], path: Path, most: int) -> int:
    """The number of sequences a message announces; WireError unless it is from 1 to `most`."""
    count = header.get("sequences")
    if type(count) is not int or not 1 <= count <= most:
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


def message_checksum(path: Path) -> str:
    """The checksum a message carries, as hexadecimal digits; it tells one message from another."""
    size = path.stat().st_size
    with path.open("rb") as file:
        file.seek(max(0, size - DIGEST_BYTES))
        return _exactly(file, DIGEST_BYTES, path).hex()


def read_chunk(path: Path, place: tuple[int, int]) -> bytes:
    """The chunk at a place that `locate_chunks` gave."""
    offset, length = place
    with path.open("rb") as file:
        file.seek(offset)
        return _exactly(file, length, path)


def _check_magic(file: BinaryIO, path: Path) -> None:
    begin = _exactly(file, len(MAGIC), path)
    refuse_secret_magic(begin, path.name)
    if begin.startswith(MAGIC_STEM) and begin != MAGIC:
        raise WireError(
            f"{path.name}: format is {begin[len(MAGIC_STEM) :]!r}, expected {FORMAT}. Client and "
            "server must run the same release; write the file anew."
        )
    if begin != MAGIC:
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
    if not isinstance(header, dict) or type(header.get("chunks")) is not int:
        raise WireError(f"{path.name}: header does not say how many chunks follow.")
    return header


def _exactly(file: BinaryIO, length: int, path: Path) -> bytes:
    data = file.read(length)
    if len(data) != length:
        raise WireError(f"{path.name}: ends early, wanted {length} bytes, got {len(data)}.")
    return data


def verify_checksum(path: Path) -> None:
    """Raise WireError unless a file is a message whose bytes have the checksum it carries."""
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
