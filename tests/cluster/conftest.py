"""A small real case, and an S3 server that counts what is fetched."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
from stores import Store

from heclstm_lib.cluster import cache
from heclstm_lib.cluster.jobs import read_plan
from heclstm_lib.cluster.need import evaluation_mb
from heclstm_lib.robustness.dask_processes import KEYS
from heclstm_lib.robustness.small_case import SmallCase, make_small_case

REQUESTS = 4


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> SmallCase:
    """Plan, keys and requests, for reading only."""
    return make_small_case(tmp_path_factory.mktemp("cluster"), REQUESTS)


@pytest.fixture(scope="session")
def need_mb(made: SmallCase) -> int:
    """What an evaluation of the small case asks of a worker."""
    return evaluation_mb(read_plan(str(made.plan)))


@pytest.fixture(scope="session")
def server() -> Iterator[str]:
    """Address of an S3 server within this process."""
    moto = pytest.importorskip("moto.server")
    running = moto.ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    running.start()
    yield "http://{}:{}".format(*running.get_host_and_port())
    running.stop()


@pytest.fixture
def store(server: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    """The server, found through the environment, with a log that counts."""
    s3fs = pytest.importorskip("s3fs")
    for name, value in (KEYS | {"AWS_ENDPOINT_URL": server}).items():
        monkeypatch.setenv(name, value)
    s3fs.S3FileSystem.clear_instance_cache()
    log, handler = logging.getLogger("werkzeug"), Store()
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    yield handler
    log.removeHandler(handler)
    s3fs.S3FileSystem.clear_instance_cache()


@pytest.fixture
def bucket(store: Store, tmp_path: Path) -> str:
    """URL of an empty bucket of the test's own."""
    import s3fs

    name = f"ward-{abs(hash(tmp_path)):x}"
    s3fs.S3FileSystem().mkdir(name)
    store.counts.clear()
    return f"s3://{name}"


@pytest.fixture(autouse=True)
def cached(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The workers' cache of this test."""
    monkeypatch.setenv(cache.VARIABLE, str(tmp_path / "cache"))
    return tmp_path / "cache"
