"""Regenerate `data_manifests/*.json` from a local mirror.

Run `python -m heclstm_lib.data.make_manifests [--mirror FOLDER]`.

Sizes and sha256 are those of the bytes in the mirror; texts, terms and addresses stand in
`manifest_texts`. Run it only after the mirror has been compared with its public source.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from heclstm_lib import paths
from heclstm_lib.data import adrenal, breakhis, iarc, synthetic
from heclstm_lib.data.annocerv import SWEDE_THRESHOLD, read_table
from heclstm_lib.data.breakhis_names import parse_name
from heclstm_lib.data.cases import Case, link_duplicates
from heclstm_lib.data.frames import Frame
from heclstm_lib.data.manifest import Resource, parse_manifest, to_raw
from heclstm_lib.data.manifest_texts import TEXTS
from heclstm_lib.errors import DataError
from heclstm_lib.files import replacing

_GITHUB = "https://raw.githubusercontent.com"
IARC_REPOSITORY = (
    f"{_GITHUB}/naghim/colposcopy-digital-atlas-dataset/d1ae79184139ba8ea288ca2390005c47471ce3e9"
)
ANNOCERV_COMMIT = "448a24b638a40e280347d30790971646d26fff31"
ANNOCERV_REPOSITORY = f"{_GITHUB}/bhabigel/colposcopy-digital-atlas-processed/{ANNOCERV_COMMIT}"
ADRENAL_URL = "https://zenodo.org/records/10519652/files/adrenalmnist3d.npz?download=1"
BREAKHIS_URL = "http://www.inf.ufpr.br/vri/databases/BreaKHis_v1.tar.gz"
_ADDRESS = re.compile(r"^\s*(\d+)\.\s+(.*): (https?://\S+)\s*$", re.MULTILINE)


def make_manifest(name: str, mirror: Path) -> dict[str, Any]:
    """The manifest of one data set as JSON values, checked against the schema."""
    makers = {
        "iarc": make_iarc,
        "annocerv": make_annocerv,
        "breakhis": make_breakhis,
        "adrenalmnist3d": make_adrenal,
        "embedded": make_embedded,
    }
    raw = {"name": name, "resources": [], "generator": None, **TEXTS[name], **makers[name](mirror)}
    parse_manifest(raw, f"{name}.json")
    return raw


def write_manifest(raw: dict[str, Any], folder: Path) -> Path:
    """Write one manifest, one resource a line so that differences can be read."""
    lines = [json.dumps(r, ensure_ascii=False) for r in raw["resources"]]
    head = json.dumps({**raw, "resources": []}, indent=2, ensure_ascii=False)
    body = "[\n    " + ",\n    ".join(lines) + "\n  ]" if lines else "[]"
    target = folder / f"{raw['name']}.json"
    text = head.replace('"resources": []', f'"resources": {body}') + "\n"
    with replacing(target) as part:
        part.write_text(text, encoding="utf-8", newline="\n")
    return target


def make_iarc(mirror: Path) -> dict[str, Any]:
    """IARC atlas: one resource per image, address from the case's metadata.txt."""
    root = mirror / "iarc_colposcopy_atlas"
    resources = []
    for grade, label in iarc.GRADES.items():
        for case in sorted((root / grade).glob("case_*")):
            listed = _ADDRESS.findall((case / "metadata.txt").read_text(encoding="utf-8"))
            addresses = {int(order): url for order, _, url in listed}
            files = [(*iarc.parse_file_name(path), path) for path in case.glob("*.jpg")]
            for order, stage, path in sorted(files):
                relative = path.relative_to(root).as_posix()
                name = case.name.removeprefix("case_")
                resources.append(
                    _file(
                        path,
                        relative,
                        sources=(addresses[order], f"{IARC_REPOSITORY}/{relative}"),
                        case=name,
                        patient=name,
                        label=label,
                        order=order,
                        stage=stage,
                    )
                )
    classes = {"high_grade": 1, "low_grade": 0}
    return {"resources": list(map(to_raw, resources)), "expected": _expected(resources, classes)}


