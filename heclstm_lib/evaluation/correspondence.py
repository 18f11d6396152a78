"""Refreshes between a worker's server and the client in another process: files that wait.

The server writes a message beside its response file; the client, who looks for messages while it
waits for results, writes a reply beside the message; the server reads it and removes both.
"""

from __future__ import annotations

import time
from pathlib import Path

from heclstm_lib.errors import WireError
from heclstm_lib.he.refresh import MESSAGE_SUFFIX

REPLY_SUFFIX = ".reply"
PAUSE_S = 2e-3
"""Between two looks for a file."""

PATIENCE_S = 600.0
"""How long a server waits for the client's reply; the client may be encrypting other batches."""


def reply_path(message: Path) -> Path:
    """Where the reply to a message is put."""
    return message.with_name(message.name + REPLY_SUFFIX)


class Correspondent:
    """The server's `ask`: waits for the client's reply and keeps count of trips and bytes."""

    def __init__(self, patience_s: float = PATIENCE_S) -> None:
        self._patience_s = patience_s
        self._old: list[Path] = []
        self.waited_s = 0.0
        self.round_trips = 0
        self.refresh_bytes = 0

    def __call__(self, message: Path) -> Path:
        """The reply to a message; WireError when none comes in time."""
        self.clear()
        reply, begin = reply_path(message), time.perf_counter()
        self._old = [message, reply]  # in this order: a message without reply is a question
        while not reply.exists():
            if time.perf_counter() - begin > self._patience_s:
                raise WireError(
                    f"{reply.name}: the client did not re-encrypt the state in "
                    f"{self._patience_s:g} s. Is it still running? Evaluate the batch again."
                )
            time.sleep(PAUSE_S)
        self.waited_s += time.perf_counter() - begin
        self.round_trips += 1
        self.refresh_bytes += message.stat().st_size + reply.stat().st_size
        return reply

    def clear(self) -> None:
        """Remove the last message and its reply."""
        for path in self._old:
            path.unlink(missing_ok=True)
        self._old = []


def open_messages(folder: Path) -> list[Path]:
    """Messages in a folder that have no reply yet."""
    found = folder.glob(f"[!.]*{MESSAGE_SUFFIX}[0-9]*")
    messages = (path for path in found if path.suffix != REPLY_SUFFIX)
    # A server removes a message before its reply: one without either has been answered.
    return sorted(path for path in messages if not reply_path(path).exists() and path.exists())
