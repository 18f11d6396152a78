"""What must hold of anything a reader accepted, checked by other code than the reader's."""

from __future__ import annotations

import hashlib
import json
import math
import re
import struct
from typing import Any

from heclstm_lib.data.manifest import Manifest
from heclstm_lib.he.header import FORMAT, shared_terms, versions
from heclstm_lib.he.plan import Plan
from heclstm_lib.he.seal import Context
from heclstm_lib.he.wire import MAGIC
from heclstm_lib.robustness.mutations import to_text


class WrongAcceptance(Exception):
    """A reader took what it must not take."""


def demand(holds: object, what: str) -> None:
    """Raise WrongAcceptance unless something holds."""
    if not holds:
        raise WrongAcceptance(what)


def sealed(body: bytes) -> bytes:
    """A message's body with its checksum."""
    return body + hashlib.sha256(body).digest()


def check_message(data: bytes, plan: Plan, ids: list[str], chunks: list[bytes]) -> None:
    """What must hold of an accepted request: terms, ids, and that no byte stands outside."""
    (length,) = struct.unpack_from("<I", data, len(MAGIC))
    start = len(MAGIC) + 4
    header = json.loads(data[start : start + length])
    framed = b"".join(struct.pack("<Q", len(chunk)) + chunk for chunk in chunks)
    demand(data == sealed(data[: start + length] + framed), "bytes outside the frame")
    terms = {"format": FORMAT, "kind": "request", "versions": versions()} | shared_terms(plan)
    for key, wanted in terms.items():
        demand(to_text(header[key]) == to_text(_ordered(wanted, header[key])), f"{key} differs")
    demand(len(chunks) == header["chunks"] == plan.inputs.count, "number of chunks")
    demand(header["sequences"] == len(ids) <= plan.layout.sequences, "number of sequences")
    demand(header["ids"] == ids and len(set(ids)) == len(ids) > 0, "ids")
    demand(all(0 < len(one) <= 200 and one.isprintable() for one in ids), "characters of ids")


def _ordered(wanted: Any, like: Any) -> Any:
    """A dict in the order of another's keys: order has no meaning."""
    return {key: wanted[key] for key in like} if isinstance(wanted, dict) else wanted


def check_manifest(manifest: Manifest) -> None:
    """What must hold of an accepted manifest: paths below the data folder, digests, labels."""
    paths = [resource.path for resource in manifest.resources]
    demand(len(paths) == len(set(paths)), "a path twice")
    for resource in manifest.resources:
        parts = re.split(r"[/\\]", resource.path)
        demand(".." not in parts and parts[0] and ":" not in parts[0], f"path {resource.path!r}")
        demand("\0" not in resource.path and resource.path.isprintable(), "path not printable")
        if resource.sha256 is not None:
            demand(re.fullmatch("[0-9a-f]{64}", resource.sha256), "sha256")
        if resource.md5 is not None:
            demand(re.fullmatch("[0-9a-f]{32}", resource.md5), "md5")
        demand(resource.label in (None, 0, 1), "label")
        demand(resource.score is None or math.isfinite(resource.score), "score")
    for name in manifest.folders:
        demand(name not in (".", "..") and re.fullmatch(r"[^/\\\0:]+", name), f"folder {name!r}")


def check_object(thing: Any, kind: str, context: Context) -> None:
    """What must hold of an accepted SEAL object: sizes, level, scale."""
    if kind != "Ciphertext":
        return
    demand(2 <= thing.size() <= 3, "size")
    demand(1 <= thing.coeff_modulus_size() <= context.params.levels + 1, "level")
    demand(thing.poly_modulus_degree() == context.params.poly_degree, "degree")
    demand(thing.is_ntt_form() and 0 < thing.scale < math.inf, "NTT form or scale")