def make_annocerv(mirror: Path) -> dict[str, Any]:
    """AnnoCerv: one resource per row; cases with identical images get one patient."""
    root = mirror / "annocerv_384"
    table = read_table(root / "metadata.csv")
    cases: dict[str, Case] = {}
    for row in table.itertuples():
        name = f"C{row.case_id}"
        label = int(row.swede_score >= SWEDE_THRESHOLD)
        frames = cases[name].frames if name in cases else ()
        cases[name] = Case(name, name, label, (*frames, Frame(root / str(row.file), "")))
    linked, notes = link_duplicates(cases.values(), ())
    patient = {case.sequence_id: case.patient_id for case in linked}
    resources = [
        _file(
            root / str(row.file),
            str(row.file),
            sources=(f"{ANNOCERV_REPOSITORY}/{row.source_path}",),
            case=f"C{row.case_id}",
            patient=patient[f"C{row.case_id}"],
            label=int(row.swede_score >= SWEDE_THRESHOLD),
            order=int(row.image_index),
            stage="after_acetic_acid",
            score=float(row.swede_score),
        )
        for row in table.itertuples()
    ]
    classes = {"swede_5_or_more": 1, "swede_below_5": 0}
    return {
        "resources": list(map(to_raw, resources)),
        "expected": _expected(resources, classes),
        "notes": [*TEXTS["annocerv"]["notes"], *notes],
    }


def make_breakhis(mirror: Path) -> dict[str, Any]:
    """BreaKHis: the archive (hash unknown) and the samples as fixtures."""
    archive = Resource(
        path="BreaKHis_v1.tar.gz",
        role="archive",
        bytes=None,
        sha256=None,
        hash_reason="the publisher gives no checksum; counts and file names are checked instead",
        sources=(BREAKHIS_URL,),
    )
    fixtures = []
    for path in sorted((mirror / "breakhis_sample").glob("*.png")):
        name = parse_name(path.name)
        fixtures.append(
            _file(
                path,
                path.name,
                role="fixture",
                sources_reason="a member of the archive, published only inside it",
                case=f"{name.patient}",
                patient=name.patient,
                label=name.label,
                order=breakhis.MAGNIFICATIONS.index(name.magnification) + 1,
                stage=f"{name.magnification}X",
            )
        )
    return {"resources": [to_raw(archive), *map(to_raw, fixtures)]}


def make_adrenal(mirror: Path) -> dict[str, Any]:
    """AdrenalMNIST3D: one archive, with the MD5 its publisher gives."""
    path = mirror / "medmnist" / adrenal.FILE
    md5 = hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()
    resource = _file(path, adrenal.FILE, role="archive", md5=md5, sources=(ADRENAL_URL,))
    return {"resources": [to_raw(resource)]}


def make_embedded(mirror: Path) -> dict[str, Any]:
    """The embedded set: version, parameters and the digest of the default seed."""
    del mirror
    generator = {
        "module": synthetic.__name__,
        "version": synthetic.GENERATOR_VERSION,
        "parameters": synthetic.generator_parameters(),
        "digest": synthetic.default_digest(),
    }
    return {"generator": generator}


def _file(path: Path, relative: str, role: str = "image", **values: Any) -> Resource:
    content = path.read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    values = {"sources": (), **values}
    return Resource(path=relative, role=role, bytes=len(content), sha256=digest, **values)


def _expected(resources: Iterable[Resource], classes: dict[str, int]) -> dict[str, Any]:
    resources = list(resources)
    counts = {}
    for name, label in classes.items():
        members = [r for r in resources if r.label == label]
        counts[name] = {
            "label": label,
            "cases": len({r.case for r in members}),
            "images": len(members),
        }
    return {
        "images": len(resources),
        "sequences": len({r.case for r in resources}),
        "patients": len({r.patient for r in resources}),
        "classes": counts,
    }


def main() -> None:
    """Write every manifest from the mirror."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mirror", type=Path, default=paths.mirror_root())
    mirror = parser.parse_args().mirror
    if mirror is None or not mirror.is_dir():
        raise DataError(f"no mirror: set {paths.MIRROR_VARIABLE} or give --mirror FOLDER.")
    for name in TEXTS:
        print(write_manifest(make_manifest(name, mirror), paths.manifests_dir()))


if __name__ == "__main__":
    main()
