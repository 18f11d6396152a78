"""The service's end of a worker process: started when needed, killed when stuck, started again."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from heclstm_lib.service.options import ServiceOptions
from heclstm_lib.service.tokens import VARIABLE

OnSteps = Callable[[int], None]


class WorkerEnded(Exception):
    """The process ended, or was ended, before it said how its task did."""


class Child:
    """One worker process at a time."""

    def __init__(self, options: ServiceOptions, model: Path, threads: int) -> None:
        self._command = [
            sys.executable, "-m", "heclstm_lib.service.worker", str(options.plan), str(model),
            str(options.memory_mb),
        ]  # fmt: skip
        if options.flood_bits is not None:
            self._command += ["--flood-bits", str(options.flood_bits)]
        self._stall_s = options.stall_s
        self._environment = {k: v for k, v in os.environ.items() if k != VARIABLE}
        self._environment.setdefault("OMP_NUM_THREADS", str(threads))
        self._process: Process | None = None

    @property
    def pid(self) -> int | None:
        """The process's number, if there is one."""
        return self._process.pid if self._process else None

    async def run(self, task: dict[str, Any], on_steps: OnSteps) -> tuple[str, str]:
        """Have a task done; its state and reason. WorkerEnded if none did it, or none can start."""
        try:
            if self._process is None or self._process.returncode is not None:
                await self._start()
            await self._send(task)
            while "state" not in (event := await self._event()):
                on_steps(event["steps"])
        except WorkerEnded:
            await self.kill()
            raise
        except (OSError, ValueError) as error:  # no process, no pipe, or no event of ours
            await self.kill()
            raise WorkerEnded(f"it could not be asked: {error}") from error
        return event["state"], event["reason"]

    async def kill(self) -> None:
        """End the process, whatever it is doing."""
        process, self._process = self._process, None
        if process is not None:
            with suppress(ProcessLookupError):
                process.kill()
            await process.wait()

    async def _start(self) -> None:
        self._process = await asyncio.create_subprocess_exec(
            *self._command, stdin=PIPE, stdout=PIPE, env=self._environment, start_new_session=True
        )
        await self._event()

    async def _send(self, task: dict[str, Any]) -> None:
        stdin = self._pipes().stdin
        with suppress(ConnectionError):  # then its output has ended too
            stdin.write(json.dumps(task).encode() + b"\n")  # type: ignore[union-attr]
            await stdin.drain()  # type: ignore[union-attr]

    async def _event(self) -> dict[str, Any]:
        process = self._pipes()
        try:
            line = await asyncio.wait_for(process.stdout.readline(), self._stall_s)  # type: ignore[union-attr]
        except TimeoutError:
            raise WorkerEnded(f"nothing came of it for {self._stall_s:g} s") from None
        if not line.endswith(b"\n"):
            raise WorkerEnded(_how(await process.wait()))
        return dict(json.loads(line))

    def _pipes(self) -> Process:
        if self._process is None:
            raise WorkerEnded("it was stopped")
        return self._process


def _how(code: int) -> str:
    if code >= 0:
        return f"it ended with code {code}"
    return f"it was ended by {signal.Signals(-code).name}"
