"""What two parties compare before SEAL sees a byte: every difference is named."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from networks import make_network

from heclstm_lib.compiler.chain import choose_parameters
from heclstm_lib.compiler.network import plan_network
from heclstm_lib.errors import SecretError, WireError
from heclstm_lib.he.header import (
    check_ids,
    message_header,
    read_ids,
    read_request_checksum,
    shared_terms,
    versions,
)
from heclstm_lib.he.packing import Layout
from heclstm_lib.he.wire import SECRET_MAGIC, read_header, write_message

NETWORK = make_network(frames=2, hidden=0, channels_out=2, kernel_size=3, image_size=6)
PLAN = plan_network(NETWORK, choose_parameters(NETWORK, 8192), 2)
HEADER = message_header(PLAN, "request", 1, sequences=2, ids=["a", "b"])


def read(path: Path) -> dict:
    return read_header(path, "request", PLAN.digest, 1, shared_terms(PLAN))


def test_the_header_of_a_message(tmp_path: Path) -> None:
    write_message(tmp_path / "m", HEADER, [b"x"])
    header = read(tmp_path / "m")
    assert set(header) == {
        "format", "kind", "plan", "parameters", "versions", "layout", "chunks", "sequences", "ids",
    }  # fmt: skip
    assert header["format"] == 2 and header["plan"] == PLAN.digest
    assert header["parameters"] == PLAN.params.digest
    assert header["layout"] == {"slots": 4096, "frames": 2, "sequences": 2}
    assert header["versions"] == versions()
    assert json.loads(json.dumps(header)) == header == HEADER


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": 3}, "m: format is 3, expected 2"),
        ({"format": 2.0}, "format is 2.0, expected 2"),
        ({"format": None}, "format is None"),
        ({"kind": "response"}, "kind is 'response', expected 'request'"),
        ({"plan": "0" * 64}, "plan is '0000.*expected '.*same plan"),
        ({"parameters": "1" * 64}, "parameters is '1111.*expected"),
        ({"chunks": 2}, "announces|chunks is 2, expected 1"),
        ({"versions": versions() | {"tenseal": "0.3.17"}}, r"versions\.tenseal is '0\.3\.17', exp"),
        ({"versions": versions() | {"heclstm": "9"}}, r"versions\.heclstm is '9', exp.*relea"),
        ({"versions": versions() | {"openfhe": "1"}}, r"versions\.'openfhe' is unknown"),
        ({"versions": "0.3.18"}, "versions is '0.3.18', expected {"),
        ({"layout": {"slots": 4096, "frames": 4, "sequences": 1}},
         r"layout\.frames is 4, expected 2; layout\.sequences is 1, expected 2"),
        ({"layout": {"slots": True, "frames": 2, "sequences": 2}}, r"layout\.slots is True"),
        ({"plan": "x" * 5000}, r"plan is 'x{79}\.\.\. \(5002 characters\), expected"),
    ],
)  # fmt: skip
def test_every_mismatch_is_named(tmp_path: Path, change: dict, message: str) -> None:
    header = HEADER | change
    write_message(tmp_path / "m", header, [b"x"] * header["chunks"])
    with pytest.raises(WireError, match=message):
        read(tmp_path / "m")


def test_all_differences_stand_in_one_message(tmp_path: Path) -> None:
    write_message(tmp_path / "m", {"chunks": 1}, [b"x"])
    with pytest.raises(WireError) as caught:
        read(tmp_path / "m")
    for key in ("format", "kind", "plan", "parameters", "layout", "versions"):
        assert f"{key} is None, expected" in str(caught.value)


def test_the_former_format_and_secrets_are_told_apart(tmp_path: Path) -> None:
    path = tmp_path / "m"
    write_message(path, HEADER, [b"x"])
    data = path.read_bytes()
    path.write_bytes(b"HECLSTM1" + data[8:])
    with pytest.raises(WireError, match=r"m: format is b'1', expected 2.*the same release"):
        read(path)
    path.write_bytes(SECRET_MAGIC + data[8:])
    with pytest.raises(SecretError, match="m is a secret bundle; a server needs the public"):
        read(path)


def test_a_header_that_is_too_long_is_not_written(tmp_path: Path) -> None:
    with pytest.raises(WireError, match=r"a header of 8\d{6} bytes, at most 8388608 allowed"):
        write_message(tmp_path / "m", HEADER | {"ids": ["x" * 200] * 42000}, [b"x"])
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("ids", "message"),
    [
        (None, "m: ids: got None, expected one for each of 2"),
        ("ab", "got 'ab', expected one for each"),
        (["a"], "got 1 of them, expected one for each of 2"),
        (["a", 7], "number 1 is 7, expected 1 to 200 printable characters"),
        (["", "b"], "number 0 is '', expected"),
        (["a" * 201, "b"], r"number 0 is 'a{79}\.\.\. \(203 characters\), expected"),
        (["a\n", "b"], r"number 0 is 'a\\n', expected 1 to 200 printable"),
        (["a", "a"], "'a' stands there twice"),
    ],
)
def test_ids(ids: object, message: str) -> None:
    for check in (
        lambda: check_ids(ids, 2, "m"),  # type: ignore[arg-type]
        lambda: read_ids({"ids": ids}, "m", 2),
    ):  # fmt: skip
        with pytest.raises(WireError, match=message):
            check()
    assert read_ids({"ids": ["a", "é" * 200]}, "m", 2) == ["a", "é" * 200]


@pytest.mark.parametrize("found", [None, 3, "a" * 63, "A" * 64, "../" + "a" * 61, "a" * 64 + "\n"])
def test_a_response_names_its_request(found: object) -> None:
    with pytest.raises(WireError, match=r"m: request is .*expected 64 hexadecimal digits"):
        read_request_checksum({"request": found}, "m")
    assert read_request_checksum({"request": "a" * 64}, "m") == "a" * 64


def variants() -> list[Callable]:
    return [
        lambda p: replace(p, params=replace(p.params, scale_bits=p.params.scale_bits - 1)),
        lambda p: replace(p, layout=Layout(p.layout.slots, 4, 1)),
        lambda p: replace(p, digest="f" * 64),
    ]


@pytest.mark.parametrize("change", variants())
def test_terms_tell_signatures_apart(change: Callable) -> None:
    assert (
        shared_terms(change(PLAN.signature)) != shared_terms(PLAN) == shared_terms(PLAN.signature)
    )
