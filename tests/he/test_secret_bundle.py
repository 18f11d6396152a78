"""The secret on disk: for its owner only, and nothing of it in what is said about it."""

from __future__ import annotations

import copy
import dataclasses
import hashlib
import json
import pickle
import stat
import struct
import traceback
from pathlib import Path

import numpy as np
import pytest

from heclstm_lib.errors import SecretError
from heclstm_lib.he import header, secret_bundle
from heclstm_lib.he.keys import SecretKeys
from heclstm_lib.he.packing import Layout
from heclstm_lib.he.params import CkksParameters
from heclstm_lib.he.seal import from_bytes, load_context
from heclstm_lib.he.secret_bundle import is_locked, load_secret, write_secret
from heclstm_lib.he.signature import InputSpec, OutputSpec, Signature
from heclstm_lib.he.wire import SECRET_MAGIC, refuse_secret

PARAMS = CkksParameters(8192, 2, 40, 50, 60)
WORD = "correct horse battery staple"


def signature(params: CkksParameters = PARAMS) -> Signature:
    inputs, outputs = InputSpec(1, (1,), ((0,),)), OutputSpec(((0,),))
    return Signature(params, Layout(params.slots, 1, 1), inputs, outputs, (), (), "d" * 64)


@pytest.fixture(scope="module")
def keys() -> SecretKeys:
    return SecretKeys(PARAMS)


@pytest.fixture(autouse=True)
def cheap(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(secret_bundle, "SCRYPT", {"n": 1 << 10, "r": 8, "p": 1})


@pytest.fixture
def path(keys: SecretKeys, tmp_path: Path) -> Path:
    write_secret(keys, tmp_path / "secret.bundle")
    return tmp_path / "secret.bundle"


@pytest.fixture
def locked(keys: SecretKeys, tmp_path: Path) -> Path:
    write_secret(keys, tmp_path / "locked.bundle", WORD)
    return tmp_path / "locked.bundle"


def rewrite(path: Path, change: dict, magic: bytes = SECRET_MAGIC) -> None:
    """The same bundle with another header and a right checksum."""
    data = path.read_bytes()
    (length,) = struct.unpack("<I", data[8:12])
    text = json.dumps(json.loads(data[12 : 12 + length]) | change).encode()
    body = magic + struct.pack("<I", len(text)) + text + data[12 + length : -32]
    path.write_bytes(body + hashlib.sha256(body).digest())


@pytest.mark.parametrize("passphrase", [None, WORD])
def test_a_loaded_key_decrypts_what_the_first_one_encrypted(
    keys: SecretKeys, tmp_path: Path, passphrase: str | None
) -> None:
    path = tmp_path / "new" / "secret.bundle"
    assert write_secret(keys, path, passphrase) == path.stat().st_size
    assert is_locked(path) == (passphrase is not None)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    loaded = load_secret(path, signature(), passphrase)
    slots = np.linspace(-1, 1, PARAMS.slots)
    for one, other in ((keys, loaded), (loaded, keys)):
        ciphertext = from_bytes("Ciphertext", one.encrypt(slots), load_context(PARAMS))
        assert np.abs(other.decrypt(ciphertext) - slots).max() < 1e-6


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o644, 0o611])
def test_permissions_of_others_are_refused(path: Path, mode: int) -> None:
    path.chmod(mode)
    said = f"permissions are {mode:04o}, expected 0600.*chmod 600 secret.bundle"
    with pytest.raises(SecretError, match=said):
        load_secret(path, signature())
    path.chmod(0o400)
    load_secret(path, signature())


def test_passphrases(keys: SecretKeys, path: Path, locked: Path, tmp_path: Path) -> None:
    with pytest.raises(SecretError, match=r"locked.bundle is locked with a passphrase; give it"):
        load_secret(locked, signature())
    for wrong in ("wrong", WORD + " ", WORD.upper()):
        with pytest.raises(SecretError, match=r"locked.bundle: the passphrase is wrong"):
            load_secret(locked, signature(), wrong)
    for empty in (lambda: load_secret(locked, signature(), ""),
                  lambda: write_secret(keys, tmp_path / "x", "")):  # fmt: skip
        with pytest.raises(SecretError, match="the passphrase is empty"):
            empty()
    assert not (tmp_path / "x").exists()
    load_secret(path, signature(), "not needed")


