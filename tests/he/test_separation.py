"""What the server can never see: the secret key's type, its bytes, or its representation."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pyarrow
import pytest
from networks import make_frames, make_network
from parties import Parties, make_parties

from heclstm_lib.he.seal import to_bytes
from heclstm_lib.he.wire import iter_chunks

SEAL_HEADER = 16
RESIDUES = 5 * 8192 * 8
"""Bytes of the secret key at N=8192 with five primes."""


@pytest.fixture(scope="module")
def parties(tmp_path_factory: pytest.TempPathFactory) -> Parties:
    network = make_network(frames=2, hidden=0, channels_out=4, kernel_size=3)
    made = make_parties(network, 8192, 4, tmp_path_factory.mktemp("parties"))
    made.scores(make_frames(network, 4))
    return made


@pytest.mark.parametrize("module", ["heclstm_lib.he.server", "heclstm_lib.evaluation.fanout"])
def test_importing_the_server_imports_no_secret_type(module: str) -> None:
    secret = {f"heclstm_lib.he.{name}" for name in ("keys", "client", "sandbox")}
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


def decompressed(seal_object: bytes) -> bytes:
    """The content of a serialised SEAL object: a header, then one zstd stream."""
    reader = pyarrow.BufferReader(seal_object[SEAL_HEADER:])
    return pyarrow.input_stream(reader, compression="zstd").read()


def test_no_byte_of_the_secret_key_reaches_a_file(parties: Parties) -> None:
    stored = to_bytes(parties.client._keys._generator.secret_key())
    residues = decompressed(stored)[-RESIDUES:]
    samples = [residues[i : i + 32] for i in range(0, RESIDUES, 8192)]
    assert len(set(samples)) == len(samples) == 40
    assert all(sample in decompressed(stored) for sample in samples)  # the search does find it
    files = [parties.folder / name for name in ("bundle", "request", "response")]
    contents = [file.read_bytes() for file in files]
    contents += [decompressed(chunk) for file in files for chunk in iter_chunks(file)]
    assert len(contents) == 3 + (2 + len(parties.plan.rotations)) + 9 + 1
    assert not any(sample in content for content in contents for sample in samples)
    assert not any(stored[SEAL_HEADER:] in content for content in contents)


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
    }
