"""Tokens, options, sizes, store, SEAL's bytes, and the command, without a running service."""

from __future__ import annotations

import os
import stat
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from services import Hospital

from heclstm_lib import serve_cli
from heclstm_lib.cli import main
from heclstm_lib.errors import ServiceError
from heclstm_lib.he.wire import locate_chunks
from heclstm_lib.service.__main__ import main as service_main
from heclstm_lib.service.client import ServiceClient
from heclstm_lib.service.options import ServiceOptions
from heclstm_lib.service.records import Bundle, Job
from heclstm_lib.service.sizes import (
    bundle_sizes,
    compressed,
    input_sizes,
    key_sizes,
    request_sizes,
)
from heclstm_lib.service.store import Store
from heclstm_lib.service.tokens import add_token, load_tokens
from heclstm_lib.service.worker import limit_memory


def test_tokens_are_kept_as_hashes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "tokens"
    token, other = add_token(path, "st-mary"), add_token(path, "st-john")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert token not in path.read_text()
    for tokens in (load_tokens(path), environment(monkeypatch, path.read_text())):
        assert (tokens.owner(token), tokens.owner(other)) == ("st-mary", "st-john")
        assert tokens.owner("") is None
        assert tokens.owner("st-mary") is None
        assert repr(tokens) == "Tokens()"
    with pytest.raises(ServiceError, match="st-mary has a token; remove its line"):
        add_token(path, "st-mary")
    with pytest.raises(
        ServiceError, match=r"'\.\./x' is no name for a hospital; expected up to 40"
    ):
        add_token(path, "../x")


def environment(monkeypatch: pytest.MonkeyPatch, text: str):  # type: ignore[no-untyped-def]
    monkeypatch.setenv("HECLSTM_TOKENS", text.replace("\n", ","))
    return load_tokens(None)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("# nobody\n", "no token, so nobody could use the service. Make one: heclstm serve"),
        ("st-mary:clear-text-token", "entry 1 is not name:sha256 .64 hexadecimal digits."),
        (f"a:{'0' * 64}\na:{'1' * 64}", "a name stands there twice"),
        (f"a:{'0' * 64}\nb:{'0' * 64}", "a token stands there twice"),
    ],
)
def test_lists_of_tokens_that_will_not_do(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "tokens"
    path.write_text(text)
    with pytest.raises(ServiceError, match=message) as caught:
        load_tokens(path)
    assert "clear-text-token" not in str(caught.value)
    with pytest.raises(ServiceError, match="the list of tokens cannot be read"):
        load_tokens(tmp_path / "absent")


def test_sizes_hold_what_is_made(hospital: Hospital, tmp_path: Path) -> None:
    plan, request = hospital.plan, tmp_path / "request"
    frames = np.zeros((8, plan.inputs.frames, *plan.inputs.shape))
    hospital.client.encrypt_batch(frames, request, ["\U0001f600" * 199 + str(n) for n in range(8)])
    for path, sizes, chunks in (
        (hospital.bundle, bundle_sizes(plan), key_sizes(plan)),
        (request, request_sizes(plan), [input_sizes(plan)] * plan.inputs.count),
    ):
        assert sizes.least < path.stat().st_size < sizes.most < 4 * sizes.least
        for (_, length), size in zip(locate_chunks(path), chunks, strict=True):
            assert size.least < length < compressed(size.most)


def test_the_store_remembers(tmp_path: Path) -> None:
    store = Store(tmp_path / "state", "plan")
    bundle = Bundle("st-mary", "a" * 64, 3, "ready", 1.0)
    job = Job("st-mary", "b" * 64, 3, "queued", 2.0, bundle="a" * 64)
    for record in (bundle, job):
        store.adopt(store.fresh(), record)
    with pytest.raises(ServiceError, match=r"another service has this folder\. Stop it"):
        Store(tmp_path / "state", "plan")
    store.fresh()
    store.close()
    with pytest.raises(ServiceError, match="its bundles and jobs are of plan plan, this service"):
        Store(tmp_path / "state", "other")
    (store.place(job) / "record.json").write_text("{")
    again = Store(tmp_path / "state", "plan")
    assert again.owned(Bundle, "st-mary") == [bundle]
    assert again.owned(Job, "st-mary") == []  # unreadable: as if it had never come
    again.adopt(again.fresh(), job)
    again.remove(job)
    again.put(job)  # too late
    assert again.owned(Job, "st-mary") == []
    assert not store.place(job).exists()
    anew = replace(job, created=3.0)
    again.adopt(again.fresh(), anew)
    again.put(replace(job, state="failed"))  # word of the one before
    assert again.owned(Job, "st-mary") == [anew]


def test_options_make_the_round(tmp_path: Path) -> None:
    options = ServiceOptions(state=tmp_path, workers=3, idle_s=2.5)
    words = options.arguments()
    assert words[words.index("--workers") + 1] == "3"
    assert "--tokens" not in words
    with pytest.raises(ServiceError, match="--workers: expected at least 1, got 0"):
        ServiceOptions(workers=0).check()
    with pytest.raises(ServiceError, match="--port: expected at most 65535"):
        ServiceOptions(port=70000).check()


def test_the_command_makes_tokens_and_becomes_the_service(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    tokens = tmp_path / "tokens"
    assert main(["serve", "--tokens", str(tokens), "--new-token", "st-mary"]) == 0
    assert load_tokens(tokens).owner(capsys.readouterr().out.strip()) == "st-mary"
    assert main(["serve", "--new-token", "st-mary"]) == 2
    assert "say in which file to keep its hash: --tokens FILE" in capsys.readouterr().err
    calls: list[list[str]] = []
    monkeypatch.setattr(serve_cli.os, "execv", lambda _program, words: calls.append(words))
    assert main(["serve", "--tokens", str(tokens), "--port", "1"]) == 0
    assert calls[0][1:3] == ["-m", "heclstm_lib.service"]
    assert calls[0][calls[0].index("--port") + 1] == "1"


def test_a_service_that_cannot_start(
    hospital: Hospital, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    add_token(tmp_path / "tokens", "st-mary")
    base = ["--tokens", str(tmp_path / "tokens"), "--state", str(tmp_path / "state")]
    assert service_main([*base, "--plan", str(tmp_path / "absent.npz")]) == 2
    assert "is no plan of this version" in capsys.readouterr().err
    assert (
        service_main([*base, "--plan", str(hospital.folder / "plan.npz"), "--memory-mb", "1"]) == 2
    )
    assert "evaluation keys take" in capsys.readouterr().err


def test_clients_that_cannot_begin() -> None:
    with pytest.raises(ServiceError, match="expected an address with https"):
        ServiceClient("http://hospital.example", "token")
    client = ServiceClient("http://127.0.0.1:9", "top-secret", patience_s=0.1)
    assert "top-secret" not in repr(client)
    with pytest.raises(ServiceError, match=r"no answer .*Is the service running") as caught:
        client.plan()
    assert (caught.value.status, caught.value.code) == (0, "unreachable")
    with pytest.raises(ServiceError, match="no bundle: call register_bundle first"):
        client.submit(Path(__file__))


def test_memory_of_a_worker_is_limited() -> None:
    read, write = os.pipe()
    if (child := os.fork()) == 0:
        try:
            limit_memory(1 << 30)
            np.ones(1 << 29)
        except MemoryError:
            os.write(write, b"limited")
        finally:
            os._exit(0)
    os.close(write)
    assert os.read(read, 10) == b"limited"
    os.waitpid(child, 0)
    os.close(read)
