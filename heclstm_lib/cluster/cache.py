"""Plans and public bundles on a worker's disk, by digest: fetched once, checked, then read there.

The folder is $HECLSTM_CLUSTER_CACHE, else `cluster/` in the user's cache folder; it should be a
disk of the worker's own. Workers of one machine share it: one fetches, the others wait. Hundreds of
megabytes thus come from the store once a machine, and never through Dask's scheduler.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable
from pathlib import Path

from heclstm_lib.batch.claims import claim
from heclstm_lib.errors import HeclstmError, IntegrityError, StorageError
from heclstm_lib.he.store import load_plan
from heclstm_lib.he.wire import message_checksum, verify_checksum
from heclstm_lib.paths import cache_root
from heclstm_lib.storage import Location, download, local_path

VARIABLE = "HECLSTM_CLUSTER_CACHE"
FOLDER_LIMIT = 32 << 30
"""Bytes the files of the folder may take; those used longest ago go first."""

OURS = re.compile(r"[0-9a-f]{64}\.(bundle|npz)")
"""Names of the files that this module makes."""

Check = Callable[[Path, str], None]


def cache_folder() -> Path:
    """Where this worker keeps what it fetched."""
    configured = os.environ.get(VARIABLE)
    return Path(configured).expanduser() if configured else cache_root() / "cluster"


def fetch_bundle(location: Location, digest: str) -> Path:
    """The path of a public bundle with this checksum; see `_fetch`."""
    return _fetch(location, digest, ".bundle", _check_bundle)


def fetch_plan(location: Location, digest: str) -> Path:
    """The path of a plan with this digest; see `_fetch`."""
    return _fetch(location, digest, ".npz", _check_plan)


def _check_bundle(path: Path, digest: str) -> None:
    verify_checksum(path)
    _compare(path, message_checksum(path), digest)


def _check_plan(path: Path, digest: str) -> None:
    _compare(path, load_plan(path).digest, digest)


def _compare(path: Path, found: str, digest: str) -> None:
    if found != digest:
        raise IntegrityError(
            f"{path.name} has digest {found[:12]}, expected {digest[:12]}: it was replaced since "
            "the batch began. Run again."
        )


def _fetch(location: Location, digest: str, suffix: str, check: Check) -> Path:
    """A local file as it is; one of a store from the cache, fetched if it is not there or damaged.

    Raises StorageError when it cannot be fetched, IntegrityError, WireError or PlanError when it is
    not what the digest says.
    """
    local = local_path(location)
    if local is not None:
        if not local.is_file():
            raise StorageError(
                f"{location}: this worker has no such file. Put it on a disk that all workers see, "
                "or into a store."
            )
        check(local, digest)
        return local
    path = cache_folder() / f"{digest}{suffix}"
    path.parent.mkdir(parents=True, exist_ok=True)
    with claim(path, math.inf):
        if not _holds(path, digest, check):
            _make_room(path)
            download(location, path)
            try:
                check(path, digest)
            except HeclstmError:
                path.unlink()
                raise
        path.touch()  # used now
    return path


def _holds(path: Path, digest: str, check: Check) -> bool:
    """Whether the cache has the file, undamaged."""
    try:
        check(path, digest)
    except (HeclstmError, OSError):
        return False
    return True


def _make_room(path: Path) -> None:
    """Delete what ended writers of a file left, then the oldest files beyond the limit.

    Only files that `_fetch` made: the folder is configured by people, who may err.
    """
    for leftover in path.parent.glob(f".{path.name}.*"):
        leftover.unlink(missing_ok=True)
    ours = [one for one in path.parent.iterdir() if OURS.fullmatch(one.name) and one.is_file()]
    files = sorted(ours, key=lambda one: one.stat().st_mtime)
    total = sum(one.stat().st_size for one in files)
    while files and total > FOLDER_LIMIT:
        total -= files[0].stat().st_size
        files.pop(0).unlink(missing_ok=True)
