"""What is fuzzed: each reader of outside bytes, with valid input, mutations, and what must hold.

A target reads bytes and either raises an error of this project or returns. What it returns is held
against what must hold of anything accepted (`acceptance`): WrongAcceptance otherwise.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from heclstm_lib.data.manifest import canonical_json, load_manifest
from heclstm_lib.he.seal import from_bytes, load_context
from heclstm_lib.he.seal_layout import plain_object
from heclstm_lib.he.server import read_request_ids
from heclstm_lib.he.store import CHECKSUM, load_plan, load_signature, signature_checksum
from heclstm_lib.he.wire import DIGEST_BYTES, MAGIC, iter_chunks
from heclstm_lib.robustness.acceptance import (
    check_manifest,
    check_message,
    check_object,
    demand,
    sealed,
)
from heclstm_lib.robustness.mutations import Random, change_bytes, change_json, to_text
from heclstm_lib.robustness.npz_mutations import change_npz


@dataclass(frozen=True)
class Target:
    """A reader under test.

    `read` takes bytes and returns whether they mean the same as the valid ones; it raises an error
    of this project to refuse them, WrongAcceptance when it took what it must not take.
    """

    name: str
    valid: bytes
    mutate: Callable[[Random], bytes]
    read: Callable[[bytes], bool]


@dataclass(frozen=True)
class Corpus:
    """Valid files in a folder, as `fuzz.make_corpus` writes them, and one to put mutations in."""

    folder: Path

    @property
    def scratch(self) -> Path:
        """Where the mutated input lies; the reader sees nothing else of it."""
        return self.folder / "mutated"

    def path(self, name: str) -> Path:
        """A valid file."""
        return self.folder / name


def message_target(corpus: Corpus) -> Target:
    """Requests: mutated as they are, or with the checksum made right again, or header only."""
    plan = load_plan(corpus.path("plan.npz"))
    valid = corpus.path("small.request").read_bytes()
    path = corpus.scratch / "x.request"

    def mutate(rng: Random) -> bytes:
        body = valid[:-DIGEST_BYTES]
        kind = rng.integers(4)
        if kind == 0:
            return change_bytes(valid, rng)
        if kind == 1:
            return sealed(change_bytes(body, rng))
        head = len(MAGIC) + 4 + struct.unpack_from("<I", body, len(MAGIC))[0]
        if kind == 2:
            return sealed(change_bytes(body[:head], rng) + body[head:])
        text = to_text(change_json(json.loads(body[len(MAGIC) + 4 : head]), rng))
        return sealed(MAGIC + struct.pack("<I", len(text)) + text + body[head:])

    def read(data: bytes) -> bool:
        path.write_bytes(data)
        ids = read_request_ids(path, plan)
        chunks = list(iter_chunks(path))
        check_message(data, plan, ids, chunks)
        return data == valid

    return Target("wire messages", valid, mutate, read)


def manifest_target(corpus: Corpus) -> Target:
    """Manifests: mutated text or mutated values."""
    valid = corpus.path("small.json").read_bytes()
    raw, folder = json.loads(valid), corpus.scratch
    known = load_manifest("small", corpus.folder)

    def mutate(rng: Random) -> bytes:
        return change_bytes(valid, rng) if rng.integers(3) == 0 else to_text(change_json(raw, rng))

    def read(data: bytes) -> bool:
        (folder / "x.json").write_bytes(data)
        manifest = load_manifest("x", folder)
        check_manifest(manifest)
        same = canonical_json(json.loads(data)) == canonical_json(raw)
        demand((manifest.digest == known.digest) == same, "one digest for two manifests")
        demand(not same or manifest == known, "one text, two manifests")
        return same

    return Target("manifests", valid, mutate, read)


def signature_target(corpus: Corpus) -> Target:
    """Signatures of plans: mutated text; mutated values with and without the right checksum."""
    path, valid = corpus.scratch / "signature.json", corpus.path("signature.json").read_bytes()
    known = load_signature(corpus.path("signature.json"))

    def mutate(rng: Random) -> bytes:
        raw = json.loads(valid)
        if rng.integers(2):
            return change_bytes(valid, rng) if rng.integers(2) else to_text(change_json(raw, rng))
        changed = change_json(raw, rng)
        if isinstance(changed, dict) and changed.pop(CHECKSUM, None) is not None:
            changed[CHECKSUM] = signature_checksum(changed)
        return to_text(changed)

    def read(data: bytes) -> bool:
        path.write_bytes(data)
        signature = load_signature(path)
        same = signature == known
        raw = json.loads(data)
        checksum = raw.pop(CHECKSUM, None)
        right = checksum in (None, signature_checksum(raw))
        demand(same or right, "a changed signature with a wrong checksum")
        return same

    return Target("signatures", valid, mutate, read)


def plan_target(corpus: Corpus) -> Target:
    """Plans: the file's bytes, or its members packed again with right checksums of their own."""
    path, valid = corpus.scratch / "plan.npz", corpus.path("plan.npz").read_bytes()
    known = load_plan(corpus.path("plan.npz"))

    def mutate(rng: Random) -> bytes:
        return change_bytes(valid, rng) if rng.integers(2) else change_npz(valid, rng)

    def read(data: bytes) -> bool:
        path.write_bytes(data)
        plan = load_plan(path)
        same = plan.digest == known.digest
        constants = zip(plan.constants, known.constants, strict=False)
        equal = plan.to_dict() == known.to_dict() and all(
            a.dtype == b.dtype and np.array_equal(a, b) for a, b in constants
        )
        demand(equal or not same, "another plan with the same digest")
        return same

    return Target("plans", valid, mutate, read)


def seal_target(corpus: Corpus, kind: str, name: str) -> Target:
    """SEAL objects: compressed bytes, or the bytes inside, mostly those that say sizes."""
    plan = load_plan(corpus.path("plan.npz"))
    context, valid = load_context(plan.params), corpus.path(name).read_bytes()
    plain = plain_object(kind, valid, plan.params)

    def mutate(rng: Random) -> bytes:
        choice = rng.integers(4)
        if choice == 0:
            return change_bytes(valid, rng)
        if choice == 1:
            return change_bytes(plain, rng)
        if choice == 2:
            changed = change_bytes(plain[16:400], rng) + plain[400:]
        else:
            changed = plain[16:-200] + change_bytes(plain[-200:], rng)
        return plain[:8] + struct.pack("<Q", 16 + len(changed)) + changed

    def read(data: bytes) -> bool:
        check_object(from_bytes(kind, data, context), kind, context)
        return data in (valid, plain)

    return Target(f"SEAL {kind}", valid, mutate, read)


def make_targets(folder: Path) -> dict[str, Target]:
    """All targets by name, from a folder that `fuzz.make_corpus` filled."""
    corpus = Corpus(folder)
    corpus.scratch.mkdir(exist_ok=True)
    made = [message_target(corpus), manifest_target(corpus), signature_target(corpus),
            plan_target(corpus)]  # fmt: skip
    for kind in ("Ciphertext", "PublicKey", "RelinKeys", "GaloisKeys"):
        made.append(seal_target(corpus, kind, f"{kind}.seal"))
    return {target.name: target for target in made}
