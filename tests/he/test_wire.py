"""Messages: anything but the very bytes that were written is a WireError that says why."""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from heclstm_lib.errors import SecretError, WireError
from heclstm_lib.he.header import versions
from heclstm_lib.he.wire import (
    MAGIC,
    iter_chunks,
    locate_chunks,
    read_chunk,
    read_count,
    read_header,
    write_message,
)

HEADER = {
    "format": 2, "kind": "request", "plan": "abc", "chunks": 2, "sequences": 3,
    "versions": versions(),
}  # fmt: skip
CHUNKS = [b"first chunk", b""]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "message"
    assert write_message(path, HEADER, CHUNKS) == path.stat().st_size
    return path


def read(path: Path) -> tuple[dict, list[bytes]]:
    return read_header(path, "request", "abc", chunks=2), list(iter_chunks(path))


def seal_body(path: Path, body: bytes) -> None:
    """A message with a right checksum over any body."""
    path.write_bytes(body + hashlib.sha256(body).digest())


def framed(header: bytes, *chunks: bytes) -> bytes:
    body = MAGIC + struct.pack("<I", len(header)) + header
    return body + b"".join(struct.pack("<Q", len(chunk)) + chunk for chunk in chunks)


def test_round_trip(path: Path) -> None:
    assert read(path) == (HEADER, CHUNKS)
    assert [item.name for item in path.parent.iterdir()] == ["message"]


def test_one_chunk_is_read_without_the_others(path: Path) -> None:
    assert [read_chunk(path, place) for place in locate_chunks(path)] == CHUNKS
    offset, length = locate_chunks(path)[0]
    assert path.read_bytes()[offset : offset + length] == CHUNKS[0]
    with pytest.raises(WireError, match="ends early"):
        read_chunk(path, (offset, path.stat().st_size))


@pytest.mark.parametrize(
    ("kind", "plan", "chunks", "message"),
    [
        ("public", "abc", 2, "kind is 'request', expected 'public'"),
        ("request", "xyz", 2, "plan is 'abc', expected 'xyz'.*same plan"),
        ("request", "abc", 3, "chunks is 2, expected 3"),
    ],
)
def test_other_kind_plan_or_count(
    path: Path, kind: str, plan: str, chunks: int, message: str
) -> None:
    with pytest.raises(WireError, match=message):
        read_header(path, kind, plan, chunks)


def test_damage_is_found(path: Path) -> None:
    data = path.read_bytes()
    path.write_bytes(data[:-1])
    with pytest.raises(WireError, match=r"message: checksum does not match.*Send it again"):
        read(path)
    flipped = bytearray(data)
    flipped[len(data) // 2] ^= 1
    path.write_bytes(flipped)
    with pytest.raises(WireError, match="checksum does not match"):
        read(path)
    path.write_bytes(b"PK\x03\x04 another kind of file altogether, long enough")
    with pytest.raises(WireError, match="no HE-CLSTM message: it does not begin with b'HECLSTM2'"):
        read(path)
    path.write_bytes(b"")
    with pytest.raises(WireError, match="ends early, wanted 8 bytes, got 0"):
        read(path)
    path.unlink()
    with pytest.raises(WireError, match="no such message"):
        read(path)


TEXT = json.dumps(HEADER).encode()


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (MAGIC + struct.pack("<I", 1 << 24) + bytes(64), "claims 16777216 bytes, at most 8388608"),
        (framed(b"{'kind'"), "header is no JSON"),
        (framed(b"\xff\xfe\xfa"), "header is no JSON"),
        (framed(b"[" * 100_000), "header is no JSON"),
        (framed(b'["chunks"]'), "does not say how many chunks"),
        (framed(b'{"chunks": "2"}'), "does not say how many chunks"),
        (framed(b'{"kind": "request", "plan": "abc", "chunks": -1}'), "chunks is -1, expected 2"),
        (framed(TEXT, b"one"), "chunk 1 claims .* bytes, the file ends before"),
        (framed(TEXT, b"one", b"two", b"three"), r"13 bytes follow the last chunk"),
        (framed(TEXT) + struct.pack("<Q", 1 << 60), r"chunk 0 claims 1152921504606846976 bytes"),
    ],
)
def test_wellformed_checksum_does_not_help(path: Path, body: bytes, message: str) -> None:
    seal_body(path, body)
    with pytest.raises(WireError, match=message):
        read(path)


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data(), sealed=st.booleans())
def test_mutations_raise_nothing_but_wire_errors(
    path: Path, data: st.DataObject, sealed: bool
) -> None:
    original = framed(TEXT, *CHUNKS)
    mutated = bytearray(original if sealed else original + hashlib.sha256(original).digest())
    start = data.draw(st.integers(0, len(mutated)))
    stop = data.draw(st.integers(start, min(start + 12, len(mutated))))
    mutated[start:stop] = data.draw(st.binary(max_size=12))
    if sealed:
        seal_body(path, bytes(mutated))
    else:
        path.write_bytes(mutated)
    try:
        header, chunks = read(path)
    except (WireError, SecretError):
        return
    if not sealed:
        assert (header, chunks) == (HEADER, CHUNKS)


def test_a_failing_source_leaves_no_file(tmp_path: Path) -> None:
    def chunks() -> Iterator[bytes]:
        yield b"one"
        raise RuntimeError("the encryptor failed")

    with pytest.raises(RuntimeError, match="the encryptor failed"):
        write_message(tmp_path / "message", HEADER, chunks())
    assert list(tmp_path.iterdir()) == []


def test_an_old_message_survives_a_failed_one(path: Path) -> None:
    with pytest.raises(WireError, match="announces 2 chunks, wrote 1"):
        write_message(path, HEADER, [b"one"])
    assert read(path) == (HEADER, CHUNKS)
    assert len(list(path.parent.iterdir())) == 1


@pytest.mark.parametrize("count", [None, 0, 9, "3", 2.0])
def test_number_of_sequences(path: Path, count: object) -> None:
    assert read_count({"sequences": 8}, path, 8) == 8
    with pytest.raises(WireError, match=r"message: sequences is .*expected a number from 1 to 8"):
        read_count({"sequences": count}, path, 8)
