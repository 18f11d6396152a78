"""One bit flipped anywhere in a file that crosses or is kept: its reader must notice.

Half of the flips fall in the first bytes, where magic, lengths and headers stand, and in the last
ones, the checksum; the others anywhere.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np

from heclstm_lib.errors import HeclstmError
from heclstm_lib.he.header import shared_terms
from heclstm_lib.he.keys import SecretKeys
from heclstm_lib.he.plan import Plan
from heclstm_lib.he.secret_bundle import load_secret, write_secret
from heclstm_lib.he.server import Server, read_request_ids
from heclstm_lib.he.store import load_plan, load_signature
from heclstm_lib.he.wire import iter_chunks, read_header
from heclstm_lib.robustness.outcome import Outcome
from heclstm_lib.robustness.small_case import make_small_case

NEAR = 4096
"""Bytes from either end that get half of the flips."""

PASSPHRASE = "for this campaign only"
KEPT = 10

Read = Callable[[Path], object]


def run(count: int, seed: int, workdir: Path) -> Outcome:
    """Flip `count` bits, one at a time; `detected` are refused with an error of this project.

    `wrong` are files read as if nothing had happened, unless the change has no meaning, which only
    archives and JSON text allow; `crashed` are other exceptions.
    """
    begin, rng = time.perf_counter(), np.random.default_rng(seed)
    files = make_files(workdir, seed)
    sizes = {path: path.stat().st_size for path in files}
    tried, verdicts, failures = Counter[str](), Counter[str](), list[str]()
    paths = list(files)
    for number in range(count):
        path = paths[number % len(paths)]
        bit = draw_bit(sizes[path], rng)
        verdict = flip(path, bit, files[path])
        tried[path.name] += 1
        verdicts[verdict.split(":")[0]] += 1
        if verdict not in ("noticed", "no meaning"):
            failures.append(f"{path.name}, bit {bit}: {verdict}")
    shown = ", ".join(f"{times} {name} ({sizes_of(sizes, name)})" for name, times in tried.items())
    detail = f"{shown}; {verdicts['no meaning']} without meaning (in archive or JSON syntax)"
    return Outcome(
        "bit flips", count, verdicts["noticed"] + verdicts["no meaning"], verdicts["accepted"],
        verdicts["crashed"], 0, time.perf_counter() - begin, "; ".join([detail, *failures[:KEPT]]),
    )  # fmt: skip


def sizes_of(sizes: dict[Path, int], name: str) -> str:
    """The size of a file of the campaign, in kB."""
    return f"{next(size for path, size in sizes.items() if path.name == name) / 1e3:.0f} kB"


def make_files(workdir: Path, seed: int) -> dict[Path, Read]:
    """Every kind of file, valid, each with what reads it; a reader returns what the file means."""
    case = make_small_case(workdir / "case", requests=1, seed=seed)
    plan, request = load_plan(case.plan), next(case.requests.glob("*.request"))
    response = workdir / "response"
    Server(plan, case.bundle).evaluate(request, response)
    plain, locked = workdir / "secret.bundle", workdir / "locked.bundle"
    write_secret(keys := SecretKeys(plan.params), plain)
    write_secret(keys, locked, PASSPHRASE)
    signature = case.plan.with_name("signature.json")
    return {
        case.bundle: lambda path: _message(path, "public", plan, 2 + len(plan.rotations)),
        request: lambda path: (read_request_ids(path, plan), _chunks(path)),
        response: lambda path: _message(path, "response", plan, len(plan.results)),
        plain: lambda path: load_secret(path, plan).secret_bytes(),
        locked: lambda path: load_secret(path, plan, PASSPHRASE).secret_bytes(),
        case.plan: lambda path: load_plan(path).digest,
        signature: load_signature,
    }


def _message(path: Path, kind: str, plan: Plan, count: int) -> object:
    return read_header(path, kind, plan.digest, count, shared_terms(plan)), _chunks(path)


def _chunks(path: Path) -> int:
    return hash(tuple(iter_chunks(path)))


def draw_bit(size: int, rng: np.random.Generator) -> int:
    """A bit of a file: one time in four near its beginning, one in four near its end."""
    near = min(size, NEAR)
    kind = rng.integers(4)
    byte = (
        size - near + rng.integers(near) if kind == 0 else rng.integers(near if kind == 1 else size)
    )
    return int(8 * byte + rng.integers(8))


def flip(path: Path, bit: int, read: Read) -> str:
    """What a reader makes of a file with one bit flipped: "noticed", "no meaning" or a failure.

    The file is as before afterwards.
    """
    toggle(path, bit)
    try:
        found = read(path)
    except HeclstmError:
        return "noticed"
    except Exception as error:
        return f"crashed: {type(error).__name__}: {error}"[:200]
    finally:
        toggle(path, bit)
    return "no meaning" if found == read(path) else "accepted"


def toggle(path: Path, bit: int) -> None:
    """Flip a bit of a file on disk."""
    with path.open("r+b") as file:
        file.seek(bit // 8)
        (byte,) = file.read(1)
        file.seek(bit // 8)
        file.write(bytes([byte ^ 1 << bit % 8]))
