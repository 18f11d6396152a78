"""Random mutations of everything that is read from outside: refused, or accepted rightly.

Every input comes from the seed and its number alone. Inputs are read in a child process; when it
dies or stops, the input it was at counts as a crash or a hang, and another child goes on behind it.
"""

from __future__ import annotations

import json
import multiprocessing
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np

from heclstm_lib.data.manifest import canonical_json, load_manifest, to_raw
from heclstm_lib.errors import HeclstmError
from heclstm_lib.he.header import message_header
from heclstm_lib.he.keys import SecretKeys
from heclstm_lib.he.store import load_plan, write_signature
from heclstm_lib.he.wire import write_message
from heclstm_lib.paths import manifests_dir
from heclstm_lib.robustness.acceptance import WrongAcceptance
from heclstm_lib.robustness.outcome import Outcome
from heclstm_lib.robustness.small_case import make_small_case
from heclstm_lib.robustness.targets import Target, make_targets

SHARES = {
    "wire messages": 0.4, "manifests": 0.3, "signatures": 0.1, "plans": 0.1,
    "SEAL Ciphertext": 0.05, "SEAL PublicKey": 0.01, "SEAL RelinKeys": 0.02,
    "SEAL GaloisKeys": 0.02,
}  # fmt: skip
"""How the inputs are shared out among the readers."""

PATIENCE_S = 30.0
"""An input that takes longer hangs."""

KEPT = 10
"""Failures named in the outcome, at most."""


def run(count: int, seed: int, workdir: Path) -> Outcome:
    """Read `count` mutated inputs; `detected` are those refused, or accepted as what they mean.

    `wrong` are wrong acceptances, `crashed` other exceptions and ends of the process.
    """
    begin, tally, failures = time.perf_counter(), Counter[str](), list[str]()
    make_corpus(workdir / "corpus", seed)
    inputs, done = share_out(count), 0
    while done < len(inputs):
        for verdict, why in _verdicts(inputs[done:], seed, workdir / "corpus"):
            name, number = inputs[done]
            tally.update((verdict, name))
            if why:
                failures.append(f"{name}, seed {seed}, input {number}: {verdict}, {why}")
            done += 1
    read = ", ".join(f"{tally[name]} {name}" for name in SHARES)
    detail = (
        f"{read}; {tally['refused']} refused, {tally['same']} accepted that mean what the valid "
        f"one does, {tally['other']} that say something else and are complete in themselves"
    )
    good = tally["refused"] + tally["same"] + tally["other"]
    return Outcome(
        "mutated inputs", len(inputs), good, tally["wrong"], tally["crashed"], tally["hung"],
        time.perf_counter() - begin, "; ".join([detail, *failures[:KEPT]]),
    )  # fmt: skip


def share_out(count: int) -> list[tuple[str, int]]:
    """The reader and number of each of `count` inputs."""
    sizes = {name: round(share * count) for name, share in SHARES.items()}
    sizes["wire messages"] += count - sum(sizes.values())
    return [(name, number) for name, size in sizes.items() for number in range(size)]


def make_corpus(folder: Path, seed: int) -> None:
    """Valid files of every kind that is fuzzed, small where the reader allows it."""
    case = make_small_case(folder, requests=0, seed=seed)
    (folder / "plan.npz").write_bytes(case.plan.read_bytes())
    plan, rng = load_plan(case.plan), np.random.default_rng(seed)
    inputs = plan.inputs
    few = replace(inputs, patterns=tuple(row[:4] for row in inputs.patterns))
    write_signature(replace(plan.signature, inputs=few), folder / "signature.json")
    chunks = [rng.bytes(24) for _ in range(plan.inputs.count)]
    more = {"sequences": 2, "ids": ["a-1", "b"]}
    header = message_header(plan, "request", plan.inputs.count, **more)
    write_message(folder / "small.request", header, chunks)
    manifest = load_manifest("iarc")
    raw = json.loads((manifests_dir() / "iarc.json").read_text(encoding="utf-8"))
    raw["resources"] = [to_raw(resource) for resource in manifest.resources[:3]]
    (folder / "small.json").write_text(canonical_json(raw), encoding="utf-8")
    keys = SecretKeys(plan.params)
    objects = zip(("PublicKey", "RelinKeys", "GaloisKeys"), keys.evaluation_keys((1,)), strict=True)
    for kind, data in objects:
        (folder / f"{kind}.seal").write_bytes(data)
    (folder / "Ciphertext.seal").write_bytes(keys.encrypt(np.ones(plan.params.slots)))


def _verdicts(inputs: list[tuple[str, int]], seed: int, folder: Path) -> Iterator[tuple[str, str]]:
    """Verdict and reason for each input, from a child; its end is the last if it ended early."""
    context = multiprocessing.get_context("spawn")  # afresh, with no threads of this process
    ours, theirs = context.Pipe(duplex=False)
    child = context.Process(target=_read_inputs, args=(inputs, seed, folder, theirs))
    child.start()
    theirs.close()
    try:
        for _ in inputs:
            if not ours.poll(PATIENCE_S):
                yield "hung", f"longer than {PATIENCE_S:g} s"
                return
            yield ours.recv()
    except (EOFError, OSError):
        yield "crashed", "the process ended"
    finally:
        child.kill()
        child.join()


def _read_inputs(inputs: list[tuple[str, int]], seed: int, folder: Path, pipe: Connection) -> None:
    targets = make_targets(folder)
    for name, number in inputs:
        data = targets[name].mutate(np.random.default_rng([seed, number]))
        pipe.send(judge(targets[name], data))


def judge(target: Target, data: bytes) -> tuple[str, str]:
    """What a reader did with bytes: "refused", "same", "other", "wrong" or "crashed", and why."""
    try:
        return ("same" if target.read(data) else "other"), ""
    except HeclstmError:
        return "refused", ""
    except WrongAcceptance as error:
        return "wrong", str(error)[:200]
    except Exception as error:
        return "crashed", f"{type(error).__name__}: {error}"[:200]
