"""A folder of responses as it should be, watched while batches are killed in it."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

RESPONSES, RESPONSE_CLAIM, PART = "[!.]*.response", ".response-claim", ".response."


def digests(responses: Path) -> dict[str, str]:
    """SHA-256 of every response of a folder, by file name."""
    return {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(responses.glob(RESPONSES))
        if path.is_file()
    }


def hidden_files(responses: Path) -> dict[str, int]:
    """Claims and unfinished files of a folder, with the time of their last change in ns."""
    return _times(responses, ".*")


def _times(responses: Path, pattern: str) -> dict[str, int]:
    found = {}
    for path in responses.glob(pattern):
        with suppress(FileNotFoundError):  # gone since
            if path.is_file():
                found[path.name] = path.stat().st_mtime_ns
    return found


class ResponseFolder:
    """Responses of batches that are killed, against those of an uninterrupted one."""

    def __init__(self, path: Path, expected: Mapping[str, str]) -> None:
        """`expected` are the digests of all responses, by file name."""
        self.path, self._expected = path, expected
        self._finished: dict[str, int] = {}
        self._hidden: dict[str, int] = {}

    def look(self) -> None:
        """Remember what is there before a batch starts."""
        self._finished = _times(self.path, RESPONSES)
        self._hidden = hidden_files(self.path)

    def share_left(self) -> float:
        """The share of responses that lacked at the last look."""
        return 1 - len(self._finished) / len(self._expected)

    def _new_hidden(self) -> set[str]:
        return {name for name, _ in hidden_files(self.path).items() - self._hidden.items()}

    def is_writing(self) -> bool:
        """Whether a response is being written by the batch that runs."""
        return any(PART in name for name in self._new_hidden())

    def has_claims(self) -> bool:
        """Whether a response is claimed by the batch that runs."""
        return any(name.endswith(RESPONSE_CLAIM) for name in self._new_hidden())

    def has_part(self) -> bool:
        """Whether a batch that was killed left a part of a response."""
        return self.is_writing()

    def point(self) -> str:
        """Where the batch that was started after `look` is."""
        hidden = self._new_hidden()
        if any(PART in name for name in hidden):
            return "writing a response"
        if any(name.endswith(RESPONSE_CLAIM) for name in hidden):
            return "evaluating"
        done = len(_times(self.path, RESPONSES))
        if done == len(self._finished) < len(self._expected):
            return "starting or loading keys"
        return "after the last request" if done == len(self._expected) else "between requests"

    def check(self) -> int:
        """Responses that are not what they should be, or were finished and made again."""
        wrong = sum(self._expected.get(name) != found for name, found in digests(self.path).items())
        now = _times(self.path, RESPONSES)
        return wrong + sum(now.get(name) != time for name, time in self._finished.items())

    def check_complete(self) -> int:
        """As `check`, moreover responses that lack and files that should be gone."""
        return (
            self.check()
            + (len(self._expected) - len(digests(self.path)))
            + len(hidden_files(self.path))
        )

    def remove(self) -> None:
        """Delete the folder."""
        shutil.rmtree(self.path)
