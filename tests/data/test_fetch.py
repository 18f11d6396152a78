"""Fetch and verify against a real HTTP server on this machine, and against a mirror."""

from __future__ import annotations

import functools
import hashlib
import http.server
import json
import shutil
import tarfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from heclstm_lib import paths
from heclstm_lib.data.fetch import fetch, verify
from heclstm_lib.errors import DataError, IntegrityError


class _Quiet(http.server.SimpleHTTPRequestHandler):
    """Serves files without a log line for each."""

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@pytest.fixture
def served(tmp_path: Path) -> Iterator[tuple[Path, str]]:
    """A folder and the address it is served at."""
    folder = tmp_path / "served"
    folder.mkdir()
    server = http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0), functools.partial(_Quiet, directory=str(folder))
    )
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield folder, f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


@pytest.fixture
def write_manifest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Write a manifest `tiny` with the given resources and make it the only one."""
    template = json.loads((paths.manifests_dir() / "iarc.json").read_text(encoding="utf-8"))
    schema = paths.manifests_dir() / "schema.json"
    folder = tmp_path / "manifests"
    folder.mkdir()
    shutil.copy(schema, folder)
    monkeypatch.setattr(paths, "manifests_dir", lambda: folder)
    monkeypatch.setattr(paths, "mirror_root", lambda: None)

    def write(*resources: dict[str, Any]) -> None:
        raw = {**template, "name": "tiny", "folder": "tiny", "resources": list(resources)}
        (folder / "tiny.json").write_text(json.dumps(raw), encoding="utf-8")

    return write


def _resource(path: str, content: bytes, *sources: str, **values: Any) -> dict[str, Any]:
    return {
        "path": path,
        "role": "image",
        "bytes": len(content),
        "sha256": hashlib.sha256(content).hexdigest(),
        "sources": list(sources),
        "case": "A",
        "patient": "A",
        "label": 1,
        "order": 1,
        "stage": "after_acetic_acid",
        **values,
    }


def test_download_falls_back_to_the_second_source(
    tmp_path: Path, served: tuple[Path, str], write_manifest: Callable[..., None]
) -> None:
    folder, address = served
    (folder / "a.jpg").write_bytes(b"picture")
    write_manifest(_resource("x/a.jpg", b"picture", f"{address}/gone.jpg", f"{address}/a.jpg"))
    report = fetch("tiny", tmp_path / "cache", progress=False)
    assert report.fetched == ("x/a.jpg",)
    assert (tmp_path / "cache/tiny/x/a.jpg").read_bytes() == b"picture"
    again = fetch("tiny", tmp_path / "cache", progress=False)
    assert (again.fetched, again.present) == ((), ("x/a.jpg",))
    assert [row.state for row in verify("tiny", tmp_path / "cache")] == ["ok"]


def test_download_with_a_wrong_hash_leaves_nothing(
    tmp_path: Path, served: tuple[Path, str], write_manifest: Callable[..., None]
) -> None:
    folder, address = served
    (folder / "a.jpg").write_bytes(b"forgery")
    write_manifest(_resource("a.jpg", b"picture", f"{address}/a.jpg"))
    with pytest.raises(IntegrityError, match=r"cannot fetch a.jpg"):
        fetch("tiny", tmp_path / "cache", progress=False)
    assert not [p for p in (tmp_path / "cache").rglob("*") if p.is_file()]


def test_no_source_answers(
    tmp_path: Path, served: tuple[Path, str], write_manifest: Callable[..., None]
) -> None:
    write_manifest(_resource("a.jpg", b"picture", f"{served[1]}/gone.jpg"))
    with pytest.raises(DataError, match=r"404.*HECLSTM_DATA_MIRROR"):
        fetch("tiny", tmp_path / "cache", progress=False)


def test_archive_without_a_known_hash_is_unpacked(
    tmp_path: Path, served: tuple[Path, str], write_manifest: Callable[..., None]
) -> None:
    folder, address = served
    inner = tmp_path / "one.png"
    inner.write_bytes(b"png")
    with tarfile.open(folder / "Set_v1.tar.gz", "w:gz") as tar:
        tar.add(inner, "Set_v1/deep/one.png")
    archive = {
        "path": "Set_v1.tar.gz",
        "role": "archive",
        "bytes": None,
        "sha256": None,
        "hash_reason": "not published",
        "sources": [f"{address}/Set_v1.tar.gz"],
    }
    write_manifest(archive)
    fetch("tiny", tmp_path / "cache", progress=False)
    target = tmp_path / "cache" / "tiny"
    assert (target / "Set_v1/deep/one.png").read_bytes() == b"png"
    assert not list(target.glob(".unpack-*"))
    states = {row.path: row.state for row in verify("tiny", tmp_path / "cache")}
    assert states == {"Set_v1.tar.gz": "no hash", "Set_v1/deep/one.png": "unlisted"}


def test_mirror_replaces_the_network(tmp_path: Path, write_manifest: Callable[..., None]) -> None:
    mirror = tmp_path / "mirror"
    (mirror / "tiny").mkdir(parents=True)
    (mirror / "tiny" / "a.jpg").write_bytes(b"picture")
    nowhere = "http://127.0.0.1:9/x.jpg"
    write_manifest(_resource("a.jpg", b"picture", nowhere), _resource("b.jpg", b"other", nowhere))
    report = fetch("tiny", tmp_path / "cache", mirror, progress=False)
    assert (report.fetched, report.missing) == (("a.jpg",), ("b.jpg",))
    (mirror / "tiny" / "b.jpg").write_bytes(b"wrong")
    with pytest.raises(IntegrityError, match=r"b\.jpg"):
        fetch("tiny", tmp_path / "cache", mirror, progress=False)
    assert not (tmp_path / "cache/tiny/b.jpg").exists()


def test_verify_tells_the_four_states_apart(
    tmp_path: Path, write_manifest: Callable[..., None]
) -> None:
    names = ["ok", "missing", "size", "hash"]
    write_manifest(*[_resource(f"{name}.jpg", b"picture", "http://x/y") for name in names])
    folder = tmp_path / "cache" / "tiny"
    folder.mkdir(parents=True)
    contents = {"ok": b"picture", "size": b"pict", "hash": b"PICTURE", "extra": b"?"}
    for name, content in contents.items():
        (folder / f"{name}.jpg").write_bytes(content)
    assert {row.path: row.state for row in verify("tiny", tmp_path / "cache")} == {
        "ok.jpg": "ok",
        "missing.jpg": "missing",
        "size.jpg": "wrong size",
        "hash.jpg": "wrong hash",
        "extra.jpg": "unlisted",
    }


def test_data_that_is_nowhere(
    tmp_path: Path, write_manifest: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    write_manifest()
    monkeypatch.setenv(paths.CACHE_VARIABLE, str(tmp_path / "empty"))
    with pytest.raises(DataError, match=r"heclstm data fetch tiny"):
        verify("tiny")
