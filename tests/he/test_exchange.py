"""Values and messages between workers: whole or not at all, and no wait without an end."""

from __future__ import annotations

import shutil
import threading
from pathlib import Path

import numpy as np
import pytest

from heclstm_lib.errors import StrandError
from heclstm_lib.he import exchange as module
from heclstm_lib.he.exchange import Exchange, StrandStopped, exchange_folder

WORDS = np.arange(24, dtype=np.uint64).reshape(2, 3, 4) << np.uint64(40)


def test_every_reader_gets_the_value_and_nothing_is_left(tmp_path: Path) -> None:
    exchange = Exchange(tmp_path, patience_s=10)
    exchange.send(7, WORDS, readers=(1, 2))
    for reader in (2, 1):
        found = np.zeros_like(WORDS)
        exchange.await_value(7, reader)
        exchange.receive(7, reader, found)
        np.testing.assert_array_equal(found, WORDS)
    assert list(tmp_path.iterdir()) == []


def test_a_waiting_reader_wakes_up(tmp_path: Path) -> None:
    exchange = Exchange(tmp_path, patience_s=30)
    sender = threading.Timer(0.05, exchange.send, (1, WORDS, (0,)))
    sender.start()
    exchange.await_value(1, reader=0)
    sender.join()
    assert [path.name for path in tmp_path.iterdir()] == ["value-1-for-0"]


def test_waits_end_with_what_is_missing(tmp_path: Path) -> None:
    exchange = Exchange(tmp_path, patience_s=0.01)
    with pytest.raises(StrandError, match=r"strand 1: value 5 did not arrive within 0\.01 s"):
        exchange.await_value(5, reader=1)
    exchange.announce("here", "me", "3")
    with pytest.raises(StrandError, match="one is missing"):
        exchange.gather("here", 2, "one is missing", patience_s=0.01)
    assert exchange.gather("here", 1, "nobody", patience_s=0) == {"me": "3"}


def test_a_failure_stops_those_who_wait(tmp_path: Path) -> None:
    exchange = Exchange(tmp_path, patience_s=30)
    exchange.check()
    exchange.fail("no memory left")
    for blocked in (exchange.check, lambda: exchange.await_value(1, 0)):
        with pytest.raises(StrandStopped, match="stopped: no memory left"):
            blocked()


def test_a_folder_that_is_gone_stops_too(tmp_path: Path) -> None:
    exchange = Exchange(tmp_path / "gone", patience_s=30)
    with pytest.raises(StrandStopped, match="the caller gave up"):
        exchange.await_value(1, 0)
    exchange.fail("too late")
    assert list(tmp_path.iterdir()) == []


def test_a_value_of_another_length_is_refused(tmp_path: Path) -> None:
    exchange = Exchange(tmp_path, patience_s=1)
    exchange.send(1, WORDS, (0,))
    with pytest.raises(StrandError, match=r"value 1 has 192 bytes, expected 96.*same version"):
        exchange.receive(1, 0, np.zeros((1, 3, 4), dtype=np.uint64))


def test_the_folder_lies_where_there_is_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small, large = tmp_path / "small", tmp_path / "large"
    small.mkdir()
    large.mkdir()
    free = {small: 10, large: 1000}
    monkeypatch.setattr(module, "SHARED_MEMORY", small)
    monkeypatch.setattr(module.tempfile, "gettempdir", lambda: str(large))
    monkeypatch.setattr(
        module.shutil, "disk_usage", lambda room: type("Usage", (), {"free": free[room]})
    )
    for needed, room in ((10, small), (11, large)):
        with exchange_folder(needed) as folder:
            assert folder.parent == room
            (folder / "value").write_text("left behind")
        assert not folder.exists()
    with pytest.raises(StrandError, match=r"exchange up to 0 MB, there are .* Set TMPDIR"):
        exchange_folder(1001).__enter__()


def test_a_worker_that_is_late_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It speaks while the folder is being removed."""
    remove = shutil.rmtree

    def meanwhile(path: Path, **options: bool) -> None:
        with pytest.raises(FileNotFoundError):
            Exchange(folder, 0).announce("ready", "late")
        remove(path, **options)

    monkeypatch.setattr(module, "SHARED_MEMORY", tmp_path)
    monkeypatch.setattr(module.shutil, "rmtree", meanwhile)
    with exchange_folder(1) as folder:
        Exchange(folder, 0).announce("here", "early")
    assert list(tmp_path.iterdir()) == []
