"""A client whose bundle, requests and responses go through a store; what is its own stays."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

from heclstm_lib.party_cli import main
from heclstm_lib.robustness.small_case import FRAMES, SIZE, SmallCase
from heclstm_lib.storage import join, list_names, outgoing, read_range, upload

SECRET = ("--secret", "secret.bundle")


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The client's folder, where the commands are given."""
    folder = tmp_path / "hospital"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


def scores(path: Path) -> dict[str, float]:
    with path.open(encoding="utf-8", newline="") as file:
        return {row["name"]: float(row["score"]) for row in csv.DictReader(file)}


def test_a_client_works_through_a_store(made: SmallCase, bucket: str, home: Path) -> None:
    upload(made.plan, join(bucket, "plan.npz"))
    upload(made.plan.with_name("signature.json"), join(bucket, "signature.json"))
    client = ("--signature", join(bucket, "signature.json"), *SECRET)
    public, requests = join(bucket, "public.bundle"), join(bucket, "requests")
    assert main(["keygen", *client, "--public", public]) == 0
    frames = np.random.default_rng(7).normal(size=(3, FRAMES, 1, SIZE, SIZE))
    np.save(home / "frames.npy", frames)
    assert main(["encrypt", "frames.npy", *client, "--out", requests]) == 0
    names = list_names(requests)
    assert len(names) == 2 and all(name.endswith(".request") for name in names)
    where = ("--plan", join(bucket, "plan.npz"), "--public", public)
    assert main(["evaluate", requests, *where, "--out", join(bucket, "responses")]) == 0
    assert main(["decrypt", join(bucket, "responses"), *client]) == 0
    there = scores(home / "scores.csv")
    local = ("--plan", str(made.plan), "--public", "public.bundle")
    for folder in (requests, public):
        for name in list_names(folder) or [""]:
            data = read_range(join(folder, name) if name else folder, None, None)
            target = home / folder.rpartition("/")[2] / name if name else home / "public.bundle"
            target.parent.mkdir(exist_ok=True)
            target.write_bytes(data)
    assert main(["evaluate", "requests", *local]) == 0
    assert main(["decrypt", "responses", *client, "--out", "here.csv"]) == 0
    here = scores(home / "here.csv")
    assert len(here) == 3 and here.keys() == there.keys()
    np.testing.assert_allclose(list(here.values()), list(there.values()), atol=1e-3)
    assert not [path for path in home.rglob("*") if "s3:" in path.name]
    stored = [*list_names(bucket), *list_names(requests), *list_names(join(bucket, "responses"))]
    assert not [name for name in stored if "secret" in name or name.startswith(("sent", "scores"))]


@pytest.mark.parametrize(
    "arguments",
    [
        ("keygen", "--secret", "s3://ward/secret.bundle"),
        ("encrypt", "s3://ward/frames.npy"),
        ("encrypt", "frames.npy", "--sent", "s3://ward/sent"),
        ("encrypt", "frames.npy", "--ids", "s3://ward/names.txt"),
        ("decrypt", "responses", "--out", "s3://ward/scores.csv"),
        ("decrypt", "responses", "--share", "s3://ward/shared.csv"),
    ],
)
def test_what_is_the_clients_own_takes_no_url(
    arguments: tuple[str, ...], home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        main([*arguments, "--signature", "signature.json"])
    assert caught.value.code == 2
    assert "expected a path on this machine, got s3://ward/" in capsys.readouterr().err
    assert not list(home.iterdir())


def test_no_keys_are_made_for_a_store_that_does_not_answer(
    made: SmallCase, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    client = ("--signature", str(made.plan.with_name("signature.json")), *SECRET)
    assert main(["keygen", *client, "--public", "ftp://ward/public.bundle"]) == 2
    assert "ftp:// may be seen half-written" in capsys.readouterr().err
    assert not list(home.iterdir())


@pytest.mark.parametrize("kind", ["disk", "s3"])
def test_what_was_not_written_to_its_end_does_not_appear(
    kind: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    folder = str(tmp_path) if kind == "disk" else request.getfixturevalue("bucket")
    place = join(folder, "00.request")

    def write(fails: bool) -> None:
        with outgoing(place) as path:
            path.write_bytes(b"half")
            if fails:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write(fails=True)
    assert "00.request" not in list_names(folder)
    write(fails=False)
    assert read_range(place, None, None) == b"half"
    assert not [name for name in list_names(folder) if name.startswith(".")]
