"""Workers, a machine and the scheduler of a Dask cluster killed while it evaluates from and to S3.

Every round is a batch of 32 requests of a small ConvLSTM, four sequences each, all processes of
their own and every worker with a disk of its own. The machine that is killed never comes back; the
scheduler does, and the batch goes on by itself. Afterwards every sequence must have its result
once, with the scores of one machine without Dask: in one round with the default flooding, which
makes every response another one, in the next without, so that also the bytes must be the same. No
worker may have taken more memory than its limit.
"""

from __future__ import annotations

import time
from collections import Counter
from math import ceil, inf, log2
from pathlib import Path

import numpy as np

from heclstm_lib.batch.command import run_batch
from heclstm_lib.batch.report import BatchReport
from heclstm_lib.cluster.command import Places, run_on_dask
from heclstm_lib.cluster.need import evaluation_mb, limit_for
from heclstm_lib.errors import HeclstmError
from heclstm_lib.he.store import load_plan
from heclstm_lib.robustness.cluster_faults import SAID, Faults, draw_faults
from heclstm_lib.robustness.dask_processes import START_S, DaskProcesses, S3Server, s3_server
from heclstm_lib.robustness.memory_watch import MemoryWatch
from heclstm_lib.robustness.outcome import Outcome
from heclstm_lib.robustness.response_folder import digests
from heclstm_lib.robustness.small_case import SmallCase, make_case, small_lstm_network
from heclstm_lib.storage import download, join, list_names

REQUESTS, SEQUENCES, POLY_DEGREE = 32, 4, 16384
WORKERS, LEAST_ROUNDS = 3, 2
FLOODING = (0, None)
"""Bits of flooding of the rounds, in turn: the default of `heclstm evaluate`, and off."""

TOLERANCE_BITS = 16
"""Scores of about 1 may differ by 2 to the minus so many."""


def run(count: int, seed: int, workdir: Path) -> Outcome:
    """Put `count` kills into batches; `detected` are those in batches that came out right.

    `wrong` counts responses and sequences that lack, differ or are too many, a worker above its
    limit, and bundles fetched more often than disks and kills explain; `crashed` requests that were
    listed as failed and batches that ended with an error.
    """
    begin = time.perf_counter()
    network = small_lstm_network(seed)
    case = make_case(workdir / "case", network, POLY_DEGREE, REQUESTS, seed, SEQUENCES)
    single = workdir / "single"
    run_batch(case.plan, case.bundle, case.requests, single, WORKERS - 1)
    need_mb = evaluation_mb(load_plan(case.plan))
    memory_mb, rng = limit_for(need_mb), np.random.default_rng(seed)
    with s3_server("ward", workdir / "s3.log") as store:
        _upload_case(case, store)
        cluster = DaskProcesses(workdir / "dask", WORKERS, memory_mb)
        try:
            with MemoryWatch(worker=cluster.workers) as watch:
                faults = Faults(draw_faults(count, rng), cluster, rng)
                campaign = _Campaign(case, single, store, cluster, faults)
                while faults.waiting or campaign.rounds < LEAST_ROUNDS:
                    campaign.round(ceil(count / LEAST_ROUNDS), workdir)
        finally:
            cluster.close()
    peak = watch.peaks["worker"]
    over = (peak > memory_mb << 20) + (campaign.fetches() > WORKERS + count)
    return Outcome(
        "kills in a Dask cluster", count, campaign.good, campaign.wrong + over,
        campaign.crashed, 0, time.perf_counter() - begin,
        f"{campaign.detail()}; peak memory of a worker {peak >> 20} MB, estimate "
        f"{need_mb} MB, limit {memory_mb} MB" + "".join(campaign.notes),
    )  # fmt: skip


def _upload_case(case: SmallCase, store: S3Server) -> None:
    store.put(case.plan, "plan.npz")
    store.put(case.bundle, "public.bundle")
    for path in sorted(case.requests.glob("*.request")):
        store.put(path, f"requests/{path.name}")


