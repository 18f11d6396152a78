"""The secret key on disk: readable by its owner only, encrypted under a passphrase if one is given.

layout: b"HECLSEC1" | u32 header length | header JSON | key | 32 bytes sha256 over all before. With
a passphrase the key is AES-256-GCM under Scrypt's key (RFC 7914), and authenticates all before it.
The server cannot import this module; its commands refuse such a file (`he.wire.refuse_secret`).
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import stat
import struct
from pathlib import Path
from typing import Any, BinaryIO

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from heclstm_lib.errors import SecretError
from heclstm_lib.files import replacing
from heclstm_lib.he.header import differences, versions
from heclstm_lib.he.keys import SecretKeys
from heclstm_lib.he.params import CkksParameters
from heclstm_lib.he.plan import Plan
from heclstm_lib.he.signature import Signature
from heclstm_lib.he.wire import SECRET_MAGIC

PRIVATE = 0o600
SCRYPT = {"n": 1 << 17, "r": 8, "p": 1}
"""Cost of a guess at a passphrase: 128 MB of memory (OWASP Password Storage Cheat Sheet)."""

SALT_BYTES, NONCE_BYTES, DIGEST_BYTES = 16, 12, 32
HEADER_LIMIT, SIZE_LIMIT = 1 << 12, 1 << 27


def write_secret(keys: SecretKeys, path: Path, passphrase: str | None = None) -> int:
    """Write a client's secret key with permissions 0600, atomically; size in bytes.

    Raises SecretError for an empty passphrase.
    """
    salt, nonce = secrets.token_bytes(SALT_BYTES), secrets.token_bytes(NONCE_BYTES)
    header = _expected(keys.params) | {"locked": passphrase is not None}
    if passphrase is not None:
        header |= {"scrypt": SCRYPT, "salt": salt.hex(), "nonce": nonce.hex()}
    text = json.dumps(header, sort_keys=True).encode()
    begin = SECRET_MAGIC + struct.pack("<I", len(text)) + text
    payload = keys.secret_bytes()
    if passphrase is not None:
        payload = _cipher(passphrase, header).encrypt(nonce, payload, begin)
    digest = hashlib.sha256(begin + payload).digest()
    with replacing(path, PRIVATE) as part:
        part.write_bytes(begin + payload + digest)
    return path.stat().st_size


def load_secret(
    path: Path, signature: Signature | Plan, passphrase: str | None = None
) -> SecretKeys:
    """Load a client's secret key for a plan.

    Raises SecretError for a file that others may read, is damaged, was made for other parameters
    or by another release, and for a missing or wrong passphrase.
    """
    begin, header, payload = _read(path)
    expected = _expected(signature.params)
    known = {key: header.get(key) for key in expected}
    if found := differences(known, expected):
        raise SecretError(
            f"{path.name}: {'; '.join(found)}. Use the secret bundle made with this plan's "
            "signature, and the release that made it."
        )
    if header.get("locked") is not False:
        payload = _unlock(path, begin, header, payload, passphrase)
    return SecretKeys(signature.params, payload)


def is_locked(path: Path) -> bool:
    """Whether a secret bundle needs a passphrase; SecretError when it cannot be read."""
    return _read(path)[1].get("locked") is not False


def _expected(params: CkksParameters) -> dict[str, Any]:
    return {"kind": "secret", "parameters": params.digest, "versions": versions()}


def _read(path: Path) -> tuple[bytes, dict[str, Any], bytes]:
    """All up to the key, the header, and the key as it is stored; its permissions come first."""
    try:
        with path.open("rb") as file:
            _check_private(file, path)
            data = file.read(SIZE_LIMIT)
    except OSError as error:
        raise SecretError(
            f"{path}: cannot be read ({error.strerror}). Make keys first: heclstm keygen."
        ) from error
    body, digest = data[:-DIGEST_BYTES], data[-DIGEST_BYTES:]
    if not data.startswith(SECRET_MAGIC):
        raise SecretError(
            f"{path.name} is no secret bundle: it does not begin with {SECRET_MAGIC!r}. Name the "
            "file that heclstm keygen wrote."
        )
    if hashlib.sha256(body).digest() != digest:
        raise SecretError(f"{path.name}: checksum does not match; restore it from your backup.")
    start = len(SECRET_MAGIC) + 4
    (length,) = struct.unpack("<I", body[start - 4 : start].ljust(4, b"\xff"))
    header = _parse(body[start : start + min(length, HEADER_LIMIT)])
    if header is None:
        raise SecretError(f"{path.name}: its header is no JSON object; make keys anew.")
    return body[: start + length], header, body[start + length :]


def _parse(text: bytes) -> dict[str, Any] | None:
    """The header, or None: an error of the parser would carry bytes of the key along."""
    try:
        header = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return header if isinstance(header, dict) else None


def _check_private(file: BinaryIO, path: Path) -> None:
    mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
    if mode & 0o077:
        raise SecretError(
            f"{path.name}: permissions are {mode:04o}, expected {PRIVATE:04o}: others on this "
            f"machine may read the secret key. If nobody did, run: chmod 600 {path.name}; else "
            "make new keys."
        )


def _unlock(
    path: Path, begin: bytes, header: dict[str, Any], payload: bytes, passphrase: str | None
) -> bytes:
    if passphrase is None:
        raise SecretError(f"{path.name} is locked with a passphrase; give it (--passphrase-file).")
    if found := differences({"scrypt": header.get("scrypt")}, {"scrypt": SCRYPT}):
        raise SecretError(f"{path.name}: {'; '.join(found)}. Use the release that made it.")
    try:
        nonce = bytes.fromhex(header["nonce"])
        return _cipher(passphrase, header).decrypt(nonce, payload, begin)
    except (KeyError, TypeError, ValueError):
        raise SecretError(f"{path.name}: its salt or nonce is unreadable; restore it.") from None
    except InvalidTag:
        raise SecretError(f"{path.name}: the passphrase is wrong.") from None


def _cipher(passphrase: str, header: dict[str, Any]) -> AESGCM:
    if not passphrase:
        raise SecretError("the passphrase is empty; give at least one character, or none at all.")
    kdf = Scrypt(salt=bytes.fromhex(header["salt"]), length=32, **SCRYPT)
    return AESGCM(kdf.derive(passphrase.encode()))
