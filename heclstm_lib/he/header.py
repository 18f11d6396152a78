"""What every message says of itself, and what two parties compare before SEAL sees a byte.

`docs/wire.md` lists the fields.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from functools import lru_cache
from importlib import metadata
from typing import Any

from heclstm_lib import __version__
from heclstm_lib.errors import WireError
from heclstm_lib.he.plan import Plan
from heclstm_lib.he.signature import Signature

FORMAT = 2
"""Version of the wire format; another one is refused."""

ID_LENGTH = 200
"""Characters of a sequence's id, at most."""

Header = dict[str, Any]


@lru_cache(maxsize=1)
def versions() -> dict[str, str]:
    """The libraries whose versions both parties must share."""
    return {"heclstm": __version__, "tenseal": metadata.version("tenseal")}


def shared_terms(plan: Plan | Signature) -> Header:
    """What client and server must hold alike: plan, parameters, layout (as digests and numbers)."""
    return {
        "plan": plan.digest,
        "parameters": plan.params.digest,
        "layout": dict(vars(plan.layout)),
    }


def base_header(kind: str, plan_digest: str, chunks: int) -> Header:
    """What every message says: format, kind, plan, versions, number of chunks."""
    common = {"format": FORMAT, "kind": kind, "versions": versions(), "chunks": chunks}
    return common | {"plan": plan_digest}


def message_header(plan: Plan | Signature, kind: str, chunks: int, **more: object) -> Header:
    """Header of a message of a kind with `chunks` chunks; `more` are fields of that kind."""
    return base_header(kind, plan.digest, chunks) | shared_terms(plan) | more


def differences(header: Header, expected: Header) -> list[str]:
    """Every field that is not as expected, each as "<field> is <found>, expected <wanted>"."""
    found: list[str] = []
    for key, wanted in expected.items():
        value = header.get(key)
        if isinstance(wanted, dict) and isinstance(value, dict):
            found += [f"{key}.{text}" for text in differences(value, wanted)]
            more = sorted(value.keys() - wanted.keys())
            found += [f"{key}.{_short(name)} is unknown" for name in more]
        elif type(value) is not type(wanted) or value != wanted:
            found.append(f"{key} is {_short(value)}, expected {wanted!r}")
    return found


def check_header(header: Header, expected: Header, name: str) -> None:
    """Raise WireError that names every field of message `name` that is not as expected."""
    expected = {"format": FORMAT} | expected | {"versions": versions()}
    if found := differences(header, expected):
        raise WireError(
            f"{name}: {'; '.join(found)}. Client and server must hold the same plan, run the same "
            "release, and exchange the right file."
        )


def check_ids(ids: Sequence[str], count: int, name: str) -> None:
    """Raise WireError unless `ids` are one for each of `count` sequences, unique and printable."""
    where = f"{name}: ids"
    if not isinstance(ids, list | tuple) or len(ids) != count:
        found = f"{len(ids)} of them" if isinstance(ids, list | tuple) else _short(ids)
        raise WireError(f"{where}: got {found}, expected one for each of {count} sequence(s).")
    for number, one in enumerate(ids):
        if not isinstance(one, str) or not 0 < len(one) <= ID_LENGTH or not one.isprintable():
            raise WireError(
                f"{where}: number {number} is {_short(one)}, expected 1 to {ID_LENGTH} printable "
                "characters."
            )
    twice, times = Counter(ids).most_common(1)[0]
    if times > 1:
        raise WireError(
            f"{where}: {_short(twice)} stands there twice; give every sequence its own."
        )


def read_ids(header: Header, name: str, count: int) -> list[str]:
    """The ids of a message's `count` sequences, in order; WireError unless `check_ids` accepts."""
    ids = header.get("ids")
    check_ids(ids, count, name)  # type: ignore[arg-type]
    return list(ids)  # type: ignore[arg-type]


def read_request_checksum(header: Header, name: str) -> str:
    """The checksum of the request that a response answers; WireError unless it can be one."""
    checksum = header.get("request")
    if not isinstance(checksum, str) or not re.fullmatch("[0-9a-f]{64}", checksum):
        raise WireError(f"{name}: request is {_short(checksum)}, expected 64 hexadecimal digits.")
    return checksum


def _short(value: object) -> str:
    """A value from an untrusted header as it may stand in a message."""
    text = repr(value)
    return text if len(text) <= 90 else f"{text[:80]}... ({len(text)} characters)"
