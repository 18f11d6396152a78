"""Manifests: the schema, self-contradictions, and the shipped files."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest

from heclstm_lib import paths
from heclstm_lib.data.manifest import list_manifests, load_manifest, parse_manifest
from heclstm_lib.data.sources import READERS
from heclstm_lib.errors import ManifestError


@pytest.fixture
def raw() -> dict[str, Any]:
    return json.loads((paths.manifests_dir() / "iarc.json").read_text(encoding="utf-8"))


def test_every_reader_has_a_manifest_and_the_other_way_round() -> None:
    assert list_manifests() == sorted(READERS)


@pytest.mark.parametrize("name", sorted(READERS))
def test_shipped_manifest_is_complete(name: str) -> None:
    manifest = load_manifest(name)
    assert manifest.licence.terms and manifest.citation
    assert {c.label for c in manifest.expected.classes.values()} == {0, 1}
    assert (manifest.generator is not None) == (manifest.folder is None)


@pytest.mark.parametrize(("name", "images", "cases"), [("iarc", 194, 49), ("annocerv", 241, 80)])
def test_expected_counts_are_those_of_the_resources(name: str, images: int, cases: int) -> None:
    manifest = load_manifest(name)
    assert (len(manifest.images()), manifest.expected.images) == (images, images)
    assert sum(c.cases for c in manifest.expected.classes.values()) == cases
    for count in manifest.expected.classes.values():
        members = {r.case for r in manifest.images() if r.label == count.label}
        assert len(members) == count.cases
    assert all(r.sha256 and r.bytes and r.sources for r in manifest.images())
    assert len(manifest.patients) == manifest.expected.patients


def test_digest_does_not_depend_on_key_order(raw: dict[str, Any]) -> None:
    turned = dict(reversed(list(raw.items())))
    assert parse_manifest(turned, "x").digest == parse_manifest(raw, "x").digest
    turned["title"] += "!"
    assert parse_manifest(turned, "x").digest != parse_manifest(raw, "x").digest


def _changed(raw: dict[str, Any], **values: Any) -> dict[str, Any]:
    changed = copy.deepcopy(raw)
    changed["resources"] = changed["resources"][:2]
    changed["resources"][0].update(values)
    return changed


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"colour": "red"}, "colour"),
        ({"sha256": "abc"}, "resources/0/sha256"),
        ({"sha256": None}, "hash_reason"),
        ({"sources": []}, "sources_reason"),
        ({"label": 2}, "resources/0/label"),
        ({"path": "../secret.jpg"}, "leaves the data folder"),
    ],
)
def test_a_broken_resource_is_named(raw: dict[str, Any], change: Any, message: str) -> None:
    with pytest.raises(ManifestError, match=message):
        parse_manifest(_changed(raw, **change), "iarc.json")


def test_repeated_path_and_case_with_two_labels(raw: dict[str, Any]) -> None:
    first, second = raw["resources"][:2]
    with pytest.raises(ManifestError, match=r"listed twice"):
        parse_manifest(_changed(raw, path=second["path"]), "iarc.json")
    assert first["case"] == second["case"]
    with pytest.raises(ManifestError, match=f"two labels: {first['case']}"):
        parse_manifest(_changed(raw, label=1 - second["label"]), "iarc.json")


def test_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(ManifestError, match=r"no manifest for data set 'mnist'.*annocerv"):
        load_manifest("mnist")