def test_nothing_of_a_locked_key_can_be_read_or_changed(keys: SecretKeys, locked: Path) -> None:
    stored, data = keys.secret_bytes(), locked.read_bytes()
    for start in range(16, len(stored) - 16, len(stored) // 50):
        assert stored[start : start + 16] not in data
    again = locked.with_name("again")
    write_secret(keys, again, WORD)
    assert again.read_bytes()[-2000:] != data[-2000:]  # another salt and nonce
    rewrite(locked, {"note": "all that precedes the key is authenticated"})
    with pytest.raises(SecretError, match="the passphrase is wrong"):
        load_secret(locked, signature(), WORD)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"parameters": "f" * 64}, "parameters is 'ffff.*with this plan's signature"),
        ({"versions": {"heclstm": "0.0.1"}}, r"versions.heclstm is '0.0.1', expected '\d.*tenseal"),
        ({"kind": "public"}, "kind is 'public', expected 'secret'"),
    ],
)
def test_mismatches_are_named(path: Path, change: dict, message: str) -> None:
    rewrite(path, change)
    with pytest.raises(SecretError, match=message):
        load_secret(path, signature())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"scrypt": {"n": 1 << 30, "r": 8, "p": 1}}, r"scrypt.n is 1073741824, expected 1024"),
        ({"scrypt": None}, "scrypt is None"),
        ({"nonce": "xyz"}, "salt or nonce is unreadable"),
        ({"salt": 7}, "salt or nonce is unreadable"),
    ],
)
def test_locks_that_were_altered(locked: Path, change: dict, message: str) -> None:
    rewrite(locked, change)
    with pytest.raises(SecretError, match=message):
        load_secret(locked, signature(), WORD)


def test_other_parameters_need_other_keys(path: Path) -> None:
    other = dataclasses.replace(PARAMS, levels=1)
    with pytest.raises(SecretError, match=r"parameters is .*, expected .*this plan's signature"):
        load_secret(path, signature(other))


def test_damage_is_found(path: Path) -> None:
    data = path.read_bytes()
    for place in (0, 9, 40, len(data) // 2, len(data) - 1):
        flipped = bytearray(data)
        flipped[place] ^= 4
        path.write_bytes(flipped)
        with pytest.raises(SecretError, match=r"checksum does not match|is no secret bundle"):
            load_secret(path, signature())
    for cut in (0, 7, 11, 30, 200, len(data) - 1):
        path.write_bytes(data[:cut])
        with pytest.raises(SecretError, match=r"checksum does not match|is no secret bundle"):
            load_secret(path, signature())
    path.unlink()
    with pytest.raises(SecretError, match=r"cannot be read.*heclstm keygen"):
        load_secret(path, signature())


@pytest.mark.parametrize("text", [b"{", b"[1]", b"\xff", b"[" * 4000])
def test_headers_that_are_none(path: Path, text: bytes) -> None:
    body = SECRET_MAGIC + struct.pack("<I", len(text)) + text + bytes(99)
    path.write_bytes(body + hashlib.sha256(body).digest())
    with pytest.raises(SecretError, match="its header is no JSON object"):
        load_secret(path, signature())


def test_a_key_that_seal_refuses(path: Path) -> None:
    data = path.read_bytes()
    (length,) = struct.unpack("<I", data[8:12])
    body = data[: 12 + length] + b"no key"
    path.write_bytes(body + hashlib.sha256(body).digest())
    with pytest.raises(SecretError, match="6 bytes are no secret key for the plan's parameters"):
        load_secret(path, signature())


def test_servers_know_the_file_by_its_beginning(path: Path, locked: Path, tmp_path: Path) -> None:
    for one in (path, locked):
        with pytest.raises(SecretError, match=r"is a secret bundle; a server needs the public"):
            refuse_secret(one)
    (tmp_path / "other").write_bytes(b"HECLSTM2...")
    refuse_secret(tmp_path / "other")


def test_nothing_secret_is_said(keys: SecretKeys, path: Path) -> None:
    """Neither representations nor tracebacks hold a byte of the key; keys cannot be pickled."""
    secret = keys.secret_bytes()
    said = [repr(keys), str(keys), f"{keys}", repr(vars(keys))]
    for attempt in (pickle.dumps, copy.deepcopy):
        with pytest.raises(TypeError, match="cannot pickle"):
            attempt(keys)
    path.write_bytes(path.read_bytes()[:-700] + bytes(700))
    try:
        load_secret(path, signature())
    except SecretError as error:
        said += [*traceback.format_exception(error), repr(error), repr(error.__context__)]
    for start in range(20, len(secret) - 12, 40):
        part = secret[start : start + 12]
        assert not any(repr(part)[2:-1] in text or part.hex() in text for text in said)


def test_versions_are_the_libraries_own() -> None:
    import tenseal

    assert header.versions()["tenseal"] == tenseal.__version__
