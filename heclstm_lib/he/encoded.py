"""A model's encoded plaintexts: in memory, streamed from a file on disk, or encoded at each use.

Encoding costs several plaintext products, so it is done once. What fits into a memory limit is
kept as SEAL's plaintexts. With a cache folder everything is also written to a file there: the next
process encodes nothing, and what does not fit in memory is copied from the mapped file at each
use, which costs a small part of the product it is for. Without a folder the rest is encoded anew
at each use.
"""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Callable, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
import psutil

from heclstm_lib.errors import IntegrityError
from heclstm_lib.he.memory import plaintext_coefficients
from heclstm_lib.he.packing import Vector
from heclstm_lib.he.params import CkksParameters
from heclstm_lib.he.plaintext_file import PlaintextFile, stored_plaintexts

FORMAT = 1
MEMORY_SHARE = 4
"""A process keeps plaintexts up to available memory / 4, unless told otherwise."""


class Key(NamedTuple):
    """Which constant, encoded at which level and scale."""

    constant: int
    level: int
    scale: float


class Encoder(Protocol):
    """What is needed of `seal.Context`."""

    params: CkksParameters

    def encode(self, vector: Vector, level: int, scale: float, /) -> Any:
        """Plaintext of slot values [S], or of one value for all slots."""


class EncodedPlaintexts:
    """Plaintexts by key; the same key must always come with the same vector, until `forget`."""

    def __init__(
        self, encoder: Encoder, folder: Path | None = None, memory_limit: int | None = None
    ) -> None:
        """Keep up to `memory_limit` bytes in memory (default: a quarter of what is available)."""
        self._encoder = encoder
        self._folder = folder
        self._limit = memory_limit
        self._kept: dict[Key, Any] = {}
        self._free = 0
        self._file: PlaintextFile | None = None
        self._index: dict[Key, int] = {}
        self._scratch: dict[int, Any] = {}
        self.forget()

    def forget(self) -> None:
        """Drop everything in memory (when the vectors behind the keys change)."""
        self._kept.clear()
        self._scratch.clear()
        self._file, self._index = None, {}
        available = psutil.virtual_memory().available // MEMORY_SHARE
        self._free = available if self._limit is None else self._limit

    def prepare(self, keys: Sequence[Key], vector: Callable[[int], Vector]) -> None:
        """Encode every key, or find it encoded on disk; `vector(i)` gives slot values [S]."""
        self.forget()
        keys = list(dict.fromkeys(keys))
        if self._folder is not None and keys:
            self._index = {key: index for index, key in enumerate(keys)}
            self._file = self._stored(self._folder, keys, vector)
        for key in keys:
            if self._size(key) > self._free:
                return
            self._keep(key, self._made(key, vector(key.constant)))

    def get(self, key: Key, vector: Vector) -> Any:
        """The plaintext of slot values [S]; it may be void after the next call."""
        if key in self._kept:
            return self._kept[key]
        if self._file is None or key not in self._index:
            return self._keep(key, self._encoder.encode(vector, key.level, key.scale))
        return self._made(key, vector, self._scratch)

    def _keep(self, key: Key, plaintext: Any) -> Any:
        if self._size(key) <= self._free:
            self._free -= self._size(key)
            self._kept[key] = plaintext
        return plaintext

    def _size(self, key: Key) -> int:
        return 8 * self._length(key)

    def _length(self, key: Key) -> int:
        return self._encoder.params.poly_degree * (key.level + 1)

    def _made(self, key: Key, vector: Vector, reuse: dict[int, Any] | None = None) -> Any:
        """A plaintext copied from the file, else encoded; `reuse` holds one for each level."""
        if self._file is not None:
            try:
                words = self._file.words(self._index[key])
            except IntegrityError as error:
                warnings.warn(str(error), RuntimeWarning, stacklevel=3)
                self._file.delete()
                self._file = None
            else:
                return self._copied(words, key, {} if reuse is None else reuse)
        return self._encoder.encode(vector, key.level, key.scale)

    def _copied(self, words: Any, key: Key, reuse: dict[int, Any]) -> Any:
        if key.level not in reuse:  # one value for all slots is encoded in no time
            reuse[key.level] = self._encoder.encode(np.asarray(0.0), key.level, key.scale)
        plaintext = reuse[key.level]
        plaintext.scale = key.scale
        degree = self._encoder.params.poly_degree
        plaintext_coefficients(plaintext, degree)[:] = words.reshape(-1, degree)
        return plaintext

    def _stored(
        self, folder: Path, keys: Sequence[Key], vector: Callable[[int], Vector]
    ) -> PlaintextFile | None:
        """The file of these plaintexts; None, with a warning, where the disk does not let us."""
        degree = self._encoder.params.poly_degree
        encoded = (self._encoder.encode(vector(k.constant), k.level, k.scale) for k in keys)
        words = (plaintext_coefficients(plaintext, degree) for plaintext in encoded)
        digest, lengths = self._digest(keys, vector), [self._length(key) for key in keys]
        try:
            return stored_plaintexts(folder, digest, lengths, words)
        except OSError as error:
            warnings.warn(
                f"encoded plaintexts cannot be kept in {folder} ({error}); every process encodes "
                "them again. Free some space or choose another cache folder.",
                RuntimeWarning,
                stacklevel=3,
            )
            return None

    def _digest(self, keys: Sequence[Key], vector: Callable[[int], Vector]) -> str:
        """SHA-256 of all that decides the words: versions, primes, and every vector's bytes."""
        params = self._encoder.params
        head = (FORMAT, metadata.version("tenseal"), params.poly_degree, params.primes)
        digest = hashlib.sha256(repr(head).encode())
        vectors: dict[int, bytes] = {}
        for key in keys:
            if key.constant not in vectors:
                data = np.ascontiguousarray(vector(key.constant), dtype="<f8").tobytes()
                vectors[key.constant] = hashlib.sha256(data).digest()
            digest.update(repr((key.level, float(key.scale).hex())).encode())
            digest.update(vectors[key.constant])
        return digest.hexdigest()
