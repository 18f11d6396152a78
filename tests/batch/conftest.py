"""A small case on disk, and a copy of its requests for each test that spoils them."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path

import pytest

from heclstm_lib.robustness.small_case import SmallCase, make_small_case


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> SmallCase:
    """Plan, keys and four requests, for reading only."""
    return make_small_case(tmp_path_factory.mktemp("batch"), requests=4)


@pytest.fixture
def case(made: SmallCase, tmp_path: Path) -> SmallCase:
    """The same with requests of the test's own."""
    requests = tmp_path / "requests"
    shutil.copytree(made.requests, requests)
    return dataclasses.replace(made, requests=requests)
