"""Who may use the service: one token for each hospital; the service keeps only their hashes.

A list has one `name:sha256` a hospital, in a file (one a line, `#` begins a comment) or in the
environment variable HECLSTM_TOKENS (separated by spaces or commas). Tokens are 32 random bytes, so
a plain hash cannot be reversed by guessing.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import re
import secrets
from dataclasses import dataclass, field
from pathlib import Path

from heclstm_lib.errors import ServiceError
from heclstm_lib.files import replacing

VARIABLE = "HECLSTM_TOKENS"
_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,39}")
_HASH = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Tokens:
    """Pairs (name of the hospital, sha256 of its token)."""

    known: tuple[tuple[str, bytes], ...] = field(repr=False)

    def owner(self, token: str) -> str | None:
        """The hospital a token belongs to; takes the same time whichever it is, or none."""
        digest, found = hash_token(token), None
        for name, known in self.known:
            if hmac.compare_digest(digest, known):
                found = name
        return found


def hash_token(token: str) -> bytes:
    """What the service keeps of a token."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()


def load_tokens(path: Path | None) -> Tokens:
    """The tokens of a file, else of HECLSTM_TOKENS; ServiceError when there is none."""
    if path is None:
        text, where = os.environ.get(VARIABLE, ""), VARIABLE
    else:
        text, where = _read(path), path.name
    words = [word for line in text.splitlines() for word in line.split("#")[0].split()]
    entries = [entry for word in words for entry in word.split(",") if entry]
    known = tuple(_parse(entry, number, where) for number, entry in enumerate(entries, 1))
    for what, values in (("name", [n for n, _ in known]), ("token", [h for _, h in known])):
        if len(set(values)) < len(values):
            raise ServiceError(
                f"{where}: a {what} stands there twice; give every hospital its own."
            )
    if not known:
        raise ServiceError(
            f"{where}: no token, so nobody could use the service. Make one: "
            "heclstm serve --tokens FILE --new-token NAME."
        )
    return Tokens(known)


def add_token(path: Path, name: str) -> str:
    """Make a token for a hospital, add its hash to a file (0600); the token, shown only now.

    Raises ServiceError for a name that is taken or not of the form the service needs.
    """
    _check_name(name, path.name)
    text = _read(path) if path.exists() else ""
    if any(line.startswith(f"{name}:") for line in text.split()):
        raise ServiceError(f"{path.name}: {name} has a token; remove its line to replace it.")
    token = secrets.token_urlsafe(32)
    gap = "" if text.endswith("\n") or not text else "\n"
    with replacing(path, 0o600) as part:
        part.write_text(f"{text}{gap}{name}:{hash_token(token).hex()}\n", encoding="utf-8")
    return token


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise ServiceError(f"{path}: the list of tokens cannot be read ({error}).") from error


def _parse(entry: str, number: int, where: str) -> tuple[str, bytes]:
    """One `name:sha256`; the message never repeats the entry, which might be a token."""
    name, _, digest = entry.partition(":")
    if not _NAME.fullmatch(name) or not _HASH.fullmatch(digest):
        raise ServiceError(
            f"{where}: entry {number} is not name:sha256 (64 hexadecimal digits). Make entries "
            "with: heclstm serve --tokens FILE --new-token NAME."
        )
    return name, bytes.fromhex(digest)


def _check_name(name: str, where: str) -> None:
    if not _NAME.fullmatch(name):
        raise ServiceError(
            f"{where}: {name!r:.60} is no name for a hospital; expected up to 40 of a-z, 0-9, - "
            "and _, a letter or digit first."
        )
