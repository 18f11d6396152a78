"""A batch evaluation as a process group that can be killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil

from heclstm_lib.robustness.small_case import SmallCase

PATIENCE_S = 120.0
"""A batch of a small case that takes longer hangs."""

ORPHANS_S = 10.0
"""Workers whose parent was killed end within these seconds, or they hang."""


class BatchProcess:
    """A running `python -m heclstm_lib.batch` in a process group of its own."""

    def __init__(
        self,
        case: SmallCase,
        responses: Path,
        *options: str,
        scratch: Path | None = None,
        before: Callable[[], None] | None = None,
    ) -> None:
        """Start it; `scratch` is its folder for temporary files, `before` runs in the process."""
        command = [sys.executable, "-m", "heclstm_lib.batch"]
        files = (case.plan, case.bundle, case.requests, responses)
        environment = os.environ | {"OMP_NUM_THREADS": "1"}
        if scratch is not None:
            scratch.mkdir(exist_ok=True)
            environment["TMPDIR"] = str(scratch)
        self._process = subprocess.Popen(
            [*command, *map(str, files), *options],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=environment,
            start_new_session=True,
            preexec_fn=before,
        )

    def running(self) -> bool:
        """Whether it has not ended yet."""
        return self._process.poll() is None

    def finish(self) -> tuple[int | None, str]:
        """Wait for its end: exit code (None: it hung and was killed) and what it said."""
        try:
            text, _ = self._process.communicate(timeout=PATIENCE_S)
        except subprocess.TimeoutExpired:
            self.kill()
            text, _ = self._process.communicate()
            return None, text
        return self._process.returncode, text

    def workers(self) -> list[psutil.Process]:
        """Its worker processes."""
        try:
            children = psutil.Process(self._process.pid).children()
            return [child for child in children if "spawn_main" in " ".join(child.cmdline())]
        except psutil.Error:
            return []

    def kill(self) -> None:
        """SIGKILL to all of its processes."""
        os.killpg(self._process.pid, signal.SIGKILL)

    def kill_parent(self) -> bool:
        """SIGKILL to the parent only; False when its workers do not end by themselves."""
        workers = self.workers()
        self._process.kill()
        self._process.wait()
        end = time.monotonic() + ORPHANS_S
        while any(map(_lives, workers)):
            if time.monotonic() > end:
                self.kill()
                return False
            time.sleep(0.01)
        return True


def _lives(process: psutil.Process) -> bool:
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.Error:
        return False
