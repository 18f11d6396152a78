"""`heclstm data`: output and exit codes."""

from __future__ import annotations

import argparse
import json
import shutil
from pathlib import Path

import pytest

from heclstm_lib.data.manifest import list_manifests
from heclstm_lib.data_cli import add_data_parser


def _run(*arguments: str) -> int:
    parser = argparse.ArgumentParser(prog="heclstm")
    add_data_parser(parser.add_subparsers(required=True))
    args = parser.parse_args(["data", *arguments])
    return int(args.run(args))


def test_list_as_table_and_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert _run("list") == 0
    table = capsys.readouterr().out
    assert all(name in table for name in list_manifests())
    assert _run("list", "--json") == 0
    entries = {e["name"]: e for e in json.loads(capsys.readouterr().out)}
    assert entries["breakhis"]["expected"]["images"] == 7909
    assert entries["embedded"]["state"] == "generated"
    assert all(len(e["digest"]) == 64 for e in entries.values())


def test_help_has_examples(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_:
        _run("--help")
    assert exit_.value.code == 0
    assert "heclstm data fetch adrenalmnist3d" in capsys.readouterr().out


def test_verify_the_generated_set(capsys: pytest.CaptureFixture[str]) -> None:
    assert _run("verify", "embedded", "--json") == 0
    assert json.loads(capsys.readouterr().out)["embedded"][0]["state"] == "ok"


def test_fetch_from_the_mirror_then_damage_a_file(
    data_mirror: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    dest = ["--dest", str(tmp_path), "--mirror", str(data_mirror)]
    assert _run("fetch", "breakhis", *dest) == 0
    assert "12 fetched and verified" in capsys.readouterr().out
    assert _run("verify", "breakhis", "--data", str(tmp_path)) == 0
    image = next((tmp_path / "breakhis").glob("*.png"))
    image.write_bytes(image.read_bytes()[:-1])
    capsys.readouterr()
    assert _run("verify", "breakhis", "--data", str(tmp_path)) == 1
    out = capsys.readouterr().out
    assert "wrong size" in out and image.name in out


def test_fetch_from_a_mirror_that_lacks_files(
    data_mirror: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mirror = tmp_path / "mirror"
    case = "images_high_grade/case_AAAN"
    shutil.copytree(
        data_mirror / "iarc_colposcopy_atlas" / case, mirror / "iarc_colposcopy_atlas" / case
    )
    assert _run("fetch", "iarc", "--dest", str(tmp_path / "d"), "--mirror", str(mirror)) == 1
    assert "4 fetched and verified, 0 already there, 190 missing" in capsys.readouterr().out


def test_generated_set_needs_no_fetch(capsys: pytest.CaptureFixture[str]) -> None:
    assert _run("fetch", "embedded") == 0
    assert "nothing to fetch" in capsys.readouterr().out
