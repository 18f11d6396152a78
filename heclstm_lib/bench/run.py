"""Run suites: contenders in turn, round after round; every output is held against the case."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from heclstm_lib.bench.cases import Arrays, case_digest, load_case, write_case
from heclstm_lib.bench.contender import (
    OURS,
    Contender,
    contender_command,
    pinned,
    thread_environment,
)
from heclstm_lib.bench.records import Record, RecordStore, entry_identity
from heclstm_lib.bench.suites import Entry, Suite, cores_for
from heclstm_lib.errors import BenchError, ContenderAbsent
from heclstm_lib.he.params import STANDARD_2018
from heclstm_lib.paths import repo_root
from heclstm_lib.provenance import git_state


class _Refused(BenchError):
    """At set-up the contender answered that it cannot do this case."""


class Bench:
    """A benchmark in a work folder: its cases, records and logs."""

    def __init__(self, work: Path, environments: Path, scripts: Path | None = None) -> None:
        self.work, self.environments, self.scripts = work, environments, scripts
        self.records = RecordStore(work / "runs")
        state = git_state() or {"commit": "", "dirty": False}
        self.common = {
            "session": datetime.now(UTC).isoformat(timespec="seconds"),
            "commit": state["commit"] + ("+changes" if state["dirty"] else ""),
        }

    def run(self, suites: Iterable[Suite], resume: bool) -> None:
        """Run suites one after the other; with `resume` only what is not yet recorded."""
        suites = list(suites)
        if any(entry.name == OURS for suite in suites for entry in suite.entries):
            self.calibrate()
        for suite in suites:
            if not resume:
                for entry in suite.entries:
                    self.records.forget(suite, entry)
            self.run_suite(suite)

    def calibrate(self) -> None:
        """Measure the primitives our planner chooses by, unless they are known on this machine.

        In a process pinned as ours will be, since weighted sums use the threads they are given.
        """
        for degree in STANDARD_2018:
            command = [sys.executable, "-m", "heclstm_lib.cli", "calibrate"]
            command += ["--poly-degree", str(degree)]
            with pinned(cores_for(Entry(OURS))):
                done = subprocess.run(
                    command, env=thread_environment(1), stdout=subprocess.DEVNULL, cwd=repo_root()
                )
            if done.returncode:
                raise BenchError(f"heclstm calibrate --poly-degree {degree} failed; see above.")

    def run_suite(self, suite: Suite) -> None:
        """All missing runs of a suite: round after round, one run of each entry."""
        path = write_case(suite.case, self.work / "cases")
        case = load_case(path)
        seats = [_Seat(self, suite, entry, path, case) for entry in suite.entries]
        rounds = max(suite.rounds(entry) for entry in suite.entries)
        turns = [(repeat, seat) for repeat in range(rounds) for seat in seats if seat.wants(repeat)]
        try:
            for repeat, seat in (bar := tqdm(turns, desc=suite.name, unit="run")):
                bar.set_postfix_str(seat.entry.title)
                seat.take_turn(repeat)
        finally:
            for seat in seats:
                seat.stop()


class _Seat:
    """An entry of a suite and, while it lives, its process."""

    def __init__(self, bench: Bench, suite: Suite, entry: Entry, path: Path, case: Arrays) -> None:
        self.bench, self.suite, self.entry, self.path = bench, suite, entry, path
        self.expected, self.digest = case["expected"], case_digest(case)
        self.process: Contender | None = None
        self.setup: dict[str, Any] = {}
        self.out = False  # absent or failed: no further turns

    def wants(self, repeat: int) -> bool:
        """Whether this entry still lacks that run."""
        if repeat >= self.suite.rounds(self.entry):
            return False
        return not self.bench.records.done(self.suite, self.entry, repeat)

    def take_turn(self, repeat: int) -> None:
        """One counted run, recorded whatever becomes of it."""
        if self.out:
            return
        try:
            record = self._measured(repeat)
        except (ContenderAbsent, _Refused) as error:
            record = self._record(repeat, "skipped", reason=str(error))
        except BenchError as error:
            record = self._record(repeat, "failed", reason=str(error))
        self.out = record.status in ("skipped", "failed")
        self.bench.records.put(record)
        if self.out or not self.suite.resident:
            self.stop()

    def _measured(self, repeat: int) -> Record:
        process = self.process or self._start()
        run = self._ask(process, "run")
        peak = max(process.peak_bytes(), int(run.get("peak_rss_bytes") or 0))
        floor = self._ask(process, "floor") if self.entry.floor else {}
        status, errors = judge(run, self.expected, self.suite.tolerance)
        error, mean_error = errors if errors else (None, None)
        return self._record(
            repeat, status, reason=str(run.get("note", "")), error=error, mean_error=mean_error,
            peak_bytes=peak, run=run, floor=floor,
        )  # fmt: skip

    def _start(self) -> Contender:
        command = contender_command(self.entry.name, self.bench.environments, self.bench.scripts)
        log = self.bench.work / "logs" / f"{self.suite.name}-{self.entry.name}.txt"
        self.process = Contender(command, cores_for(self.entry), self.entry.threads, log)
        options = {"batch": self.suite.case.rows} | self.entry.options
        self.setup = self._ask(self.process, "setup", case=str(self.path), options=options)
        for _ in range(self.suite.warmups(self.entry)):
            self._ask(self.process, "run")
        return self.process

    def _ask(self, process: Contender, command: str, **more: Any) -> dict[str, Any]:
        answer = process.ask({"command": command} | more, self.suite.timeout_s)
        if not answer.get("ok", True):
            kind = _Refused if command == "setup" else BenchError
            raise kind(f"{command}: {answer.get('reason', 'no reason given')}")
        return answer

    def _record(self, repeat: int, status: str, reason: str = "", **more: Any) -> Record:
        return Record(
            suite=self.suite.name,
            title=self.entry.title,
            contender=self.entry.name,
            repeat=repeat,
            status=status,
            reason=without_folders(reason),
            identity=entry_identity(self.suite, self.entry),
            heading=self.suite.title,
            group=self.suite.group,
            case=asdict(self.suite.case),
            threads=self.entry.threads,
            cores=self.entry.cores or self.entry.threads,
            case_digest=self.digest,
            batch=int(self.setup.get("batch") or self.suite.case.rows),
            setup=self.setup,
            load=os.getloadavg()[0],
            **self.bench.common,
            **more,
        )

    def stop(self) -> None:
        """End the process, if there is one."""
        if self.process is not None:
            self.process.close()
            self.process = None


def without_folders(text: str) -> str:
    """File names instead of whole paths: where a machine keeps its files is nobody's business.

    >>> without_folders("/opt/lib/seal.cpp:95: no room")
    'seal.cpp:95: no room'
    """
    return re.sub(r"(?<![\w.~])~?/(?:[\w.+@-]+/)+", "", text)


def judge(
    run: dict[str, Any], expected: Any, tolerance: float
) -> tuple[str, tuple[float, float] | None]:
    """Status of a run, and largest and mean error of its outputs, None where there are none.

    Its own verdict over all rows and ours over the rows it returned both have to hold.
    """
    if run.get("outputs") is None:
        return "partial", None
    outputs = np.asarray(run["outputs"], dtype=np.float64)
    wanted = expected[np.arange(len(outputs)) % len(expected)] if outputs.ndim == 2 else expected
    if outputs.shape != wanted.shape or not np.isfinite(outputs).all():
        return "wrong", None
    reported = run.get("max_error")
    if reported is None or not np.isfinite(reported):
        return "wrong", None
    errors = np.abs(outputs - wanted)
    error = max(float(errors.max()), float(reported))
    return ("ok" if error <= tolerance else "wrong"), (error, float(errors.mean()))
