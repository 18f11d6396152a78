"""Where things lie: the repository, the manifests, the cache of fetched data and its mirror."""

from __future__ import annotations

import os
from pathlib import Path

MIRROR_VARIABLE = "HECLSTM_DATA_MIRROR"
CACHE_VARIABLE = "HECLSTM_DATA"


def repo_root() -> Path:
    """The folder of pyproject.toml and data_manifests (the package is installed editable)."""
    return Path(__file__).resolve().parent.parent


def manifests_dir() -> Path:
    """The folder of the committed manifests and splits."""
    return repo_root() / "data_manifests"


def cache_root() -> Path:
    """What can be made again lies in `heclstm/` of the user's cache folder ($XDG_CACHE_HOME)."""
    cache = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(cache).expanduser() / "heclstm"


def encoded_cache() -> Path:
    """The folder of encoded models, kept by content."""
    return cache_root() / "encoded"


def data_root() -> Path:
    """The cache of fetched data: $HECLSTM_DATA, else `data/` in the user's cache folder."""
    configured = os.environ.get(CACHE_VARIABLE)
    if configured:
        return Path(configured).expanduser()
    return cache_root() / "data"


def mirror_root() -> Path | None:
    """A local copy instead of the network: $HECLSTM_DATA_MIRROR, else ../shared/data, else None."""
    configured = os.environ.get(MIRROR_VARIABLE)
    if configured:
        return Path(configured).expanduser()
    sibling = repo_root().parent / "shared" / "data"
    return sibling if sibling.is_dir() else None
