"""The conversation between the benchmark and one contender: JSON lines on stdin and stdout.

Stand-alone (standard library and numpy), because each rival runs in an environment of its own.
A contender is a class with `setup`, `encrypt`, `evaluate` and `decrypt`; `serve` does the rest:
it times the three parts of a run separately and compares every decrypted number with the case's
expected outputs. Whatever a library prints goes to stderr, so that stdout carries answers only.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TextIO

import numpy as np

ROWS_REPORTED = 16
CASE_KINDS = ("cnn", "lstm_step", "flagship")


class Refusal(Exception):
    """The contender cannot do this case; the text says why and stands in the report."""


class Contender:
    """What a rival implements. `batch` rows go through one run; rows of the case are repeated.

    `threads` is what the benchmark allows it; `extra` goes into the answer of a run as it is
    (a note, the share of time per kind of operation, or a figure that replaces a measured one).
    """

    batch = 1

    def __init__(self) -> None:
        self.extra: dict[str, Any] = {}

    def setup(self, case: dict[str, np.ndarray], options: dict[str, Any]) -> dict[str, Any]:
        """Keys and encoded weights; the facts to report ("parameters", "key_bytes", ...)."""
        raise NotImplementedError

    def encrypt(self) -> Any:
        """The client's fresh ciphertexts of the first `batch` rows."""
        raise NotImplementedError

    def evaluate(self, encrypted: Any) -> Any:
        """The server's work."""
        raise NotImplementedError

    def decrypt(self, encrypted: Any) -> np.ndarray:
        """Outputs [batch, K] in clear."""
        raise NotImplementedError


def load_case(path: str) -> dict[str, np.ndarray]:
    """The arrays of a case file (.npz); raises Refusal for a file that is not a case."""
    if not Path(path).is_file():
        raise Refusal(f"case file {path}: not found; make it with `heclstm bench`.")
    with np.load(path) as arrays:
        case = {name: arrays[name] for name in arrays.files}
    if str(case.get("kind")) not in CASE_KINDS:
        raise Refusal(
            f"case file {path}: kind is {case.get('kind')}, expected one of {CASE_KINDS}."
        )
    return case


def rows(array: np.ndarray, count: int) -> np.ndarray:
    """The first `count` rows of [n, ...]; a shorter array starts again from its first row."""
    return array[np.arange(count) % len(array)]


def peak_rss_bytes() -> int:
    """Most memory this process has held, in bytes (Linux counts it in KiB)."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def thread_count() -> int:
    """Threads the benchmark allows (OMP_NUM_THREADS; 1 when it is not set)."""
    return int(os.environ.get("OMP_NUM_THREADS", "1"))


class Session:
    """One contender's answers to the three commands."""

    def __init__(self, factory: Callable[[], Contender]) -> None:
        self.factory = factory
        self.contender: Contender | None = None
        self.expected = np.empty((0, 0))

    def answer(self, request: dict[str, Any]) -> dict[str, Any]:
        """The answer to one request; a refusal or an error becomes ok: false with its reason."""
        commands = {"setup": self._setup, "run": self._run, "quit": lambda _: {"ok": True}}
        command = request.get("command")
        if command not in commands:
            return {"ok": False, "reason": f"command {command!r}: expected {sorted(commands)}."}
        try:
            return commands[command](request)
        except Refusal as refusal:
            return {"ok": False, "reason": str(refusal)}
        except Exception as error:  # the benchmark skips this contender and goes on
            traceback.print_exc(file=sys.stderr)
            return {"ok": False, "reason": f"{type(error).__name__}: {error}"}

    def _setup(self, request: dict[str, Any]) -> dict[str, Any]:
        contender = self.factory()
        case = load_case(request["case"])
        start = time.perf_counter()
        facts = contender.setup(case, dict(request.get("options") or {}))
        seconds = time.perf_counter() - start
        self.expected = rows(case["expected"], contender.batch)
        self.contender = contender
        return {"ok": True, "setup_s": seconds, "batch": contender.batch, **facts}

    def _run(self, _: dict[str, Any]) -> dict[str, Any]:
        if self.contender is None:
            raise Refusal('command "run": no contender is set up; send "setup" first.')
        contender = self.contender
        contender.extra = {}
        start = time.perf_counter()
        request = contender.encrypt()
        encrypted = time.perf_counter()
        response = contender.evaluate(request)
        evaluated = time.perf_counter()
        outputs = np.asarray(contender.decrypt(response), dtype=np.float64)
        decrypted = time.perf_counter()
        measured = {
            "ok": True,
            "encrypt_s": encrypted - start,
            "server_s": evaluated - encrypted,
            "decrypt_s": decrypted - evaluated,
            "peak_rss_bytes": peak_rss_bytes(),
        }
        return {**measured, **self._check(outputs), **contender.extra}

    def _check(self, outputs: np.ndarray) -> dict[str, Any]:
        if outputs.shape != self.expected.shape:
            raise Refusal(f"outputs have shape {outputs.shape}, expected {self.expected.shape}.")
        error = float(np.max(np.abs(outputs - self.expected)))
        return {"outputs": outputs[:ROWS_REPORTED].tolist(), "max_error": finite(error)}


def finite(number: float) -> float | None:
    """The number, or None where JSON has no word for it."""
    return number if np.isfinite(number) else None


def answers(factory: Callable[[], Contender], requests: TextIO) -> Iterator[dict[str, Any]]:
    """One answer a line of requests, until "quit" or the end."""
    session = Session(factory)
    for line in requests:
        if not line.strip():
            continue
        try:
            request = json.loads(line)
        except ValueError as error:
            yield {"ok": False, "reason": f"not a line of JSON: {error}"}
            continue
        if not isinstance(request, dict):
            yield {"ok": False, "reason": f"a request is an object with a command, got {line!r}"}
            continue
        yield session.answer(request)
        if request.get("command") == "quit":
            return


def serve(factory: Callable[[], Contender]) -> None:
    """Answer stdin until it ends. What libraries print to stdout is sent to stderr."""
    stdout = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    for answer in answers(factory, sys.stdin):
        stdout.write(json.dumps(answer) + "\n")
        stdout.flush()
