"""A real encrypted batch on worker processes, measured from outside: seconds, bytes, memory."""

from __future__ import annotations

import multiprocessing
import os
import resource
import shutil
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from heclstm_lib.batch.command import run_batch
from heclstm_lib.batch.task import Result
from heclstm_lib.errors import BatchError
from heclstm_lib.he.clear import evaluate_clear
from heclstm_lib.he.client import Client
from heclstm_lib.he.plan import Plan
from heclstm_lib.he.store import write_plan


@dataclass(frozen=True)
class RealRun:
    """What a run took: `seconds` from begin to end, each request's, processor time of all workers,
    the largest worker's memory, bytes on disk, load averages of the machine before and after.
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
        """Evaluate all requests anew on worker processes, under a process of its own."""
        responses = self.folder / "responses"
        shutil.rmtree(responses, ignore_errors=True)
        spawn = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(1, mp_context=spawn) as executor:
            return executor.submit(_run, self.folder, workers).result()

    def error_bits(self) -> float:
        """Precision of the first response against the plan in clear, in bits: it must be right."""
        scores = self.client.decrypt_outputs(self.folder / "responses" / "0000.response")
        error = np.abs(scores - evaluate_clear(self.plan, self.frames)).mean()
        return float(-np.log2(max(error, 2.0**-52)))


def _run(folder: Path, workers: int) -> RealRun:
    """In a process of its own, so that the children it waits for are this run's workers."""
    before, results = os.getloadavg()[0], list[Result]()
    responses = folder / "responses"
    report = run_batch(
        folder / "plan.npz", folder / "public.bundle", folder / "requests", responses,
        workers, on_result=results.append,
    )  # fmt: skip
    if report.failed:
        raise BatchError(f"a measured run failed: {report.failed[0].reason}")
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    first = sorted(responses.glob("*.response"))[0]
    return RealRun(
        workers=workers,
        seconds=report.seconds,
        request_seconds=tuple(result.seconds for result in results),
        cpu_s=used.ru_utime + used.ru_stime,
        peak_bytes=used.ru_maxrss * 1024,
        response_bytes=first.stat().st_size,
        load_before=before,
        load_after=os.getloadavg()[0],
    )
