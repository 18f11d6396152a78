"""A Dask cluster and an S3 server as processes of their own, to be killed and watched."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

from heclstm_lib.cluster.cache import VARIABLE
from heclstm_lib.cluster.need import offered_mb
from heclstm_lib.cluster.scheduler import MEMORY
from heclstm_lib.robustness.service_process import free_port

START_S, PAUSE_S = 60.0, 0.05
ONE_PIECE = 1 << 30
KEYS = {
    "AWS_ACCESS_KEY_ID": "any",
    "AWS_SECRET_ACCESS_KEY": "any",
    "AWS_DEFAULT_REGION": "us-east-1",
}
"""What the S3 server, which asks for no real ones, is sent."""


class DaskProcesses:
    """A scheduler at a fixed address, and workers, each a command with a nanny and a process.

    A nanny starts an ended worker again; a command that ended (as it does when the scheduler is
    lost) is started again as by a supervisor. Each worker has a folder and a cache of its own, as
    if it were a machine.
    """

    def __init__(self, folder: Path, workers: int, memory_mb: int, threads: int = 1) -> None:
        """Start them; `folder` takes their files, `memory_mb` is each worker's limit."""
        folder.mkdir(parents=True, exist_ok=True)
        self._folder, self._port = folder, free_port()
        self._options = (
            "--nworkers", "1", "--nthreads", str(threads), "--memory-limit", f"{memory_mb}MiB",
            "--resources", f"{MEMORY}={offered_mb(memory_mb)}", "--host", "127.0.0.1",
        )  # fmt: skip
        self._closing, self._lock = threading.Event(), threading.Lock()
        self.restarts = 0
        self._scheduler = self._start_scheduler()
        self._commands = {number: self._start_worker(number) for number in range(workers)}
        self._supervisor = threading.Thread(target=self._supervise, daemon=True)
        self._supervisor.start()
        _await(lambda: len(self.workers()) == workers, "the workers")

    @property
    def address(self) -> str:
        """The scheduler's, also of one that was started again."""
        return f"tcp://127.0.0.1:{self._port}"

    @property
    def numbers(self) -> list[int]:
        """Of the workers that were not removed."""
        return list(self._commands)

    def workers(self) -> list[psutil.Process]:
        """The worker processes that live now."""
        found = []
        for command in list(self._commands.values()):
            found += _worker_processes(command)
        return found

    def kill_scheduler(self) -> None:
        """SIGKILL to the scheduler."""
        self._scheduler.kill()
        self._scheduler.wait()

    def restart_scheduler(self) -> None:
        """Start a scheduler that was killed at the same address; returns when it listens."""
        self._scheduler = self._start_scheduler()

    def remove_worker(self, number: int) -> None:
        """SIGKILL to the command of a worker and to its process; nobody starts it again."""
        with self._lock:
            command = self._commands.pop(number)
        processes = _worker_processes(command)
        command.kill()
        command.wait()
        for process in processes:
            with suppress(psutil.Error):  # it ended with its nanny
                process.kill()

    def close(self) -> None:
        """End everything."""
        self._closing.set()
        self._supervisor.join()
        for process in (*self._commands.values(), self._scheduler):
            _end(process)

    def _supervise(self) -> None:
        while not self._closing.wait(PAUSE_S):
            with self._lock:
                for number, command in self._commands.items():
                    if command.poll() is not None:
                        self._commands[number] = self._start_worker(number)
                        self.restarts += 1

    def _start_scheduler(self) -> subprocess.Popen[bytes]:
        arguments = ("scheduler", "--host", "127.0.0.1", "--port", str(self._port))
        process = self._start(self._folder, *arguments)
        _await(lambda: _answers(self._port), "the scheduler")
        return process

    def _start_worker(self, number: int) -> subprocess.Popen[bytes]:
        own = self._folder / f"worker-{number}"
        own.mkdir(exist_ok=True)
        place = ("--local-directory", str(own))
        return self._start(own, "worker", self.address, *self._options, *place)

    def _start(self, folder: Path, *arguments: str) -> subprocess.Popen[bytes]:
        variables = {VARIABLE: str(folder / "cache"), "OMP_NUM_THREADS": "1"}
        with (folder / f"{arguments[0]}.log").open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "dask", *arguments, "--no-dashboard"],
                env=os.environ | variables, stdout=log, stderr=log,
            )  # fmt: skip


def _worker_processes(command: subprocess.Popen[bytes]) -> list[psutil.Process]:
    """The processes under the nanny of a worker's command."""
    found = []
    with suppress(psutil.Error):  # it has ended
        for child in psutil.Process(command.pid).children(recursive=True):
            with suppress(psutil.Error):
                if "spawn_main" in " ".join(child.cmdline()):
                    found.append(child)
    return found


class S3Server:
    """A bucket's URL, and what of it was asked for so far."""

    def __init__(self, bucket: str, log: Path) -> None:
        self.url, self._log = f"s3://{bucket}", log

    def put(self, source: Path, name: str) -> None:
        """Upload a file as one piece: moto was seen to lose the parts of large ones when slow."""
        import s3fs

        s3fs.S3FileSystem().put_file(str(source), f"{self.url}/{name}", chunksize=ONE_PIECE)

    def counts(self) -> Counter[tuple[str, str]]:
        """Answers with whole files, by method and file name: ("GET", "public.bundle")."""
        text = self._log.read_text(encoding="utf-8", errors="replace")
        found = re.findall(r'"(GET|PUT) ([^ ?]+)\S* HTTP[^"]*" 200 ', text)
        return Counter((method, path.rpartition("/")[2]) for method, path in found)


@contextmanager
def s3_server(bucket: str, log: Path) -> Iterator[S3Server]:
    """An S3 server (moto) with an empty bucket while the block runs; `log` takes what it says.

    This process and those it starts find it through the environment.
    """
    port = free_port()
    with log.open("ab") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)],
            stdout=file, stderr=file,
        )  # fmt: skip
    before = dict(os.environ)
    os.environ.update(KEYS | {"AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}"})
    try:
        _await(lambda: _answers(port), "the S3 server")
        import s3fs

        s3fs.S3FileSystem.clear_instance_cache()
        s3fs.S3FileSystem().mkdir(bucket)
        yield S3Server(bucket, log)
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
