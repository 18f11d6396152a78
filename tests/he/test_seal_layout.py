"""SEAL objects from strangers: one form of each is taken, all else is named before SEAL sees it."""

from __future__ import annotations

import struct
from collections.abc import Callable

import numpy as np
import pyarrow
import pytest

from heclstm_lib.errors import WireError
from heclstm_lib.he.keys import SecretKeys
from heclstm_lib.he.params import CkksParameters
from heclstm_lib.he.seal import from_bytes, load_context, to_bytes
from heclstm_lib.he.seal_layout import plain_object

PARAMS = CkksParameters(8192, 2, 40, 55, 56)
HEADER, META = 16, 73
N, SEED = 8192, 81


@pytest.fixture(scope="module")
def objects() -> dict[str, bytes]:
    keys = SecretKeys(PARAMS)
    public, relin, galois = keys.evaluation_keys((1,))
    sent = keys.encrypt(np.ones(PARAMS.slots))
    full = to_bytes(from_bytes("Ciphertext", sent, load_context(PARAMS)))
    found = {"PublicKey": public, "RelinKeys": relin, "GaloisKeys": galois}
    return found | {"Ciphertext": sent, "full": full}


def load(kind: str, data: bytes) -> object:
    return from_bytes(kind, data, load_context(PARAMS))


def inside(kind: str, data: bytes) -> bytearray:
    return bytearray(plain_object(kind, data, PARAMS)[HEADER:])


def packed(body: bytes) -> bytes:
    """An object around any body, compressed as SEAL does it."""
    sink = pyarrow.BufferOutputStream()
    with pyarrow.output_stream(sink, compression="zstd") as stream:
        stream.write(body)
    return header(2, stream := sink.getvalue().to_pybytes()) + stream


def header(mode: int, body: bytes, minor: int = 3) -> bytes:
    return struct.pack("<HBBBBHQ", 0xA15E, HEADER, 4, minor, mode, 0, HEADER + len(body))


def put(body: bytearray, place: int, form: str, *values: object) -> bytes:
    struct.pack_into(form, body, place, *values)
    return bytes(body)


@pytest.mark.parametrize("kind", ["Ciphertext", "PublicKey", "RelinKeys", "GaloisKeys"])
def test_every_object_passes_compressed_or_not(objects: dict[str, bytes], kind: str) -> None:
    plain = plain_object(kind, objects[kind], PARAMS)
    assert plain[5] == 0 and int.from_bytes(plain[8:16], "little") == len(plain)
    assert plain_object(kind, plain, PARAMS) == plain
    assert to_bytes(load(kind, plain)) == to_bytes(load(kind, objects[kind]))


def test_a_ciphertext_that_is_not_seeded_passes(objects: dict[str, bytes]) -> None:
    assert to_bytes(load("Ciphertext", objects["full"])) == objects["full"]


Change = Callable[[bytearray], bytes]
CIPHERTEXTS: dict[str, tuple[Change, str]] = {
    "NTT form": (lambda b: put(b, 32, "B", 0), "NTT form 0"),
    "no polynomials": (lambda b: put(b, 33, "<Q", 0), "0 polynomials"),
    "many": (lambda b: put(b, 33, "<Q", 1 << 62), "4611686018427387904 polynomials"),
    "degree": (lambda b: put(b, 41, "<Q", 2 * N), "of degree 16384 modulo 3"),
    "primes": (lambda b: put(b, 49, "<Q", 4), "modulo 4 primes.*expected.*modulo 1 to 3"),
    "scale": (lambda b: put(b, 57, "<d", -1.0), "scale -1,"),
    "infinite": (lambda b: put(b, 57, "<d", np.inf), "scale inf"),
    "no number": (lambda b: put(b, 57, "<d", np.nan), "scale nan"),
    "factor": (lambda b: put(b, 65, "<Q", 2), "factor 2;"),
    "compressed twice": (lambda b: put(b, META + 5, "B", 2), "compression 2; expected"),
    "array's length": (lambda b: put(b, META + HEADER, "<Q", 5), "5 residues; expected 24576"),
    "array's size": (lambda b: put(b, META + 8, "<Q", 5), "size.*, 5.*expected.*196632"),
    "generator": (lambda b: put(b, len(b) - 65, "B", 0), "generator 0"),
    "cut": (lambda b: bytes(b[:-1]), "in the middle of a field"),
    "empty": (lambda _: b"", "ends at 0 bytes"),
    "longer": (lambda b: bytes(b) + bytes(8), "8 bytes follow its end"),
    "other parameters": (lambda b: put(b, 0, "<Q", 7), "are no Ciphertext for N=8192"),
    "residue": (lambda b: put(b, META + HEADER + 8, "<Q", 1 << 56), "are no Ciphertext"),
}


