"""Ciphertexts and messages between the workers of one evaluation, as files in a folder they share.

A file is written under another name and then renamed, so whoever sees it sees all of it; each
reader has a name of its own for a value and removes it after reading. A failure is a file too: it
stops all.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from heclstm_lib.errors import StrandError
from heclstm_lib.he.memory import Words

SHARED_MEMORY = Path("/dev/shm")
"""A folder kept in memory, where the system has one (Linux)."""

_SHORTEST_PAUSE_S, _LONGEST_PAUSE_S = 1e-4, 5e-3


class StrandStopped(StrandError):
    """This worker stopped because another one failed; that one's error says why."""


@contextmanager
def exchange_folder(most_bytes: int) -> Iterator[Path]:
    """A folder for one evaluation, in shared memory if `most_bytes` fit there; removed after.

    Raises StrandError when they fit nowhere.
    """
    rooms = [room for room in (SHARED_MEMORY, Path(tempfile.gettempdir())) if _writable(room)]
    free = {room: shutil.disk_usage(room).free for room in rooms}
    room = next((room for room in rooms if free[room] >= most_bytes), None)
    if room is None:
        found = ", ".join(f"{free[room] / 1e6:.0f} MB in {room}" for room in rooms)
        raise StrandError(
            f"the workers exchange up to {most_bytes / 1e6:.0f} MB, there are {found or 'none'}. "
            "Set TMPDIR to a larger folder, or evaluate with one worker."
        )
    folder = Path(tempfile.mkdtemp(prefix="heclstm-", dir=room))
    try:
        yield folder
    finally:
        with suppress(OSError):  # so that a worker that is late finds no place to write any more
            folder = folder.rename(folder.with_name(f"{folder.name}.gone"))
        shutil.rmtree(folder, ignore_errors=True)


def _writable(room: Path) -> bool:
    return room.is_dir() and os.access(room, os.W_OK | os.X_OK)


class Exchange:
    """One worker's view of the folder; every wait ends after `patience_s` seconds."""

    def __init__(self, folder: Path, patience_s: float) -> None:
        self.folder = folder
        self.patience_s = patience_s
        self._failed = folder / "failed"

    def send(self, value: int, words: Words, readers: Sequence[int]) -> None:
        """Write the coefficients of a value once, under one name for each reader."""
        part = self.folder / f"part-{value}"
        view = words.data.cast("B")
        with part.open("wb", buffering=0) as file:
            while view:
                view = view[file.write(view) :]
        for reader in readers[1:]:
            self._value(value, reader).hardlink_to(part)
        part.rename(self._value(value, readers[0]))

    def await_value(self, value: int, reader: int) -> None:
        """Return when a value has arrived; StrandError when it does not in time."""
        path = self._value(value, reader)
        self._wait(path.exists, f"strand {reader}: value {value} did not arrive", self.patience_s)

    def receive(self, value: int, reader: int, words: Words) -> None:
        """Read a value that has arrived into `words`, and remove it."""
        path = self._value(value, reader)
        if path.stat().st_size != words.nbytes:
            raise StrandError(
                f"strand {reader}: value {value} has {path.stat().st_size} bytes, expected "
                f"{words.nbytes}. All workers must run the same version and plan."
            )
        view = words.data.cast("B")
        with path.open("rb", buffering=0) as file:
            while view:
                view = view[file.readinto(view) :]
        path.unlink()

    def _value(self, value: int, reader: int) -> Path:
        return self.folder / f"value-{value}-for-{reader}"

    def announce(self, topic: str, name: str, text: str = "") -> None:
        """Say something to all."""
        part = self.folder / f"part-{topic}-{name}"
        part.write_text(text, encoding="utf-8")
        part.rename(self.folder / f"{topic}-{name}")

    def gather(self, topic: str, count: int, what: str, patience_s: float) -> dict[str, str]:
        """All that was announced, by name, once `count` have spoken; StrandError says `what`."""
        paths: list[Path] = []

        def complete() -> bool:
            paths[:] = self.folder.glob(f"{topic}-*")
            return len(paths) >= count

        self._wait(complete, what, patience_s)
        return {path.name[len(topic) + 1 :]: path.read_text(encoding="utf-8") for path in paths}

    def fail(self, reason: str) -> None:
        """Stop everyone who takes part."""
        part = self.folder / f"part-failed-{uuid.uuid4().hex}"
        with suppress(OSError):  # the folder is gone, so everyone stops anyway
            part.write_text(reason, encoding="utf-8")
            part.rename(self._failed)

    def check(self) -> None:
        """Raise StrandStopped when somebody failed or the evaluation was given up."""
        if self._failed.exists():
            raise StrandStopped(f"stopped: {self._failed.read_text(encoding='utf-8')}")
        if not self.folder.exists():
            raise StrandStopped("stopped: the caller gave up")

    def _wait(self, ready: Callable[[], bool], what: str, patience_s: float) -> None:
        end, pause = time.monotonic() + patience_s, _SHORTEST_PAUSE_S
        while not ready():
            self.check()
            if time.monotonic() > end:
                raise StrandError(f"{what} within {patience_s:g} s.")
            time.sleep(pause)
            pause = min(1.5 * pause, _LONGEST_PAUSE_S)