class _Campaign:
    def __init__(
        self,
        case: SmallCase,
        single: Path,
        store: S3Server,
        cluster: DaskProcesses,
        faults: Faults,
    ) -> None:
        self.case, self.store, self.cluster, self.faults = case, store, cluster, faults
        self.good = self.wrong = self.crashed = self.rounds = self.found = self.same = 0
        self.compared = 0
        self.expected, self.scores, self.ids = (
            digests(single),
            self._scores(single),
            self._ids(single),
        )
        self.largest = 0.0
        self.notes: list[str] = []

    def fetches(self) -> int:
        """How often a worker began to fetch the public bundle."""
        return self.store.counts()["GET", "public.bundle"]

    def detail(self) -> str:
        """What came out, in numbers."""
        kinds = ", ".join(f"{self.faults.struck[kind]} {said}" for kind, said in SAID.items())
        bits = -log2(self.largest) if self.largest else inf
        return (
            f"{self.rounds} batches of {REQUESTS * SEQUENCES} encrypted sequences in {REQUESTS} "
            f"requests, a small ConvLSTM, {WORKERS} workers, files in an S3 store; killed: "
            f"{kinds}; {self.found} of {self.rounds * len(self.ids)} encrypted sequences have "
            f"exactly one result, decrypted scores agree with those of one machine to {bits:.1f} "
            f"bits (wanted: {TOLERANCE_BITS}); without flooding {self.same} of {self.compared} "
            "responses are the "
            f"same bytes; the public bundle was fetched {self.fetches()} times by {WORKERS} "
            f"workers with a disk each, {self.cluster.restarts} worker commands started again"
        )

    def round(self, most: int, workdir: Path) -> None:
        """One batch with up to `most` kills; what it left is compared."""
        out = join(self.store.url, f"responses-{self.rounds}")
        names = ("plan.npz", "public.bundle", "requests")
        places = Places.of(*(join(self.store.url, name) for name in names), out)
        before = (self.faults.struck.total(), self.wrong + self.crashed)
        flood_bits = FLOODING[self.rounds % len(FLOODING)]
        try:
            with self.faults.during(most):
                report = run_on_dask(
                    places, self.cluster.address, wait_s=START_S, flood_bits=flood_bits
                )
            self._compare(report, out, workdir / f"round-{self.rounds}", flood_bits is None)
        except HeclstmError as error:
            self.crashed += 1
            self.notes.append(f"\nround {self.rounds}: {error}")
        self.rounds += 1
        if self.wrong + self.crashed == before[1]:
            self.good += self.faults.struck.total() - before[0]

    def _compare(self, report: BatchReport, out: str, folder: Path, alike: bool) -> None:
        for name in list_names(out):
            download(join(out, name), folder / name)
        names = sorted((*report.evaluated, *report.finished))
        found, ids = digests(folder), self._ids(folder)
        self.crashed += len(report.failed)
        self.notes += [f"\n{one.name}: {one.reason}" for one in report.failed]
        once = sum(ids[one] == 1 for one in self.ids)
        self.found += once
        self.wrong += len(self.ids) - once + len(ids - self.ids)
        self.wrong += names != sorted(name.removesuffix(".response") for name in self.expected)
        if alike:
            same = sum(self.expected.get(name) == digest for name, digest in found.items())
            self.same, self.compared = self.same + same, self.compared + len(self.expected)
            self.wrong += len(self.expected) - same
        if found.keys() == self.expected.keys():
            difference = float(np.abs(self._scores(folder) - self.scores).max())
            self.largest = max(self.largest, difference)
            self.wrong += not difference <= 2.0**-TOLERANCE_BITS

    def _scores(self, folder: Path) -> np.ndarray:
        """Decrypted scores [requests, sequences] of all responses of a folder, by name."""
        paths = sorted(folder.glob("*.response"))
        return np.array([self.case.client.decrypt_scores(path) for path in paths])

    def _ids(self, folder: Path) -> Counter[str]:
        """How often each sequence has a result in a folder."""
        paths = folder.glob("*.response")
        return Counter(one for path in paths for one in self.case.client.read_response(path)[1])