@pytest.mark.parametrize("name", CIPHERTEXTS)
@pytest.mark.parametrize("wrapped", [packed, lambda body: header(0, body) + body])
def test_a_changed_ciphertext_is_refused(
    objects: dict[str, bytes], name: str, wrapped: Callable[[bytes], bytes]
) -> None:
    change, message = CIPHERTEXTS[name]
    with pytest.raises(WireError, match=message):
        load("Ciphertext", wrapped(change(inside("Ciphertext", objects["Ciphertext"]))))


def test_a_public_key_is_a_ciphertext_modulo_all_primes(objects: dict[str, bytes]) -> None:
    body = inside("PublicKey", objects["PublicKey"])
    with pytest.raises(WireError, match="PublicKey: NTT form 1, 3 polynomials"):
        load("PublicKey", packed(put(body, 33, "<Q", 3)))
    with pytest.raises(WireError, match="are no PublicKey"):
        load("PublicKey", objects["full"])
    with pytest.raises(WireError, match=r"Ciphertext: .* modulo 4 primes"):
        load("Ciphertext", objects["PublicKey"])


def key_changes(body: bytearray, filled: int) -> dict[str, tuple[bytes, str]]:
    place = 40 + 8 * filled
    return {
        "lists": (put(body[:], 32, "<Q", 1 << 60), "1152921504606846976 lists of keys"),
        "too few keys": (put(body[:], place, "<Q", 2), "a list of 2 keys, expected 3"),
        "none": (put(body[:], place, "<Q", 0), "a list of .* keys, expected 3"),
        "key's size": (put(body[:], place + 16, "<Q", 99), "99.*expected.*262338"),
        "key compressed": (put(body[:], place + 13, "B", 2), "compression 2"),
        "cut": (bytes(body[:40]), "in the middle"),
    }


@pytest.mark.parametrize("change", ["lists", "too few keys", "none", "key's size", "cut",
                                    "key compressed"])  # fmt: skip
@pytest.mark.parametrize(("kind", "filled"), [("RelinKeys", 0), ("GaloisKeys", 1)])
def test_a_changed_key_is_refused(
    objects: dict[str, bytes], kind: str, filled: int, change: str
) -> None:
    changed, message = key_changes(inside(kind, objects[kind]), filled)[change]
    with pytest.raises(WireError, match=f"{kind}: .*{message}"):
        load(kind, packed(changed))


def test_galois_keys_hold_one_key(objects: dict[str, bytes]) -> None:
    body = inside("GaloisKeys", objects["GaloisKeys"])
    with pytest.raises(WireError, match="more than one list of keys is filled"):
        load("GaloisKeys", packed(put(body, len(body) - 8, "<Q", 3)))
    with pytest.raises(WireError, match="GaloisKeys: 1 lists of keys, expected 8192"):
        load("GaloisKeys", objects["RelinKeys"])


def test_a_bomb_is_not_inflated(objects: dict[str, bytes]) -> None:
    bomb = packed(inside("Ciphertext", objects["Ciphertext"]) + bytes(200 << 20))
    assert len(bomb) < 1 << 18
    with pytest.raises(WireError, match="inflates to more than the 589921 bytes"):
        load("Ciphertext", bomb)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "ends at 0 bytes"),
        (header(2, b"xx"), "a SEAL header at byte 0 says .*18.*expected .*16"),
        (header(2, b"xx") + b"xx", "zstd stream is damaged"),
        (header(1, b"xx") + b"xx", "compression 1; expected .* compression 0 or 2"),
        (header(0, b"") , "ends at 0 bytes"),
        (b"PK" + bytes(30), "says .*19280"),
    ],
)  # fmt: skip
def test_what_is_no_seal_object(data: bytes, message: str) -> None:
    with pytest.raises(WireError, match=f"Ciphertext: .*{message}"):
        load("Ciphertext", data)


def test_another_release_of_seal_is_named(objects: dict[str, bytes]) -> None:
    body = inside("Ciphertext", objects["Ciphertext"])
    with pytest.raises(WireError, match="incompatible version"):
        load("Ciphertext", header(0, body, minor=9) + body)


def test_what_anyone_can_read_is_refused(objects: dict[str, bytes]) -> None:
    body = inside("Ciphertext", objects["full"])
    half = 8 * 3 * N
    body[-half:] = bytes(half)
    with pytest.raises(WireError, match="no encryption, anyone can read it"):
        load("Ciphertext", packed(body))
