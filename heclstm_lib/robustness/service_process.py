"""A service in a process of its own, as an operator would start it, and what its memory does."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import httpx

from heclstm_lib.errors import ServiceError
from heclstm_lib.service.client import ServiceClient
from heclstm_lib.service.tokens import add_token

START_S, STOP_S, LOOK_S = 60.0, 30.0, 0.05


class ServiceProcess:
    """`python -m heclstm_lib.service` on a free port; `folder` holds its state, tokens and log."""

    def __init__(
        self, plan: Path, folder: Path, hospitals: list[str], options: Mapping[str, object]
    ) -> None:
        """Make a token for each hospital; `options` are those of `heclstm serve`, without `--`."""
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self.state = folder, folder / "state"
        self.tokens = {name: add_token(folder / "tokens", name) for name in hospitals}
        files = {"plan": plan, "state": self.state, "tokens": folder / "tokens"}
        self._options = {**files, **options}
        self._process: subprocess.Popen[bytes] | None = None
        self.port = 0

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def log(self) -> str:
        """All it has printed."""
        return (self.folder / "log").read_text(encoding="utf-8")

    @property
    def pid(self) -> int:
        """The process's number; ServiceError when it does not run."""
        if self._process is None or self._process.poll() is not None:
            raise ServiceError(f"the service does not run; its log is in {self.folder.name}.")
        return self._process.pid

    def start(self) -> None:
        """Start it and wait until it answers; ServiceError when it does not."""
        self.port = free_port()
        options = {**self._options, "port": self.port}
        words = [w for name, value in options.items() for w in (f"--{name}", str(value))]
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "heclstm_lib.service", *words],
                stdout=log,
                stderr=log,
                env=os.environ | {"OMP_NUM_THREADS": "1"},
            )
        end = time.monotonic() + START_S
        while not self.is_healthy():
            if time.monotonic() > end or self._process.poll() is not None:
                raise ServiceError(f"the service did not start: {self.log[-500:]}")
            time.sleep(LOOK_S)

    def is_healthy(self) -> bool:
        """Whether it answers."""
        try:
            return httpx.get(f"{self.url}/v1/health", timeout=START_S).is_success
        except httpx.TransportError:
            return False

    def stop(self, number: int = signal.SIGTERM) -> int:
        """End it; its exit code."""
        if self._process is None:
            return 0
        self._process.send_signal(number)
        return self._process.wait(STOP_S)

    def connect(self, hospital: str, patience_s: float = 60.0) -> ServiceClient:
        """A client with a hospital's token."""
        return ServiceClient(self.url, self.tokens[hospital], patience_s=patience_s)


def free_port() -> int:
    """A port that nobody listens at just now."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])
