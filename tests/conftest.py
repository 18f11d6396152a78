"""Fixtures every part of the tests may use."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import settings

from heclstm_lib import paths
from heclstm_lib.study import run_study

settings.register_profile("project", deadline=None)  # no timing decides a test
settings.load_profile("project")


@pytest.fixture(scope="session")
def root() -> Path:
    """The repository."""
    return paths.repo_root()


@pytest.fixture(scope="session")
def data_mirror() -> Path:
    """The local copy of the real data; the test is skipped where there is none."""
    mirror = paths.mirror_root()
    if mirror is None or not mirror.is_dir():
        pytest.skip(f"no data mirror: set {paths.MIRROR_VARIABLE} or put it at ../shared/data")
    return mirror


@pytest.fixture(scope="session")
def smoke(root: Path) -> Path:
    """The folder of the smoke study, run once: every notebook, real 128-bit encryption."""
    return run_study("smoke", root / "reports" / "smoke").parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The notebooks first: they take longest, and two workers run side by side."""
    items.sort(key=lambda item: item.path.name != "test_notebooks.py")
