"""Encoded plaintexts in one file: their words one after the other, then checksums.

Layout, little-endian: the words (uint64) of every plaintext, then one CRC-32 (uint32) each, then
the SHA-256 of key and checksums. The name holds the key, a digest of all that was encoded, so a
file is never changed, only made or deleted. Checksums are there against accidents of disk and
transfer; whoever may write into the folder could as well exchange the plan. CRC-32 runs at several
GB/s, so every plaintext is checked when it is first read.
"""

from __future__ import annotations

import hashlib
import shutil
import warnings
import zlib
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from heclstm_lib.errors import IntegrityError
from heclstm_lib.files import locked, replacing
from heclstm_lib.he.memory import Words

SUFFIX = ".plaintexts"
FOLDER_LIMIT = 32 << 30
"""Bytes the files of a folder may take; those used longest ago go first."""
_CRC_BYTES, _SEAL_BYTES = 4, 32


def file_bytes(lengths: Sequence[int]) -> int:
    """Size of the file of plaintexts of these numbers of words."""
    return 8 * sum(lengths) + _CRC_BYTES * len(lengths) + _SEAL_BYTES


class PlaintextFile:
    """A file of plaintexts, mapped: what is not read costs no memory, what is read may be dropped.

    Processes that read the same file share its pages.
    """

    def __init__(self, path: Path, key: str, lengths: Sequence[int]) -> None:
        """Open the file of plaintexts of `lengths` words.

        Raises IntegrityError when size or checksums are not those of this key, OSError when the
        file cannot be read.
        """
        self._path = path
        size, expected = path.stat().st_size, file_bytes(lengths)
        if size != expected:
            raise self._damaged(f"{size} bytes, expected {expected}")
        self._starts = np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)])
        self._words: Words = np.memmap(path, dtype="<u8", mode="r", shape=(sum(lengths),))
        with path.open("rb") as stream:
            stream.seek(8 * sum(lengths))
            table = stream.read(_CRC_BYTES * len(lengths))
            if stream.read() != _seal(key, table):
                raise self._damaged("the table of checksums does not belong to this model")
        self._checks = np.frombuffer(table, dtype="<u4")
        self._seen = np.zeros(len(lengths), dtype=bool)

    def words(self, index: int) -> Words:
        """The words of a plaintext, read-only; checked when first asked for.

        Raises IntegrityError when they are not those that were written.
        """
        words = self._words[self._starts[index] : self._starts[index + 1]]
        if not self._seen[index]:
            if zlib.crc32(words.data) != self._checks[index]:
                raise self._damaged(f"plaintext {index} does not have its checksum")
            self._seen[index] = True
        return words

    def delete(self) -> None:
        """Delete the file, so that the next process makes it anew."""
        self._path.unlink(missing_ok=True)

    def _damaged(self, found: str) -> IntegrityError:
        return IntegrityError(
            f"encoded plaintexts {self._path}: {found}. The file is damaged and is deleted; the "
            "plaintexts are encoded again."
        )


def stored_plaintexts(
    folder: Path, key: str, lengths: Sequence[int], plaintexts: Iterable[Words]
) -> PlaintextFile:
    """Open the file of a key in a folder; if there is none, or a damaged one, write it first.

    `plaintexts` of `lengths` words are taken one by one, and only if they must be written.
    Raises OSError when the folder or its disk does not hold them.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{key}{SUFFIX}"
    with locked(folder / "lock"):  # a second process waits, then reads what the first one wrote
        try:
            found = PlaintextFile(path, key, lengths)
        except (FileNotFoundError, IntegrityError) as error:
            if isinstance(error, IntegrityError):
                warnings.warn(str(error), RuntimeWarning, stacklevel=2)
            path.unlink(missing_ok=True)
            _make_room(folder, file_bytes(lengths))
            write_plaintexts(path, key, plaintexts)
            found = PlaintextFile(path, key, lengths)
        path.touch()  # used now
    return found


def write_plaintexts(path: Path, key: str, plaintexts: Iterable[Words]) -> None:
    """Write plaintexts, taken one by one, as a new file.

    Raises OSError when the disk is full or the folder cannot be written; no part of the file stays.
    """
    checks = []
    with replacing(path) as part, part.open("wb") as stream:
        for words in plaintexts:
            data = np.ascontiguousarray(words, dtype="<u8").data
            checks.append(zlib.crc32(data))
            stream.write(data)
        table = np.array(checks, dtype="<u4").tobytes()
        stream.write(table + _seal(key, table))


def _make_room(folder: Path, needed: int) -> None:
    """Delete leftovers of ended writers, then the oldest files until `needed` bytes may be added.

    Only for the holder of the lock. Processes that have a deleted file open keep reading it.
    """
    for leftover in folder.glob(f".*{SUFFIX}.*"):
        leftover.unlink(missing_ok=True)
    files = sorted(folder.glob(f"*{SUFFIX}"), key=lambda path: path.stat().st_mtime)
    total = sum(path.stat().st_size for path in files)
    while files and total + needed > FOLDER_LIMIT:
        total -= files[0].stat().st_size
        files.pop(0).unlink()
    free = min(shutil.disk_usage(folder).free, FOLDER_LIMIT)
    if needed > free:
        raise OSError(f"{needed:,} bytes are needed, {free:,} are free")


def _seal(key: str, table: bytes) -> bytes:
    return hashlib.sha256(key.encode() + table).digest()
