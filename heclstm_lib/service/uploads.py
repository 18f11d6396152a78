"""A body on its way to disk: never more than a block of it in memory, never slower than allowed."""

from __future__ import annotations

import asyncio
import errno
import hashlib
import os
import shutil
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path

from heclstm_lib.errors import SecretError, ServiceError
from heclstm_lib.he.wire import SECRET_MAGIC
from heclstm_lib.service.options import ServiceOptions
from heclstm_lib.service.sizes import SizeRange

BLOCK = 1 << 20
RETRY_S = 5


class Uploads:
    """Counts the uploads under way and refuses more than there may be."""

    def __init__(self, options: ServiceOptions) -> None:
        self._options = options
        self._open: Counter[str] = Counter()

    @contextmanager
    def place(self, owner: str) -> Iterator[None]:
        """One of the places for uploads, during the block; ServiceError when they are taken."""
        limit = self._options.uploads
        if self._open[owner] >= max(1, limit // 2):
            raise ServiceError(
                f"{self._open[owner]} uploads of yours are under way, no more are allowed. Wait.",
                429, "too_many_uploads", RETRY_S,
            )  # fmt: skip
        if self._open.total() >= limit:
            raise ServiceError(
                f"all {limit} places for uploads are taken. Wait.", 503, "busy", RETRY_S
            )
        self._open[owner] += 1
        try:
            yield
        finally:
            self._open[owner] -= 1

    def check_announced(self, announced: int | None, sizes: SizeRange, folder: Path) -> None:
        """Refuse a Content-Length that no such message has, or that the disk has no room for."""
        size = sizes.least if announced is None else announced
        _check_size(size, sizes)
        free = shutil.disk_usage(folder).free - (self._options.spare_mb << 20)
        if size > free:
            raise disk_refuses(OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)))

    async def receive(self, stream: AsyncIterator[bytes], target: Path, sizes: SizeRange) -> str:
        """Write a body to a file; its sha256 as hexadecimal digits.

        Raises ServiceError for a body that is too large (413), too small (422) or too slow (408),
        or a full disk (507), SecretError as soon as it begins like a secret bundle.
        """
        allowed_s = self._options.idle_s + sizes.most / (1000 * self._options.slowest_kb_s)
        state = hashlib.sha256()
        try:
            async with asyncio.timeout(allowed_s):
                await self._copy(stream, target, sizes, state)
        except TimeoutError:
            raise ServiceError(
                f"the body stood still for {self._options.idle_s:g} s, or came with less than "
                f"{self._options.slowest_kb_s:g} kB/s. Send it again over a better connection.",
                408, "too_slow",
            ) from None  # fmt: skip
        except OSError as error:
            raise disk_refuses(error) from error
        _check_size(target.stat().st_size, sizes)
        return state.hexdigest()

    async def _copy(
        self, stream: AsyncIterator[bytes], target: Path, sizes: SizeRange, state: hashlib._Hash
    ) -> None:
        written, block, ended = 0, bytearray(), False
        with target.open("wb") as file:
            while not ended:
                try:
                    block += await asyncio.wait_for(anext(stream), self._options.idle_s)
                except StopAsyncIteration:
                    ended = True
                if written + len(block) > sizes.most:
                    raise _too_large(written + len(block), sizes, "at least ")
                if ended or len(block) >= BLOCK:
                    _refuse_secret(block, written)
                    await asyncio.to_thread(_write, file, state, bytes(block))
                    written += len(block)
                    block.clear()


def _write(file: object, state: hashlib._Hash, block: bytes) -> None:
    state.update(block)
    file.write(block)  # type: ignore[attr-defined]


def _refuse_secret(block: bytearray, written: int) -> None:
    if not written and block.startswith(SECRET_MAGIC):
        raise SecretError(
            "this is a secret bundle; it was not stored, but it crossed the network. Keep it at "
            "home, make new keys if the connection was not encrypted, and send public.bundle."
        )


def _check_size(size: int, sizes: SizeRange) -> None:
    if size > sizes.most:
        raise _too_large(size, sizes, "")
    if size < sizes.least:
        raise ServiceError(
            f"the body has {size} bytes, expected {sizes.least} to {sizes.most} for this plan. "
            "It was cut, or is another file; send the right one whole.",
            422, "too_small",
        )  # fmt: skip


def _too_large(size: int, sizes: SizeRange, more: str) -> ServiceError:
    return ServiceError(
        f"the body has {more}{size} bytes, at most {sizes.most} are possible for this plan. "
        "Send the file made from this plan's signature.",
        413, "too_large",
    )  # fmt: skip


def disk_refuses(error: OSError) -> ServiceError:
    """The refusal when the server's disk has no room, or does not let us write."""
    return ServiceError(
        f"the server's disk does not take it ({error.strerror or type(error).__name__}). Delete "
        "results you have fetched, or try later.",
        507, "disk_full", 60,
    )  # fmt: skip
