"""A Dask cluster and an S3 server as processes of their own, to be killed and watched."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from heclstm_lib.cluster.cache import VARIABLE
from heclstm_lib.cluster.dask_executor import MEMORY
from heclstm_lib.cluster.need import offered_mb
from heclstm_lib.robustness.service_process import free_port

START_S, PAUSE_S = 60.0, 0.05
KEYS = {
    "AWS_ACCESS_KEY_ID": "any",
    "AWS_SECRET_ACCESS_KEY": "any",
    "AWS_DEFAULT_REGION": "us-east-1",
}
"""What the S3 server, which asks for no real ones, is sent."""


class DaskProcesses:
    """A scheduler and workers, each worker a process under a nanny that starts it again."""

    def __init__(self, folder: Path, workers: int, memory_mb: int, threads: int = 1) -> None:
        """Start them; `folder` takes their files, `memory_mb` is each worker's limit."""
        folder.mkdir(parents=True, exist_ok=True)
        self.memory_mb = memory_mb
        self._folder, self._file = folder, folder / "scheduler.json"
        self._scheduler = self._start("scheduler", "--host", "127.0.0.1", "--port", "0")
        _await(self._file.is_file, "the scheduler")
        limits = (
            "--nworkers", "1", "--nthreads", str(threads), "--memory-limit", f"{memory_mb}MiB",
            "--resources", f"{MEMORY}={offered_mb(memory_mb)}", "--local-directory", str(folder),
            "--host", "127.0.0.1",
        )  # fmt: skip
        self._nannies = [self._start("worker", *limits) for _ in range(workers)]
        _await(lambda: len(self.workers()) == workers, "the workers")

    @property
    def address(self) -> str:
        """The scheduler's."""
        return str(json.loads(self._file.read_text(encoding="utf-8"))["address"])

    def workers(self) -> list[psutil.Process]:
        """The worker processes that live now."""
        found = []
        for nanny in self._nannies:
            try:
                for child in psutil.Process(nanny.pid).children(recursive=True):
                    if "spawn_main" in " ".join(child.cmdline()):
                        found.append(child)
            except psutil.Error:
                continue
        return found

    def kill_scheduler(self) -> None:
        """SIGKILL to the scheduler."""
        self._scheduler.kill()
        self._scheduler.wait()

    def close(self) -> None:
        """End everything."""
        for process in (*self._nannies, self._scheduler):
            _end(process)

    def _start(self, *arguments: str) -> subprocess.Popen[bytes]:
        variables = {VARIABLE: str(self._folder / "cache"), "OMP_NUM_THREADS": "1"}
        with (self._folder / f"{arguments[0]}.log").open("ab") as log:
            return subprocess.Popen(
                [
                    sys.executable, "-m", "dask", *arguments, "--scheduler-file", str(self._file),
                    "--no-dashboard",
                ],
                env=os.environ | variables, stdout=log, stderr=log,
            )  # fmt: skip


@contextmanager
def s3_server(bucket: str) -> Iterator[str]:
    """An S3 server (moto) with an empty bucket while the block runs; yields the bucket's URL.

    This process and those it starts find it through the environment.
    """
    port = free_port()
    process = subprocess.Popen(
        [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    before = dict(os.environ)
    os.environ.update(KEYS | {"AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}"})
    try:
        _await(lambda: _answers(port), "the S3 server")
        import s3fs

        s3fs.S3FileSystem.clear_instance_cache()
        s3fs.S3FileSystem().mkdir(bucket)
        yield f"s3://{bucket}"
    finally:
        _end(process)
        os.environ.clear()
        os.environ.update(before)


def _answers(port: int) -> bool:
    with socket.socket() as one:
        return one.connect_ex(("127.0.0.1", port)) == 0


def _await(holds: Callable[[], bool], what: str) -> None:
    end = time.monotonic() + START_S
    while not holds():
        if time.monotonic() > end:
            raise RuntimeError(f"{what} did not start in {START_S:g} s")
        time.sleep(PAUSE_S)


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a process and its children, gently first."""
    try:
        children = psutil.Process(process.pid).children(recursive=True)
    except psutil.Error:
        children = []
    process.terminate()
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    for child in children:
        try:
            child.kill()
        except psutil.Error:
            continue
