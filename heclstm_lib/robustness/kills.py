"""Batches killed at random points, resumed, and compared bit by bit with an uninterrupted one.

A round starts a batch in a new folder, kills it up to a few times, each time at another point, and
lets it end. A kill hits all of its processes, the parent alone (the workers must end by themselves)
or one worker (the batch must go on by itself). Points are drawn evenly over the duration of a
batch, or of its evaluations; one kill in four waits for a response that is being written.
"""

from __future__ import annotations

import time
from collections import Counter
from pathlib import Path

import numpy as np

from heclstm_lib.robustness.batch_process import PATIENCE_S, BatchProcess
from heclstm_lib.robustness.outcome import Outcome
from heclstm_lib.robustness.response_folder import ResponseFolder, digests
from heclstm_lib.robustness.small_case import SmallCase, make_small_case

REQUESTS = 8
KILLS_A_ROUND = 4
WORKERS = (1, 2)
VICTIMS, SHARES = ("all", "parent", "worker"), (0.5, 0.3, 0.2)
STARTING = 0.4
"""Share of a batch's duration that also one with little left to do takes."""

AIMS, AIM_SHARES = ("start", "first claim", "writing"), (0.35, 0.4, 0.25)
"""From when on the delay runs; "writing": no delay after a response was seen being written."""


def run(count: int, seed: int, workdir: Path) -> Outcome:
    """Put `count` kills into batches; `detected` are those after which all came out identical.

    `wrong` counts responses that were half-written, differed or were made twice, and files left
    over; `crashed` batches that did not end with exit code 0; `hung` those that did not end, or
    whose workers did not.
    """
    begin = time.perf_counter()
    case = make_small_case(workdir / "case", REQUESTS, seed)
    campaign = _Campaign(case, workdir, np.random.default_rng(seed))
    while campaign.kills < count:
        campaign.round(min(KILLS_A_ROUND, count - campaign.kills))
    return Outcome(
        "kills of a batch", campaign.kills, campaign.good, campaign.wrong, campaign.crashed,
        campaign.hung, time.perf_counter() - begin, campaign.detail(),
    )  # fmt: skip


class _Campaign:
    def __init__(self, case: SmallCase, workdir: Path, rng: np.random.Generator) -> None:
        self.case, self.workdir, self.rng = case, workdir, rng
        self.scratch = workdir / "scratch"
        self.kills = self.good = self.wrong = self.crashed = self.hung = self.rounds = 0
        self.parts = 0
        self.points: Counter[str] = Counter()
        self.victims: Counter[str] = Counter()
        self.expected: dict[str, str] = {}
        self.duration_s = {workers: self._uninterrupted(workers) for workers in WORKERS}

    def detail(self) -> str:
        """Where the kills hit, and whom."""
        points = ", ".join(f"{count} {point}" for point, count in self.points.most_common())
        victims = ", ".join(f"{self.victims[name]} {name}" for name in VICTIMS)
        stray = sum(1 for _ in self.scratch.iterdir())
        return (
            f"{self.rounds} batches of {REQUESTS} requests; hit: {points}; processes killed: "
            f"{victims}; {self.parts} kills left a part of a response, removed later; {stray} "
            "temporary files left at the end"
        )

    def round(self, most: int) -> None:
        """Kill one batch up to `most` times, let it end, compare."""
        folder = ResponseFolder(self.workdir / f"round-{self.rounds}", self.expected)
        before = (self.kills, self.wrong + self.crashed + self.hung)
        while self.kills < before[0] + most:
            if self._kill(folder):
                break
        else:
            self._end(self._start(folder.path, int(self.rng.choice(WORKERS))))
        self.wrong += folder.check_complete()
        self.rounds += 1
        if self.wrong + self.crashed + self.hung == before[1]:
            self.good += self.kills - before[0]
            folder.remove()

    def _uninterrupted(self, workers: int) -> float:
        """Seconds of an uninterrupted batch; its responses are what all others must be."""
        path = self.workdir / f"uninterrupted-{workers}"
        begin = time.perf_counter()
        self._end(self._start(path, workers))
        seconds, made = time.perf_counter() - begin, digests(path)
        if self.crashed or self.hung or (self.expected or made) != made:
            raise RuntimeError("two uninterrupted batches differ or failed; no kill can be judged")
        self.expected = made
        return seconds

    def _start(self, responses: Path, workers: int) -> BatchProcess:
        options = ("--workers", str(workers))
        return BatchProcess(self.case, responses, *options, scratch=self.scratch)

    def _kill(self, folder: ResponseFolder) -> bool:
        """Start the batch and kill it; True when it came to its end nevertheless."""
        workers, victim = int(self.rng.choice(WORKERS)), str(self.rng.choice(VICTIMS, p=SHARES))
        folder.look()
        process = self._start(folder.path, workers)
        if not self._await_point(process, folder, self.duration_s[workers]):
            self._end(process)
            return True
        point = folder.point()
        fine, victim = _strike(process, victim)
        self.hung += not fine
        if victim == "worker":
            self._end(process)
        elif process.finish()[0] == 0:  # it had ended just before
            return True
        else:
            self.parts += folder.has_part()
        self.kills += 1
        self.points[point] += 1
        self.victims[victim] += 1
        self.wrong += folder.check()
        return victim == "worker"

    def _await_point(self, process: BatchProcess, folder: ResponseFolder, seconds: float) -> bool:
        """Wait for a random point; False when the batch ended before."""
        aim, share = str(self.rng.choice(AIMS, p=AIM_SHARES)), self.rng.uniform()
        evaluations_s = (1 - STARTING) * folder.share_left() * seconds
        starting_s = STARTING * seconds if aim == "start" else 0.0
        begun, until = aim == "start", time.perf_counter() + PATIENCE_S
        point = time.perf_counter() + share * (starting_s + evaluations_s)
        while process.running() and time.perf_counter() < until:
            if not begun and (folder.is_writing() if aim == "writing" else folder.has_claims()):
                begun, point = True, time.perf_counter()
                point += share * evaluations_s if aim == "first claim" else 0.0
            if begun and time.perf_counter() >= point:
                return True
            time.sleep(1e-3)
        return False

    def _end(self, process: BatchProcess) -> None:
        code, _ = process.finish()
        self.hung += code is None
        self.crashed += code not in (None, 0)


def _strike(process: BatchProcess, victim: str) -> tuple[bool, str]:
    """Kill; whether no process stays that should not, and who was hit ("all" without a worker)."""
    if victim == "worker" and (workers := process.workers()):
        workers[0].kill()
        return True, "worker"
    if victim == "parent":
        return process.kill_parent(), "parent"
    process.kill()
    return True, "all"
