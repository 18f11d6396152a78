"""A worker of the service, `python -m heclstm_lib.service.worker`: one task after the other.

Tasks come as lines of JSON on its input, events go as lines of JSON to its output: {"steps": n} as
it goes on, then {"state": ..., "reason": ...}. It ends when its input does, so it never outlives
the service, and after a lack of memory, since what was being made may be in pieces.
"""

from __future__ import annotations

import argparse
import json
import os
import queue
import resource
import sys
import threading
import time
from pathlib import Path
from typing import Any, TextIO

from heclstm_lib.errors import HeclstmError
from heclstm_lib.he.plan import Plan
from heclstm_lib.he.server import Server
from heclstm_lib.he.store import load_plan
from heclstm_lib.service.checks import check_bundle, check_request

PAUSE_S = 0.2
"""Between two reports of progress."""

REASON_LENGTH = 2000
"""Characters of a reason, at most: an event is a line of limited length."""

Task = dict[str, Any]


class Worker:
    """Keeps the plan, and the keys of the bundle it worked with last."""

    def __init__(
        self, plan: Plan, model: Path, events: TextIO, flood_bits: int | None = None
    ) -> None:
        """`model` is the folder of the encoded model, `flood_bits` as for `he.server.Server`."""
        self.plan, self.model, self.flood_bits = plan, model, flood_bits
        self._events = events
        self._server: tuple[str, Server] | None = None
        self._steps, self._told = 0, 0.0

    def run(self, task: Task) -> bool:
        """Do a task and tell how it ended; False when this process had better end."""
        self._steps, self._told = 0, time.monotonic()
        try:
            state, reason = self._do(task), ""
        except HeclstmError as error:
            state, reason = "refused", str(error)
        except MemoryError:
            state, reason = "failed", "the worker ran out of memory (--memory-mb)."
        except BrokenPipeError:
            raise
        except OSError as error:
            state, reason = "failed", f"{error.strerror or error} at the server; submit it again."
        except Exception as error:
            state, reason = "refused", f"{type(error).__name__}: {error}"
        self._tell({"state": state, "reason": reason[:REASON_LENGTH]})
        return "memory" not in reason

    def _do(self, task: Task) -> str:
        bundle = Path(task["bundle"])
        if task["kind"] == "public":
            check_bundle(self.plan, bundle, self._step)
            return "ready"
        request = Path(task["request"])
        check_request(self.plan, request, lambda: None)
        server = self._served(bundle)
        server.evaluate(request, Path(task["response"]), lambda _op, _value: self._step())
        return "done"

    def _served(self, bundle: Path) -> Server:
        """The server of a bundle; another one's keys go first, since they fill gigabytes."""
        if self._server is None or self._server[0] != str(bundle):
            self._server = None
            self._server = (str(bundle), Server(self.plan, bundle, self.model, self.flood_bits))
        return self._server[1]

    def _step(self) -> None:
        self._steps += 1
        if (now := time.monotonic()) - self._told >= PAUSE_S:
            self._told = now
            self._tell({"steps": self._steps})

    def _tell(self, event: Task) -> None:
        print(json.dumps(event), file=self._events, flush=True)


def main() -> None:
    """Limit memory, load the plan, say so, then do task after task."""
    parser = argparse.ArgumentParser(prog="python -m heclstm_lib.service.worker")
    parser.add_argument("plan", type=Path)
    parser.add_argument("model", type=Path)
    parser.add_argument("memory_mb", type=int)
    parser.add_argument("--flood-bits", type=int)
    args = parser.parse_args()
    limit_memory(args.memory_mb << 20)
    events = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what a library prints is no event
    tasks: queue.SimpleQueue[str] = queue.SimpleQueue()
    worker = Worker(load_plan(args.plan), args.model, events, args.flood_bits)
    threading.Thread(target=_read_tasks, args=(tasks,), daemon=True).start()
    try:
        print(json.dumps({"state": "idle"}), file=events, flush=True)
        while worker.run(json.loads(tasks.get())):
            pass
    except BrokenPipeError:
        os._exit(0)  # the service is gone


def limit_memory(most: int) -> None:
    """At most so many bytes of data; more is a MemoryError.

    Memory that only maps a file, such as the encoded model, does not count (RLIMIT_DATA).
    """
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    most = most if hard == resource.RLIM_INFINITY else min(most, hard)
    resource.setrlimit(resource.RLIMIT_DATA, (most, most))


def _read_tasks(tasks: queue.SimpleQueue[str]) -> None:
    for line in sys.stdin:
        tasks.put(line)
    os._exit(0)


if __name__ == "__main__":
    main()
