"""Fetch and verify: bytes from the publisher (pooch) or from a local mirror, checked by sha256.

A mirror replaces the network altogether: what it lacks is reported as missing, not downloaded.
Files appear under their final name only when complete and verified.
"""

from __future__ import annotations

import hashlib
import shutil
import tarfile
import tempfile
from dataclasses import dataclass
from pathlib import Path

import pooch
from tqdm import tqdm

from heclstm_lib import paths
from heclstm_lib.data.frames import read_checked
from heclstm_lib.data.manifest import Manifest, Resource, load_manifest
from heclstm_lib.data.sources import find_folder
from heclstm_lib.data.synthetic import default_digest
from heclstm_lib.errors import DataError, IntegrityError
from heclstm_lib.files import replacing


@dataclass(frozen=True)
class FetchReport:
    """Where the data lie now and what happened to each file."""

    folder: Path | None  # None for a generated set
    fetched: tuple[str, ...]
    present: tuple[str, ...]  # were there already, and verified
    missing: tuple[str, ...]  # the mirror does not hold them


@dataclass(frozen=True)
class CheckRow:
    """State of one file: "ok", "missing", "wrong size", "wrong hash", "no hash" or "unlisted"."""

    path: str
    state: str
    detail: str = ""


def fetch(
    name: str,
    dest: Path | None = None,
    mirror: Path | None = None,
    *,
    network: bool = False,
    progress: bool = True,
) -> FetchReport:
    """Bring a data set to `dest` (default: the cache), verified.

    `mirror` replaces the network; without it the configured mirror does, unless `network` is true.
    Raises IntegrityError (bytes differ from the manifest), DataError (no source answers).
    """
    manifest = load_manifest(name)
    if manifest.folder is None:
        return FetchReport(None, (), (), ())
    target = (dest or paths.data_root()) / manifest.folder
    mirror = None if network else (mirror or paths.mirror_root())
    source = find_folder(manifest, mirror) if mirror else None
    fetched, present, missing = [], [], []
    wanted = _wanted(manifest, source)
    for resource in tqdm(wanted, desc=f"fetch {name}", unit="file", disable=not progress):
        path = target / resource.path
        if path.is_file() and check_file(path, resource).state in ("ok", "no hash"):
            present.append(resource.path)
        elif source is None:
            _download(resource, path, progress and resource.role == "archive")
            fetched.append(resource.path)
        elif (source / resource.path).is_file():
            content = read_checked(source / resource.path, resource)
            with replacing(path) as part:
                part.write_bytes(content)
            fetched.append(resource.path)
        else:
            missing.append(resource.path)
        if path.name.endswith(".tar.gz") and path.is_file():
            _unpack(path, target)
    return FetchReport(target, tuple(fetched), tuple(present), tuple(missing))


def verify(name: str, root: Path | None = None) -> list[CheckRow]:
    """Check every file of a data set against its manifest, and list files it does not know.

    Raises DataError when the data set is not on disk at all. A generated set is generated anew
    and compared with the manifest's digest.
    """
    manifest = load_manifest(name)
    if manifest.generator is not None:
        return [_check_generator(manifest)]
    folder = find_folder(manifest, root)
    images = [p for p in folder.rglob("*") if p.suffix.lower() in {".jpg", ".jpeg", ".png"}]
    found = {p.relative_to(folder).as_posix() for p in images}
    rows = []
    for resource in manifest.resources:
        path = folder / resource.path
        if resource.hash_reason and not path.is_file():
            continue  # an archive that may be deleted after unpacking; its members are listed below
        if resource.role == "fixture":
            inside = sorted(p for p in found if p.rsplit("/", 1)[-1] == resource.path)
            path = folder / inside[0] if inside else path
            found -= set(inside)
        rows.append(check_file(path, resource))
    unlisted = sorted(found - manifest.by_path.keys())
    return rows + [CheckRow(path, "unlisted", "not in the manifest") for path in unlisted]


def check_file(path: Path, resource: Resource) -> CheckRow:
    """Compare one file with its resource: presence, then size, then sha256."""
    if not path.is_file():
        return CheckRow(resource.path, "missing", "not on disk")
    size = path.stat().st_size
    if resource.bytes is not None and size != resource.bytes:
        detail = f"got {size:,} bytes, expected {resource.bytes:,}"
        return CheckRow(resource.path, "wrong size", detail)
    if resource.sha256 is None:
        return CheckRow(resource.path, "no hash", resource.hash_reason or "")
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if digest != resource.sha256:
        return CheckRow(resource.path, "wrong hash", f"got {digest}, expected {resource.sha256}")
    return CheckRow(resource.path, "ok")


def _wanted(manifest: Manifest, source: Path | None) -> list[Resource]:
    """From the network: everything with an address. From a mirror: everything it may hold."""
    if source is None:
        return [r for r in manifest.resources if r.sources]
    unknown = {r.path for r in manifest.resources if r.sha256 is None}
    return [r for r in manifest.resources if r.path not in unknown or (source / r.path).is_file()]


def _download(resource: Resource, path: Path, bar: bool) -> None:
    """Try the sources in order; the first whose bytes verify wins."""
    known = f"sha256:{resource.sha256}" if resource.sha256 else None
    problems: list[DataError] = []
    for url in resource.sources:
        try:
            pooch.retrieve(
                url, known, fname=path.name, path=path.parent, progressbar=bar, downloader=None
            )
            return
        except ValueError as error:
            problems.append(IntegrityError(f"{url}: {error}"))
        except Exception as error:
            # requests, urllib3, ftplib and the OS each have their own errors; any one of them
            # means "this source did not work", and all of them are told below.
            problems.append(DataError(f"{url}: {error}"))
    listing = "; ".join(str(problem) for problem in problems)
    kind = IntegrityError if any(isinstance(p, IntegrityError) for p in problems) else DataError
    raise kind(
        f"cannot fetch {resource.path}: {listing}. Check the network, or set "
        f"{paths.MIRROR_VARIABLE} to a local copy."
    )


def _unpack(archive: Path, target: Path) -> None:
    """Unpack a .tar.gz beside itself once; a half unpacked tree never gets its final name."""
    marker = target / archive.name.removesuffix(".tar.gz")
    if marker.is_dir():
        return
    work = Path(tempfile.mkdtemp(dir=target, prefix=".unpack-"))
    try:
        with tarfile.open(archive) as tar:
            tar.extractall(work, filter="data")
        for member in work.iterdir():
            member.replace(target / member.name)
    except (tarfile.TarError, OSError, EOFError) as error:
        raise DataError(
            f"cannot unpack {archive}: {error}. Delete it and fetch it again."
        ) from error
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _check_generator(manifest: Manifest) -> CheckRow:
    expected = manifest.generator.digest if manifest.generator else ""
    got = default_digest()
    if got == expected:
        return CheckRow("(generated)", "ok", f"digest {got[:16]}")
    return CheckRow("(generated)", "wrong hash", f"got {got}, expected {expected}")
