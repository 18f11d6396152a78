"""Claims on files: of several evaluations in one folder, one at a time works on a response.

A claim is a locked file beside the response. The system drops the lock when its holder ends,
however it does, so a claim of a killed process stops nobody; the file it leaves is taken over.
"""

from __future__ import annotations

import fcntl
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

PAUSE_S = 0.05


def claim_path(target: Path) -> Path:
    """Where the claim on a file lies; it exists while held, and after its holder was killed."""
    return target.with_name(f".{target.name}-claim")


@contextmanager
def claim(target: Path, patience_s: float = 0.0) -> Iterator[bool]:
    """Hold the claim on a file during the block; yields False if another process holds it.

    `patience_s` is how long to wait for that one.
    """
    path, end = claim_path(target), time.monotonic() + patience_s
    while (handle := _lock(path)) is None:
        if time.monotonic() >= end:
            yield False
            return
        time.sleep(PAUSE_S)
    try:
        with suppress(OSError):  # only for people who look; a full disk does not matter
            os.ftruncate(handle, 0)
            os.write(handle, f"process {os.getpid()} on {socket.gethostname()}\n".encode())
        yield True
    finally:
        path.unlink(missing_ok=True)
        os.close(handle)


def _lock(path: Path) -> int | None:
    """A handle of the locked file; None while another one has it."""
    while True:
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if _is_at(handle, path):
                return handle
            os.close(handle)  # its last holder removed it before we locked it: make a new one
        except BlockingIOError:
            os.close(handle)
            return None
        except BaseException:
            os.close(handle)
            raise


def _is_at(handle: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(handle), path.stat())
    except FileNotFoundError:
        return False
