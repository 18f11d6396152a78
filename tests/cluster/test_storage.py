"""Files by address: alike on disk, in memory and in S3, whole or not at all."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from heclstm_lib.errors import ConfigError, StorageError
from heclstm_lib.storage import (
    base_name,
    create,
    download,
    find_size,
    is_url,
    join,
    list_names,
    local_copy,
    local_path,
    make_location,
    read_range,
    remove,
    upload,
)

pytest.importorskip("fsspec")


@pytest.fixture(params=["disk", "memory", "s3"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "s3":
        return join(request.getfixturevalue("bucket"), "some")
    return str(tmp_path / "some") if request.param == "disk" else f"memory://{tmp_path.name}/some"


def test_files_come_and_go_alike(folder: str, tmp_path: Path) -> None:
    source, place = tmp_path / "source", join(folder, "one.request")
    source.write_bytes(bytes(range(200)))
    assert list_names(folder) == []
    assert find_size(place) is None
    upload(source, place)
    assert find_size(place) == 200
    assert find_size(folder) is None
    assert read_range(place, 0, 8) == bytes(range(8))
    assert read_range(place, -3, None) == bytes((197, 198, 199))
    download(place, tmp_path / "back")
    assert (tmp_path / "back").read_bytes() == source.read_bytes()
    source.write_bytes(b"other")
    upload(source, place)
    assert read_range(place, None, None) == b"other"
    upload(source, join(folder, "two"))
    assert list_names(folder) == ["one.request", "two"]
    remove(place)
    assert list_names(folder) == ["two"]
    copied = local_copy(join(folder, "two"), tmp_path)
    assert copied.read_bytes() == b"other"
    assert (copied == tmp_path / "two") is is_url(folder)


def test_the_first_to_create_a_file_wins(folder: str) -> None:
    place = join(folder, "batch.json")
    create(place, b"first")
    create(place, b"second")
    assert read_range(place, None, None) == b"first"


def test_what_is_not_there_is_said(folder: str, tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="the store does not answer as wanted") as caught:
        download(join(folder, "nothing"), tmp_path / "back")
    assert "nothing" in str(caught.value) and "AWS_ENDPOINT_URL" in str(caught.value)
    assert not (tmp_path / "back").exists()


def test_a_store_that_nobody_serves(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    import s3fs

    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    monkeypatch.setattr(s3fs.S3FileSystem, "retries", 1)
    s3fs.S3FileSystem.clear_instance_cache()
    with pytest.raises(StorageError, match="Could not connect"):
        list_names(join(bucket, "requests"))


def test_addresses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert make_location("requests") == str(tmp_path / "requests")
    assert make_location(f"file://{tmp_path}/x") == str(tmp_path / "x")
    assert make_location("s3://ward/requests/") == "s3://ward/requests"
    assert local_path("s3://ward/requests") is None
    assert base_name(join("s3://ward/requests", "00.request")) == "00.request"
    with pytest.raises(ConfigError, match="ftp:// may be seen half-written"):
        make_location("ftp://host/requests")


def test_without_the_library(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "fsspec", None)
    with pytest.raises(ConfigError, match=r"pip install -e '\.\[cluster\]'"):
        list_names("s3://ward/requests")
