"""Where a result comes from: versions, machine, threads, commit, seeds, data and configuration."""

from __future__ import annotations

import hashlib
import os
import platform
import subprocess
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

import psutil

from heclstm_lib import __version__
from heclstm_lib.paths import repo_root

LIBRARIES = ("torch", "tenseal", "numpy", "scipy", "pandas", "scikit-learn", "pyarrow")


def collect_provenance(
    *,
    seeds: Mapping[str, int] | None = None,
    data_digests: Mapping[str, str] | None = None,
    config: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Everything needed to judge and repeat a result; no host name, user name or path.

    `data_digests` maps a data set's name to the sha256 of its sequences, `config` is the resolved
    configuration. The three are kept as given, empty when not given.
    """
    return {
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "heclstm": __version__,
        "python": platform.python_version(),
        "libraries": library_versions(),
        "platform": f"{platform.system()} {platform.machine()}",
        "cpu": cpu_model(),
        "cores": {"physical": psutil.cpu_count(logical=False), "logical": psutil.cpu_count()},
        "memory_bytes": psutil.virtual_memory().total,
        "threads": thread_counts(),
        "git": git_state(),
        "seeds": dict(seeds or {}),
        "data_digests": dict(data_digests or {}),
        "config": dict(config or {}),
    }


def library_versions() -> dict[str, str]:
    """Installed versions of the libraries that decide a number."""
    return {name: metadata.version(name) for name in LIBRARIES}


@cache
def source_digest(*places: str) -> str:
    """sha256 over the library's sources in folders, or single files, of the package."""
    package, total = Path(__file__).parent, hashlib.sha256()
    for place in places:
        found = package / place
        for path in sorted(found.glob("*.py")) if found.is_dir() else [found]:
            total.update(path.name.encode() + b"\0" + path.read_bytes())
    return total.hexdigest()


def cpu_model() -> str:
    """The processor's name as the system gives it, else the machine type."""
    info = Path("/proc/cpuinfo")
    if info.is_file():
        for line in info.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def thread_counts() -> dict[str, int | str | None]:
    """Threads of torch (None while not imported), OMP_NUM_THREADS, cores this process may use."""
    torch = sys.modules.get("torch")
    has_affinity = hasattr(os, "sched_getaffinity")  # not on macOS
    return {
        "torch": torch.get_num_threads() if torch else None,
        "omp": os.environ.get("OMP_NUM_THREADS"),
        "available": len(os.sched_getaffinity(0)) if has_affinity else os.cpu_count(),
    }


def git_state(folder: Path | None = None) -> dict[str, Any] | None:
    """Commit and whether tracked files differ from it (reports, which a study rewrites, aside).

    None without git or outside a repository.
    """
    root = folder or repo_root()
    commit = _git(root, "rev-parse", "HEAD")
    if commit is None:
        return None
    status = _git(root, "status", "--porcelain", "--untracked-files=no", "--", ".", ":!reports")
    return {"commit": commit, "dirty": bool(status)}


def _git(root: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", "-C", str(root), *arguments], capture_output=True, text=True, timeout=20
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None
