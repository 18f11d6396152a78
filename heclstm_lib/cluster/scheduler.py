"""A Dask scheduler as a client meets it: reached, waited for, asked which workers it has."""

from __future__ import annotations

import inspect
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from heclstm_lib.cluster.need import limit_for
from heclstm_lib.errors import BatchError
from heclstm_lib.storage import missing

MEMORY = "memory_MB"
"""The abstract resource of a worker that evaluations share."""

PAUSE_S = 0.2
ATTEMPT_S = 10.0
"""For one of the attempts to reach a scheduler that is away."""


def connect(address: str, wait_s: float) -> Any:
    """A client of the scheduler at an address; BatchError when it does not answer in time."""
    try:
        from distributed import Client
    except ImportError as error:
        raise missing("dask.distributed", error) from error
    try:
        return Client(address, timeout=wait_s, set_as_default=False)
    except (OSError, ValueError, TypeError) as error:
        raise BatchError(
            f"no Dask scheduler answers at {address} ({error}). Start one (dask scheduler), or "
            "leave --scheduler out to try it on this machine."
        ) from error


class Connection:
    """A client of a scheduler that may be away for a while; `client` is the present one."""

    def __init__(self, address: str, wait_s: float, say: Callable[[str], object]) -> None:
        """Connect within `wait_s` seconds, else raise BatchError; `say` is told of losses."""
        self.client = connect(address, wait_s)
        self._address, self._say = address, say

    def renew(self, patience_s: float) -> Any:
        """A new client, once a scheduler is at the address again.

        Raises BatchError when none is within `patience_s` seconds.
        """
        self.close()
        self._say(
            f"the connection to Dask's scheduler at {self._address} was lost: waiting up to "
            f"{patience_s:g} s for it to come back. Finished responses are kept."
        )
        end = time.monotonic() + patience_s
        while (left_s := end - time.monotonic()) > 0:
            if _listens(self._address):  # a client that fails leaves a thread behind
                with suppress(BatchError):
                    self.client = connect(self._address, min(ATTEMPT_S, left_s))
                    self._say("Dask's scheduler is back: going on with what is not finished.")
                    return self.client
            time.sleep(PAUSE_S)
        raise BatchError(
            f"the connection to Dask's scheduler at {self._address} was lost, and none answered "
            f"there within {patience_s:g} s. Finished responses are kept. See that the scheduler "
            "runs, then give the same command again: it goes on with the rest."
        )

    def close(self) -> None:
        """Close the present client, also one whose scheduler is gone."""
        with suppress(Exception):  # no scheduler answers it
            self.client.close(timeout=ATTEMPT_S)


def _listens(address: str) -> bool:
    """Whether something answers at an address."""
    from distributed.comm import get_address_host_port

    try:
        with socket.create_connection(get_address_host_port(address), ATTEMPT_S):
            return True
    except OSError:
        return False


def has_given_up(client: Any) -> bool:
    """Whether a client closed itself, since no scheduler came back in time."""
    return client.status in ("closing", "closed")


def known_workers(client: Any) -> list[dict[str, Any]]:
    """All workers, as their scheduler describes them; OSError when it does not answer.

    Some releases tell of five unless asked. The scheduler itself is asked, since what
    `scheduler_info` returns is overwritten by the client every two seconds, without any workers.
    """
    if has_given_up(client):
        raise ConnectionError("the client closed itself, since no scheduler came back in time.")
    asked = "n_workers" in inspect.signature(client.scheduler_info).parameters
    info = client.sync(client.scheduler.identity, **({"n_workers": -1} if asked else {}))
    return list(info["workers"].values())


def slots(worker: dict[str, Any], need_mb: int) -> int:
    """How many tasks of this size run at a time on a worker, as the scheduler describes it."""
    room = int(worker.get("resources", {}).get(MEMORY, 0) // need_mb)
    return min(int(worker["nthreads"]), room)


def await_worker(client: Any, need_mb: int, wait_s: float) -> None:
    """Wait for a worker that can take a task; BatchError when there is none in time."""
    end, workers = time.monotonic() + wait_s, list[dict[str, Any]]()
    while True:
        with suppress(OSError, RuntimeError):  # lost just now; a client tries to find it again
            workers = known_workers(client)
        if any(slots(worker, need_mb) for worker in workers):
            return
        if time.monotonic() > end:
            break
        time.sleep(PAUSE_S)
    most = max((worker.get("resources", {}).get(MEMORY, 0) for worker in workers), default=0)
    raise BatchError(
        f"an evaluation takes about {need_mb} MB, but of {len(workers)} worker(s) the largest "
        f"offers {most:g} (resource {MEMORY}). Start workers that do: dask worker ADDRESS "
        f"--nthreads 1 --memory-limit {limit_for(need_mb)}MiB --resources {MEMORY}={need_mb}; on "
        f"this machine --memory-mb {limit_for(need_mb)}. Or plan a smaller model."
    )
