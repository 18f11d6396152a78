"""A real encrypted batch on worker processes, measured from outside: seconds, bytes, memory."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from heclstm_lib.errors import BatchError
from heclstm_lib.he.clear import evaluate_clear
from heclstm_lib.he.client import Client
from heclstm_lib.he.plan import Plan
from heclstm_lib.he.store import write_plan

_LAUNCH = """
import resource, subprocess, sys
code = subprocess.call(sys.argv[1:])
used = resource.getrusage(resource.RUSAGE_CHILDREN)
print("used", used.ru_utime + used.ru_stime, 1024 * used.ru_maxrss)
sys.exit(code)
"""
"""Runs a command from a small process, and says what it used.

Linux counts the memory of whoever starts a process as the process's own largest (until exec), and
we hold keys and libraries ourselves.
"""

_USED = re.compile(r"^used ([\d.]+) (\d+)$", re.MULTILINE)
_EVALUATED = re.compile(r"^\d+: evaluated in ([\d.]+) s$", re.MULTILINE)


@dataclass(frozen=True)
class RealRun:
    """What a run took: `seconds` of the whole command, those of each request, processor time of
    all workers, the largest one's memory, and the machine's load averages before and after.
    """

    workers: int
    seconds: float
    request_seconds: tuple[float, ...]
    cpu_s: float
    peak_bytes: int
    response_bytes: int
    load_before: float
    load_after: float


class RealCase:
    """A hospital's encrypted requests and public bundle for a plan, in a folder; keys are new."""

    def __init__(self, plan: Plan, requests: int, folder: Path, seed: int = 0) -> None:
        self.plan, self.folder = plan, folder
        self.client = Client(plan.signature)
        write_plan(plan, folder / "plan.npz")
        self.bundle_bytes = self.client.write_public_bundle(folder / "public.bundle")
        inputs, together = plan.inputs, plan.layout.sequences
        rng = np.random.default_rng(seed)
        (folder / "requests").mkdir()
        sizes = []
        for number in range(requests):
            frames = rng.normal(size=(together, inputs.frames, *inputs.shape))
            if number == 0:
                self.frames = frames
            target = folder / "requests" / f"{number:04d}.request"
            sizes.append(self.client.encrypt_batch(frames, target))
        self.request_bytes = int(np.mean(sizes))

    def run(self, workers: int) -> RealRun:
        """Evaluate all requests anew with `python -m heclstm_lib.batch`.

        Raises BatchError when a request fails.
        """
        responses = self.folder / "responses"
        shutil.rmtree(responses, ignore_errors=True)
        names = ("plan.npz", "public.bundle", "requests", "responses")
        command = [sys.executable, "-m", "heclstm_lib.batch", f"--workers={workers}"]
        command += [str(self.folder / name) for name in names]
        before, begin = os.getloadavg()[0], time.perf_counter()
        process = subprocess.run(
            [sys.executable, "-I", "-S", "-c", _LAUNCH, *command],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
        )  # fmt: skip
        seconds, said = time.perf_counter() - begin, process.stdout
        used = _USED.search(said)
        if process.returncode or used is None:
            raise BatchError(f"a measured run ended with {process.returncode}: {said[-500:]}")
        first = responses / "0000.response"
        return RealRun(
            workers=workers,
            seconds=seconds,
            request_seconds=tuple(float(found) for found in _EVALUATED.findall(said)),
            cpu_s=float(used[1]),
            peak_bytes=int(used[2]),
            response_bytes=first.stat().st_size,
            load_before=before,
            load_after=os.getloadavg()[0],
        )

    def error_bits(self) -> float:
        """Precision of the first response against the plan in clear, in bits: it must be right."""
        scores = self.client.decrypt_outputs(self.folder / "responses" / "0000.response")
        error = np.abs(scores - evaluate_clear(self.plan, self.frames)).mean()
        return float(-np.log2(max(error, 2.0**-52)))
