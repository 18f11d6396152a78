"""Memory of processes, looked at all the time while something is done to them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from contextlib import suppress

import psutil

LOOK_S = 0.05

Processes = Callable[[], Sequence[psutil.Process]]
"""The processes of a group, asked anew at each look: they come and go."""


class MemoryWatch:
    """`peaks`: group -> the largest resident bytes of any one of its processes during the block."""

    def __init__(self, **groups: Processes) -> None:
        self.peaks = dict.fromkeys(groups, 0)
        self._groups, self._ended = groups, threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> MemoryWatch:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._ended.wait(LOOK_S):
            for name, processes in self._groups.items():
                with suppress(psutil.Error):  # who asks for them has ended
                    for process in processes():
                        self._look(name, process)

    def _look(self, name: str, process: psutil.Process) -> None:
        with suppress(psutil.Error):  # it ended
            self.peaks[name] = max(self.peaks[name], process.memory_info().rss)
