"""Workers of a Dask cluster killed at random (SIGKILL) while it evaluates from and to an S3 store.

Every round is a batch of 64 encrypted requests on two workers with nannies, all processes of their
own. Afterwards every request must have its response once, the same bytes and the same decrypted
scores as on one machine without Dask, and no worker may have taken more memory than its limit.
"""

from __future__ import annotations

import threading
import time
from pathlib import Path

import numpy as np
import psutil

from heclstm_lib.batch.command import run_batch
from heclstm_lib.batch.report import BatchReport
from heclstm_lib.cluster.command import Places, run_on_dask
from heclstm_lib.cluster.need import evaluation_mb, limit_for
from heclstm_lib.errors import HeclstmError
from heclstm_lib.he.store import load_plan
from heclstm_lib.robustness.dask_processes import DaskProcesses, s3_server
from heclstm_lib.robustness.memory_watch import MemoryWatch
from heclstm_lib.robustness.outcome import Outcome
from heclstm_lib.robustness.response_folder import digests
from heclstm_lib.robustness.small_case import SmallCase, make_small_case
from heclstm_lib.storage import download, join, list_names, upload

REQUESTS, WORKERS = 64, 2
BETWEEN_S = (1.0, 6.0)
"""Seconds from one kill to the next, drawn evenly."""

TOLERANCE = 2.0**-20
"""Of a decrypted score; identical responses differ by nothing."""


def run(count: int, seed: int, workdir: Path) -> Outcome:
    """Put `count` kills into batches; `detected` are those in batches that came out right.

    `wrong` counts responses that lack, differ or are too many, and a worker above its limit;
    `crashed` requests that were listed as failed and batches that ended with an error.
    """
    begin = time.perf_counter()
    case = make_small_case(workdir / "case", REQUESTS, seed)
    single = workdir / "single"
    run_batch(case.plan, case.bundle, case.requests, single, WORKERS)
    need_mb = evaluation_mb(load_plan(case.plan))
    memory_mb = limit_for(need_mb)
    with s3_server("ward") as bucket:
        _upload_case(case, bucket)
        cluster = DaskProcesses(workdir / "dask", WORKERS, memory_mb)
        try:
            with MemoryWatch(worker=cluster.workers) as watch:
                campaign = _Campaign(case, single, bucket, cluster, np.random.default_rng(seed))
                while campaign.kills < count:
                    campaign.round(count - campaign.kills, workdir)
        finally:
            cluster.close()
    peak = watch.peaks["worker"]
    over = peak > memory_mb << 20
    return Outcome(
        "kills of Dask workers", campaign.kills, campaign.good, campaign.wrong + over,
        campaign.crashed, 0, time.perf_counter() - begin,
        f"{campaign.detail()}; peak memory of a worker {peak >> 20} MB, estimate "
        f"{need_mb} MB, limit {memory_mb} MB",
    )  # fmt: skip


def _upload_case(case: SmallCase, bucket: str) -> None:
    upload(case.plan, join(bucket, "plan.npz"))
    upload(case.bundle, join(bucket, "public.bundle"))
    for path in sorted(case.requests.glob("*.request")):
        upload(path, join(bucket, f"requests/{path.name}"))


class _Campaign:
    def __init__(
        self,
        case: SmallCase,
        single: Path,
        bucket: str,
        cluster: DaskProcesses,
        rng: np.random.Generator,
    ) -> None:
        self.case, self.bucket, self.cluster, self.rng = case, bucket, cluster, rng
        self.kills = self.good = self.wrong = self.crashed = self.rounds = self.found = 0
        self.expected = digests(single)
        self.scores = self._scores(single)
        self.largest = 0.0
        self.notes: list[str] = []

    def detail(self) -> str:
        """What came out, in numbers."""
        return (
            f"{self.rounds} batches of {REQUESTS} requests on {WORKERS} workers, files in an S3 "
            f"store; {self.found} of {self.rounds * REQUESTS} responses once each and the same "
            f"bytes as on one machine, decrypted scores differ by {self.largest:.2g} at most"
            + "".join(self.notes)
        )

    def round(self, most: int, workdir: Path) -> None:
        """One batch with up to `most` kills; what it left is compared."""
        out = join(self.bucket, f"responses-{self.rounds}")
        places = Places.of(
            *(join(self.bucket, name) for name in ("plan.npz", "public.bundle", "requests")), out
        )
        before = (self.kills, self.wrong + self.crashed)
        ended = threading.Event()
        killer = threading.Thread(target=self._kill_some, args=(ended, most))
        killer.start()
        try:
            report = run_on_dask(places, self.cluster.address, flood_bits=None)
            self._compare(report, out, workdir / f"round-{self.rounds}")
        except HeclstmError as error:
            self.crashed += 1
            self.notes.append(f"\nround {self.rounds}: {error}")
        finally:
            ended.set()
            killer.join()
        self.rounds += 1
        if self.wrong + self.crashed == before[1]:
            self.good += self.kills - before[0]

    def _kill_some(self, ended: threading.Event, most: int) -> None:
        for _ in range(most):
            if ended.wait(self.rng.uniform(*BETWEEN_S)):
                return
            workers = self.cluster.workers()
            if workers:
                try:
                    workers[int(self.rng.integers(len(workers)))].kill()
                except psutil.NoSuchProcess:
                    continue
                self.kills += 1

    def _compare(self, report: BatchReport, out: str, folder: Path) -> None:
        for name in list_names(out):
            download(join(out, name), folder / name)
        names = sorted((*report.evaluated, *report.finished))
        found = digests(folder)
        self.crashed += len(report.failed)
        self.notes += [f"\n{one.name}: {one.reason}" for one in report.failed]
        same = sum(self.expected.get(name) == digest for name, digest in found.items())
        self.found += same
        self.wrong += len(self.expected) - same + len(found.keys() - self.expected.keys())
        self.wrong += names != sorted(name.removesuffix(".response") for name in self.expected)
        if found.keys() == self.expected.keys():
            difference = float(np.abs(self._scores(folder) - self.scores).max())
            self.largest = max(self.largest, difference)
            self.wrong += not difference <= TOLERANCE

    def _scores(self, folder: Path) -> np.ndarray:
        """Decrypted scores of all responses of a folder, by name."""
        paths = sorted(folder.glob("*.response"))
        return np.array([self.case.client.decrypt_scores(path) for path in paths])
