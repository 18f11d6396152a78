"""Files by address: a local path, or the URL of an object store (fsspec), such as s3://bucket/name.

Only stores are taken in which a file appears whole or not at all: S3 and its kind, the memory of
one process for tests, and local disks, where a temporary file is renamed. Endpoint and keys come
from the environment (AWS_ENDPOINT_URL, AWS_ACCESS_KEY_ID, ..., or FSSPEC_S3 of fsspec) or the
files of the AWS tools; none stands in a file of this project.
"""

from __future__ import annotations

import os
import posixpath
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from heclstm_lib.errors import ConfigError, StorageError
from heclstm_lib.files import replacing

Location = str
"""An absolute local path or a URL, a file's or a folder's."""

STORES = ("s3", "s3a", "gs", "gcs", "az", "abfs", "abfss", "memory")
"""Protocols whose files appear whole or not at all."""

ADVICE = (
    "Check the address, the permission and the store's options (for S3 AWS_ENDPOINT_URL, "
    "AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY), then run again."
)


def is_url(location: str | os.PathLike[str]) -> bool:
    """Whether an address is a URL; `file:` counts as a local path."""
    return "://" in (text := str(location)) and not text.startswith("file://")


def make_location(text: str | os.PathLike[str]) -> Location:
    """An address as others may use it: a URL as it is, a path made absolute.

    Raises ConfigError for a kind of store that may show a file half-written.
    """
    text = str(text)
    if not is_url(text):
        return str(Path(text.removeprefix("file://")).absolute())
    if (kind := text.partition("://")[0]) not in STORES:
        raise ConfigError(
            f"{text}: files of {kind}:// may be seen half-written. Use a local path or one of "
            f"{', '.join(f'{one}://' for one in STORES)}."
        )
    return text.rstrip("/")


def local_path(location: Location) -> Path | None:
    """The path of a local address; None for that of a store."""
    return None if is_url(location) else Path(location)


def join(folder: Location, name: str) -> Location:
    """The address of a file in a folder."""
    return posixpath.join(folder, name)


def base_name(location: Location) -> str:
    """The last part of an address."""
    return posixpath.basename(location)


def list_names(folder: Location) -> list[str]:
    """The names of what lies directly in a folder, sorted; none when there is no such folder."""
    with _explained(folder), suppress(FileNotFoundError, NotADirectoryError):
        system, path = _open_system(folder)
        found = system.ls(path, detail=False)
        return sorted({base_name(one.rstrip("/")) for one in found if one.rstrip("/") != path})
    return []


def find_size(location: Location) -> int | None:
    """The size of a file in bytes; None when there is none."""
    with _explained(location):
        system, path = _open_system(location)
        try:
            found = system.info(path)
        except FileNotFoundError:
            return None
        return int(found["size"]) if found["type"] == "file" else None


def read_range(location: Location, start: int | None, end: int | None) -> bytes:
    """Bytes of a file from `start` up to `end`, without the rest; negative: from its end."""
    with _explained(location):
        system, path = _open_system(location)
        return bytes(system.cat_file(path, start=start, end=end))


def download(location: Location, target: Path) -> None:
    """Copy a file to a local path, atomically."""
    with _explained(location):
        system, path = _open_system(location)
        with replacing(target) as part:
            system.get_file(path, str(part))


def local_copy(location: Location, folder: Path) -> Path:
    """A file's own path if it is local, else that of a copy made in `folder`."""
    path = local_path(location)
    if path is None:
        path = folder / base_name(location)
        download(location, path)
    return path


def upload(source: Path, location: Location) -> None:
    """Copy a local file to an address, atomically."""
    with _explained(location):
        system, path = _open_system(location)
        if local_path(location) is not None:
            with replacing(Path(path)) as part:
                part.write_bytes(source.read_bytes())
        elif location.startswith("memory:"):
            system.pipe_file(path, source.read_bytes())
        else:
            system.put_file(str(source), path)


@contextmanager
def outgoing(text: str | os.PathLike[str]) -> Iterator[Path]:
    """Yields a path to write a file to, which is at an address when the block ended well.

    Raises as `make_location`, and StorageError when the store does not take it.
    """
    location = make_location(text)
    path = local_path(location)
    if path is not None:
        hidden = path.with_name(f".{path.name}")
        try:
            yield hidden
            hidden.replace(path)
        finally:
            hidden.unlink(missing_ok=True)
        return
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder) / base_name(location)
        upload(Path(folder) / base_name(location), location)


def create(location: Location, data: bytes) -> None:
    """Write a small file unless there is one.

    Of two that do it at once one wins; a store without conditional writes lets the last one win,
    so read it again to see whose it is.
    """
    if find_size(location) is not None:
        return
    with _explained(location), suppress(FileExistsError):
        system, path = _open_system(location)
        if local_path(location) is not None:
            with replacing(Path(path)) as part:
                part.write_bytes(data)
        else:
            system.pipe_file(path, data, mode="create")


def remove(location: Location) -> None:
    """Delete a file."""
    with _explained(location):
        system, path = _open_system(location)
        system.rm_file(path)


def _open_system(location: Location) -> tuple[Any, str]:
    """fsspec's file system of an address, and the path in it; nothing it knows is kept."""
    try:
        import fsspec

        system, path = fsspec.url_to_fs(location, use_listings_cache=False)
        system.invalidate_cache()
    except ImportError as error:
        raise missing("fsspec and s3fs", error) from error
    return system, path


def missing(what: str, error: ImportError) -> ConfigError:
    """The error for libraries that only clusters and object stores need."""
    return ConfigError(
        f"{what} is not installed ({error}); clusters and object stores need it. "
        "In a checkout: pip install -e '.[cluster]'"
    )


@contextmanager
def _explained(location: Location) -> Iterator[None]:
    """Errors of all stores as StorageError; a missing file stays FileNotFoundError inside."""
    try:
        yield
    except (ConfigError, StorageError):
        raise
    except Exception as error:  # stores raise their libraries' own kinds
        what = f"{type(error).__name__}: {error}"
        raise StorageError(
            f"{location}: the store does not answer as wanted ({what}). {ADVICE}"
        ) from error
