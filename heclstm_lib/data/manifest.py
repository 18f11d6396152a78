"""Manifests: what a data set is, its terms, and each file's size, sha256, patient, label and order.

A manifest is one JSON file in `data_manifests/`, validated by `data_manifests/schema.json`.
Nothing here opens an image; readers live in the modules named by `data.sources`.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import jsonschema

from heclstm_lib import paths
from heclstm_lib.errors import ManifestError


@dataclass(frozen=True)
class Resource:
    """One file or archive: where it comes from, how its bytes are checked, what it shows."""

    path: str  # below the data set's folder, always with forward slashes
    role: str  # "image" | "archive" | "fixture"
    bytes: int | None
    sha256: str | None
    sources: tuple[str, ...]
    md5: str | None = None
    hash_reason: str | None = None
    sources_reason: str | None = None
    case: str | None = None
    patient: str | None = None
    label: int | None = None
    order: int | None = None
    stage: str | None = None
    score: float | None = None


@dataclass(frozen=True)
class Licence:
    """Name, address and the terms in one sentence."""

    name: str
    url: str | None
    terms: str


@dataclass(frozen=True)
class ClassCount:
    """How many cases (and images) of a class the complete data set holds."""

    label: int
    cases: int
    images: int | None = None


@dataclass(frozen=True)
class Expected:
    """Counts of the complete data set as the manifest knows it."""

    images: int
    sequences: int | None
    patients: int
    classes: dict[str, ClassCount]


@dataclass(frozen=True)
class Generator:
    """A data set made by code: version, parameters and the digest of the default seed."""

    module: str
    version: int
    parameters: dict[str, Any]
    digest: str


@dataclass(frozen=True)
class Manifest:
    """One data set. `digest` is the sha256 of the manifest's canonical JSON."""

    name: str
    title: str
    description: str
    licence: Licence
    citation: str
    homepage: str
    folder: str | None
    sequence: str
    label_rule: str
    expected: Expected
    notes: tuple[str, ...]
    resources: tuple[Resource, ...]
    generator: Generator | None
    digest: str
    sample_folder: str | None = None  # holds only the fixture files

    @property
    def folders(self) -> tuple[str, ...]:
        """Folder names to look for, the full data set first."""
        return tuple(name for name in (self.folder, self.sample_folder) if name)

    @cached_property
    def by_path(self) -> dict[str, Resource]:
        """Resources by their path below the data set's folder."""
        return {resource.path: resource for resource in self.resources}

    @cached_property
    def patients(self) -> tuple[str, ...]:
        """Patients named by the image and fixture resources, sorted."""
        return tuple(sorted({r.patient for r in self.resources if r.patient is not None}))

    def images(self) -> tuple[Resource, ...]:
        """The resources that are single images (fixtures included)."""
        return tuple(r for r in self.resources if r.role != "archive")


def list_manifests(folder: Path | None = None) -> list[str]:
    """Names of the data sets that have a manifest, sorted."""
    folder = folder or paths.manifests_dir()
    return sorted(p.stem for p in folder.glob("*.json") if p.name != "schema.json")


def load_manifest(name: str, folder: Path | None = None) -> Manifest:
    """Read, validate and type one manifest.

    Raises ManifestError when it is absent, not JSON, breaks the schema or contradicts itself.
    """
    folder = folder or paths.manifests_dir()
    path = folder / f"{name}.json"
    if not path.is_file():
        known = ", ".join(list_manifests(folder)) or "none"
        raise ManifestError(f"no manifest for data set '{name}' in {folder}; there are: {known}.")
    try:
        raw = json.loads(path.read_text(encoding="utf-8"), parse_constant=_refuse_constant)
    except (OSError, ValueError, RecursionError) as error:
        raise ManifestError(f"cannot read manifest {path}: {error}.") from error
    return parse_manifest(raw, path.name)


def parse_manifest(raw: dict[str, Any], where: str) -> Manifest:
    """Validate a manifest given as plain JSON values and build the frozen type."""
    _validate(raw, where)
    expected = dict(raw["expected"])
    expected["classes"] = {k: ClassCount(**v) for k, v in expected["classes"].items()}
    values = dict(
        raw,
        licence=Licence(**raw["licence"]),
        expected=Expected(**expected),
        notes=tuple(raw["notes"]),
        resources=tuple(
            Resource(**{**r, "sources": tuple(r["sources"])}) for r in raw["resources"]
        ),
        generator=Generator(**raw["generator"]) if raw["generator"] else None,
        sample_folder=raw.get("sample_folder"),
        digest=hashlib.sha256(canonical_json(raw).encode()).hexdigest(),
    )
    manifest = Manifest(**values)
    _check_consistent(manifest, where)
    return manifest


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no number")


def canonical_json(raw: Any) -> str:
    """The text a digest is taken of: sorted keys, no blanks."""
    return json.dumps(raw, sort_keys=True, separators=(",", ":"), ensure_ascii=True)


def to_raw(resource: Resource) -> dict[str, Any]:
    """A resource as JSON values; fields that are not set are left out (bytes and sha256 stay)."""
    keep = {"bytes", "sha256"}
    raw = dataclasses.asdict(resource)
    raw["sources"] = list(resource.sources)
    return {key: value for key, value in raw.items() if value is not None or key in keep}


def _validate(raw: Any, where: str) -> None:
    schema = json.loads((paths.manifests_dir() / "schema.json").read_text(encoding="utf-8"))
    validator = jsonschema.Draft202012Validator(schema)
    problems = sorted(validator.iter_errors(raw), key=lambda e: list(map(str, e.absolute_path)))
    if problems:
        first = problems[0]
        place = "/".join(str(part) for part in first.absolute_path) or "top level"
        raise ManifestError(
            f"{where}: {len(problems)} problem(s) against schema.json; first at {place}: "
            f"{first.message}. Correct the manifest or regenerate it."
        )


def _check_consistent(manifest: Manifest, where: str) -> None:
    repeated = [p for p, n in Counter(r.path for r in manifest.resources).items() if n > 1]
    if repeated:
        raise ManifestError(f"{where}: path listed twice: {', '.join(repeated[:5])}.")
    labels: dict[str, set[int | None]] = {}
    for resource in manifest.images():
        labels.setdefault(str(resource.case), set()).add(resource.label)
    torn = sorted(case for case, seen in labels.items() if len(seen) > 1)
    if torn:
        raise ManifestError(f"{where}: case(s) with two labels: {', '.join(torn[:5])}.")
    escaping = [r.path for r in manifest.resources if not _stays_below(r.path)]
    escaping += [name for name in manifest.folders if "/" in name or not _stays_below(name)]
    if escaping:
        raise ManifestError(f"{where}: path leaves the data folder: {escaping[0]!r}.")


def _stays_below(path: str) -> bool:
    """Whether a path names a place below a folder on every system, in printable characters."""
    parts = path.split("/")
    plain = path.isprintable() and not any(mark in path for mark in "\\:")
    return plain and not any(part in ("", ".", "..") for part in parts)
