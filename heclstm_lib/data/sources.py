"""Registry: data set name -> reader, and where its folder lies."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from heclstm_lib import paths
from heclstm_lib.config import DataConfig
from heclstm_lib.data.adrenal import load_adrenal
from heclstm_lib.data.annocerv import load_annocerv
from heclstm_lib.data.breakhis import load_breakhis
from heclstm_lib.data.cases import Collected
from heclstm_lib.data.iarc import load_iarc
from heclstm_lib.data.manifest import Manifest
from heclstm_lib.data.synthetic import load_embedded
from heclstm_lib.errors import DataError

Reader = Callable[[Path, Manifest, DataConfig], Collected]

READERS: dict[str, Reader] = {
    "adrenalmnist3d": load_adrenal,
    "annocerv": load_annocerv,
    "breakhis": load_breakhis,
    "embedded": load_embedded,
    "iarc": load_iarc,
}


def find_reader(name: str) -> Reader:
    """The reader of a data set; DataError names those there are."""
    if name not in READERS:
        raise DataError(f"unknown data set '{name}'; there are: {', '.join(sorted(READERS))}.")
    return READERS[name]


def find_folder(manifest: Manifest, root: Path | None = None) -> Path:
    """The folder of a data set on disk.

    `root` is the data set's own folder or a folder that holds it. Without `root`, the cache of
    fetched data is looked at first, then the mirror. DataError says how to get the data.
    """
    if manifest.folder is None:
        return Path()
    bases = [root] if root is not None else [paths.data_root(), paths.mirror_root()]
    candidates = [base / name for name in manifest.folders for base in bases if base is not None]
    if root is not None:
        candidates.append(root)
    for candidate in candidates:
        if candidate.is_dir():
            return candidate
    raise DataError(
        f"data set '{manifest.name}' is not on disk; looked at {', '.join(map(str, candidates))}. "
        f"Run `heclstm data fetch {manifest.name}` or set {paths.MIRROR_VARIABLE} to a local copy."
    )
