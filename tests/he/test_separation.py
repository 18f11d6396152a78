"""What the server can never see: the secret key's type, its bytes, or its representation."""

from __future__ import annotations

import base64
import gzip
import re
import subprocess
import sys
import zlib
from pathlib import Path

import pytest
from networks import make_frames, make_network
from parties import Parties, make_parties
from secret_scan import find_secret, forms, samples, unpacked

SECRET_MODULES = ("keys", "bfv_keys", "client", "sandbox", "secret_bundle", "sent")


@pytest.fixture(scope="module")
def parties(tmp_path_factory: pytest.TempPathFactory) -> Parties:
    network = make_network(frames=2, hidden=0, channels_out=4, kernel_size=3)
    made = make_parties(network, 8192, 4, tmp_path_factory.mktemp("parties"))
    made.scores(make_frames(network, 4))
    return made


@pytest.mark.parametrize(
    "module",
    [
        "heclstm_lib.he.server",
        "heclstm_lib.he.ensemble",
        "heclstm_lib.evaluation.fanout",
        "heclstm_lib.batch.command",
    ],
)
def test_importing_the_server_imports_no_secret_type(module: str) -> None:
    secret = {f"heclstm_lib.he.{name}" for name in SECRET_MODULES}
    code = f"import sys, {module}\nprint(sorted({secret} & set(sys.modules)))"
    root = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=root)
    assert (done.stdout.strip(), done.returncode) == ("[]", 0), done.stderr


def users(pattern: str) -> list[str]:
    """Modules whose source matches."""
    package = Path(__file__).parents[2] / "heclstm_lib"
    found = [path for path in package.rglob("*.py") if re.search(pattern, path.read_text("utf-8"))]
    return sorted(path.relative_to(package).as_posix() for path in found)


def test_only_the_keys_module_uses_key_classes() -> None:
    assert users(r"\bapi\.(KeyGenerator|SecretKey|Decryptor)\b") == ["he/keys.py"]
    assert users(r"set_secret_key|encrypt_symmetric|encrypt_zero_symmetric") == ["he/keys.py"]
    # the server's masks are encryptions under the public key
    assert users(r"\bapi\.Encryptor\b") == ["he/keys.py", "he/refresh.py"]


def test_no_byte_of_the_secret_key_reaches_a_file(parties: Parties) -> None:
    """As residues or coefficients, plain, in base64, in hexadecimal, or compressed."""
    keys = parties.client._keys
    wanted, stored = samples(keys), keys.secret_bytes()
    for name, form in forms(keys).items():  # the search does find each
        assert name in find_secret(b"before" + form + b"after", wanted)
        assert f"{name}, base64" in find_secret(base64.b64encode(b"any" + form), wanted)
        assert f"{name}, hexadecimal" in find_secret(form.hex().encode(), wanted)
        assert name in find_secret(b"before" + zlib.compress(form), wanted)
        assert name in find_secret(b"before" + gzip.compress(form), wanted)
    assert {"residues", "SEAL's compressed object"} <= find_secret(stored, wanted)
    files = [parties.folder / name for name in ("bundle", "request", "response")]
    contents = [file.read_bytes() for file in files]
    assert sum(len(list(unpacked(content))) > 1 for content in contents) == 3
    for content in contents:
        assert not find_secret(content, wanted)
    assert {path.name for path in parties.folder.iterdir()} == {"bundle", "request", "response"}


def test_representations_hide_the_secret(parties: Parties) -> None:
    assert repr(parties.client) == (
        f"Client(plan {parties.plan.digest[:12]}, SecretKeys(N=8192, levels=3, secret hidden))"
    )
    rotations = len(parties.plan.rotations)
    assert (
        repr(parties.server) == f"Server(plan {parties.plan.digest[:12]}, {rotations} Galois keys)"
    )


def test_the_server_holds_nothing_that_decrypts(parties: Parties) -> None:
    names = [name for part in (parties.server, parties.server._backend) for name in vars(part)]
    kinds = {type(value).__name__ for part in (parties.server, parties.server._backend)
             for value in vars(part).values()}  # fmt: skip
    assert len(names) > 5
    assert not kinds & {"SecretKey", "SecretKeys", "Decryptor", "KeyGenerator"}


def test_the_clients_signature_holds_no_weight(parties: Parties) -> None:
    assert set(vars(parties.plan.signature)) == {
        "params",
        "layout",
        "inputs",
        "outputs",
        "rotations",
        "refreshes",
        "digest",
        "input_range",
        "normalisation",
    }
