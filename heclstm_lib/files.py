"""Files are written whole or not at all: a temporary name beside the target, then a rename."""

from __future__ import annotations

import fcntl
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO


@contextmanager
def replacing(target: Path, mode: int = 0o644) -> Iterator[Path]:
    """Yield a temporary path beside `target`, moved onto it when the block ends without error.

    Until then only its owner may read it; then it gets the permissions `mode`.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    os.close(handle)
    part = Path(name)
    try:
        yield part
        part.chmod(mode)  # mkstemp makes it private; results are for reading
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)


@contextmanager
def locked(lock: Path) -> Iterator[None]:
    """Hold the lock file `lock`, waiting for whoever has it; it falls when the process ends."""
    lock.parent.mkdir(parents=True, exist_ok=True)
    with lock.open("a") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        yield


@contextmanager
def scratch_file() -> Iterator[tuple[IO[bytes], str]]:
    """An empty file and a path to it; on Linux in memory and nameless: nothing of it stays."""
    if hasattr(os, "memfd_create"):
        with os.fdopen(os.memfd_create("scratch"), "w+b") as file:
            yield file, f"/proc/self/fd/{file.fileno()}"
    else:
        with tempfile.NamedTemporaryFile() as file:
            yield file, file.name
