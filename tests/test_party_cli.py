"""Client and server as processes in folders of their own: only what is copied crosses."""

from __future__ import annotations

import argparse
import csv
import dataclasses
import json
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from networks import make_frames, make_network
from secret_scan import find_secret, samples

from heclstm_lib.cli import main
from heclstm_lib.compiler.chain import choose_parameters
from heclstm_lib.compiler.network import plan_network
from heclstm_lib.he.header import versions
from heclstm_lib.he.secret_bundle import load_secret
from heclstm_lib.he.store import write_plan, write_signature
from heclstm_lib.party_cli import add_party_parsers

NETWORK = make_network(frames=2, hidden=0, channels_out=2, kernel_size=3, image_size=6)
PLAN = plan_network(NETWORK, choose_parameters(NETWORK, 8192), 2)
SIGNATURE = dataclasses.replace(
    PLAN.signature, input_range=((-2.0, 2.0),), normalisation=((0.5, 0.25),)
)
NAMES = ["patient Ada", "patient Ben", "patient Cyd"]


def run(folder: Path, *arguments: str, code: int = 0) -> str:
    """One command as a process of its own, in a folder; its output."""
    done = subprocess.run(
        [sys.executable, "-m", "heclstm_lib.party_cli", *arguments],
        cwd=folder, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == code, done.stderr
    return done.stdout + done.stderr


def tree(folder: Path) -> dict[str, int]:
    return {
        path.relative_to(folder).as_posix(): path.stat().st_size
        for path in folder.rglob("*")
        if path.is_file()
    }


@dataclasses.dataclass
class Walk:
    """The walk through, with what every command said."""

    client: Path
    server: Path
    crossed: dict[str, int]
    said: dict[str, str]
    frames: np.ndarray


@pytest.fixture(scope="module")
def walk(tmp_path_factory: pytest.TempPathFactory) -> Walk:
    client, server = tmp_path_factory.mktemp("hospital"), tmp_path_factory.mktemp("server")
    crossed: dict[str, int] = {}

    def copy(name: str, there: Path, back: Path) -> None:
        files = sorted(there.glob(name))
        for file in files:
            target = back / file.relative_to(there)
            target.parent.mkdir(exist_ok=True)
            shutil.copyfile(file, target)
            crossed[target.relative_to(back).as_posix()] = file.stat().st_size

    write_plan(PLAN, server / "plan.npz")
    write_signature(SIGNATURE, server / "signature.json")
    frames = np.clip(make_frames(NETWORK, 3), -2, 2)
    frames[1, 0, 0, :2, 0] = 2.75, -2.5
    np.save(client / "frames.npy", frames.astype(np.float32))
    (client / "names.txt").write_text("\n".join(NAMES))
    (client / "word.txt").write_text("a long passphrase\n")
    locked = ("--signature", "signature.json", "--passphrase-file", "word.txt")
    said: dict[str, str] = {}
    copy("signature.json", server, client)
    said["keygen"] = run(client, "keygen", *locked)
    copy("public.bundle", client, server)
    said["encrypt"] = run(client, "encrypt", "frames.npy", "--ids", "names.txt", *locked)
    copy("requests/*.request", client, server)
    said["evaluate"] = run(server, "evaluate", "requests", "--plan", "plan.npz")
    copy("responses/*.response", server, client)
    said["decrypt"] = run(client, "decrypt", "responses", *locked)
    return Walk(client, server, crossed, said, frames)


def table(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_scores_come_back_under_their_names(walk: Walk) -> None:
    rows = table(walk.client / "scores.csv")
    assert [row["name"] for row in rows] == NAMES
    scores = [float(row["score"]) for row in rows]
    expected = NETWORK.scores(walk.frames.astype(np.float32).astype(float))
    np.testing.assert_allclose(scores, expected, atol=2**-10)


def test_the_result_says_how_far_outside(walk: Walk) -> None:
    rows = table(walk.client / "scores.csv")
    assert [float(row["outside"]) for row in rows] == [0.0, 0.75, 0.0]
    assert float(rows[1]["outside_fraction"]) == pytest.approx(2 / walk.frames[1].size)
    assert "3 sequence(s), 1 outside the calibrated range" in walk.said["decrypt"]
    said = walk.said["encrypt"]
    assert "InputRangeWarning: 1 of 2 sequence(s) leave the range" in said
    assert "patient Ben (by 0.75)" in said  # its name is known to the client only


def test_every_byte_is_accounted_for(walk: Walk) -> None:
    """What lies on either side is its own or was copied, and what was copied is listed."""
    shared = {"signature.json", "public.bundle"}
    requests = {name for name in walk.crossed if name.startswith("requests/")}
    responses = {name for name in walk.crossed if name.startswith("responses/")}
    assert len(requests) == len(responses) == 2
    assert set(walk.crossed) == shared | requests | responses
    client, server = tree(walk.client), tree(walk.server)
    own = {name for name in client if name.startswith("sent/")}
    assert len(own) == 2
    private = {"frames.npy", "names.txt", "word.txt", "secret.bundle", "scores.csv"}
    assert set(client) == set(walk.crossed) | own | private
    assert set(server) == set(walk.crossed) | {"plan.npz", "responses/batch.json"}
    for name, size in walk.crossed.items():
        assert client[name] == server[name] == size
    assert (
        f"public.bundle: {walk.crossed['public.bundle']} bytes, for the server"
        in (walk.said["keygen"])
    )
    total = sum(walk.crossed[name] for name in requests)
    assert f"requests: 2 request(s), {total} bytes, for the server" in walk.said["encrypt"]


def test_nothing_of_the_secret_or_a_name_reaches_the_server(walk: Walk) -> None:
    keys = load_secret(walk.client / "secret.bundle", SIGNATURE, "a long passphrase")
    wanted = samples(keys)
    stored = keys.secret_bytes()
    assert "residues" in find_secret(stored, wanted)  # the search does find it
    bundle = (walk.client / "secret.bundle").read_bytes()
    assert not find_secret(bundle, wanted)  # locked
    wanted |= {bundle[start : start + 32]: "the bundle" for start in (300, 9000)}
    wanted |= {name.encode(): "a name" for name in NAMES} | {b"a long passphrase": "passphrase"}
    wanted |= {walk.frames[0].astype(kind).tobytes()[:64]: "frames" for kind in ("<f4", "<f8")}
    for path in sorted(walk.server.rglob("*")):
        if path.is_file():
            assert not find_secret(path.read_bytes(), wanted), path.name
    for said in walk.said.values():  # the client may hear its own names
        assert find_secret(said.encode(), wanted) <= {"a name"}
    assert not find_secret(walk.said["evaluate"].encode(), wanted)


def test_what_only_its_owner_may_read(walk: Walk) -> None:
    kept = sorted((walk.client / "sent").iterdir())
    private = [walk.client / "secret.bundle", walk.client / "scores.csv", *kept]
    assert [stat.S_IMODE(path.stat().st_mode) for path in private] == [0o600] * len(private)
    assert stat.S_IMODE((walk.client / "sent").stat().st_mode) == 0o700


def call(*arguments: object) -> int:
    """A command within this process, as `heclstm` runs it."""
    return main([str(one) for one in arguments])


def test_server_refuses_a_secret_bundle(
    walk: Walk, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    secret = walk.client / "secret.bundle"
    plan, out = walk.server / "plan.npz", tmp_path / "out"
    public, requests = walk.server / "public.bundle", walk.server / "requests"
    among = tmp_path / "requests"
    shutil.copytree(requests, among)
    shutil.copyfile(secret, among / "notes.txt")
    for arguments in (
        (requests, "--plan", plan, "--public", secret),
        (requests, "--plan", secret, "--public", public),
        (among, "--plan", plan, "--public", public),
    ):
        assert call("evaluate", *arguments, "--out", out) == 2
        said = capsys.readouterr().err
        assert "is a secret bundle; a server needs the public bundle only" in said
    assert not out.exists()


def test_client_refuses(walk: Walk, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def refused(*arguments: object) -> str:
        assert call(*arguments) == 2
        return capsys.readouterr().err

    secret = ("--secret", walk.client / "secret.bundle")
    signature = ("--signature", walk.client / "signature.json")
    word = ("--passphrase-file", walk.client / "word.txt")
    assert "exists; without its key no result" in refused("keygen", *signature, *secret)
    frames = walk.client / "frames.npy"
    said = refused("encrypt", frames, *signature, *secret)
    assert "secret.bundle is locked with a passphrase; give it" in said
    (tmp_path / "wrong").write_text("another")
    said = refused("encrypt", frames, *signature, *secret, "--passphrase-file", tmp_path / "wrong")
    assert "secret.bundle: the passphrase is wrong" in said
    said = refused("encrypt", frames, *signature, *secret, "--passphrase-file", tmp_path / "none")
    assert "none: no passphrase can be read there" in said
    said = refused("decrypt", tmp_path, *signature, *secret, *word)
    assert "no file *.response there" in said
    assert "a long passphrase" not in said


def test_responses_that_were_not_asked_for_are_listed(
    walk: Walk, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    responses = tmp_path / "responses"
    shutil.copytree(walk.client / "responses", responses)
    first, _ = sorted(responses.iterdir())
    first.write_bytes(first.read_bytes()[:-1])
    arguments = (
        "decrypt", responses, "--signature", walk.client / "signature.json", "--secret",
        walk.client / "secret.bundle", "--passphrase-file", walk.client / "word.txt",
        "--out", tmp_path / "scores.csv",
    )  # fmt: skip
    assert call(*arguments) == 3
    said = capsys.readouterr().err
    assert f"failed: {first.name}: checksum does not match" in said
    assert len(table(tmp_path / "scores.csv")) in (1, 2)
    assert call(*arguments, "--sent", tmp_path / "nothing") == 3
    said = capsys.readouterr().err
    assert "which is not among those kept in" in said


def test_raw_frames_are_normalised(walk: Walk, tmp_path: Path) -> None:
    np.save(tmp_path / "frames.npy", np.linspace(0, 1, walk.frames.size).reshape(walk.frames.shape))
    arguments = (
        "encrypt", tmp_path / "frames.npy", "--raw", "--signature", walk.client / "signature.json",
        "--secret", walk.client / "secret.bundle", "--passphrase-file", walk.client / "word.txt",
        "--out", tmp_path / "requests", "--sent", tmp_path / "sent",
    )  # fmt: skip
    assert call(*arguments) == 0
    sent = [json.loads(path.read_text()) for path in (tmp_path / "sent").iterdir()]
    assert sorted(len(one["names"]) for one in sent) == [1, 2]
    assert all(one["distance"] == [0.0] * len(one["names"]) for one in sent)  # both edges inside


def test_evaluate_checks_its_numbers(walk: Walk, capsys: pytest.CaptureFixture[str]) -> None:
    assert call("evaluate", walk.server, "--plan", "plan.npz", "--workers", 0) == 2
    assert "--workers: expected at least 1, got 0" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["keygen", "encrypt", "evaluate", "decrypt"])
def test_help_has_examples(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    parser = argparse.ArgumentParser()
    add_party_parsers(parser.add_subparsers())
    with pytest.raises(SystemExit):
        parser.parse_args([command, "--help"])
    said = capsys.readouterr().out
    assert f"examples:\n  heclstm {command}" in said
    assert set(versions()) == {"heclstm", "tenseal"}
