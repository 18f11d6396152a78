"""The whole way over a real socket: register, submit, wait, fetch, decrypt; and what is refused."""

from __future__ import annotations

import os
import signal
import struct
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import httpx
import numpy as np
import psutil
import pyarrow
import pytest
from networks import make_frames
from services import Hospital, make_service

from heclstm_lib.errors import SecretError, ServiceError
from heclstm_lib.he.secret_bundle import write_secret
from heclstm_lib.he.store import load_signature
from heclstm_lib.he.wire import iter_chunks, read_header, write_message
from heclstm_lib.robustness.service_process import ServiceProcess

ask = partial(httpx.request, timeout=60)
"""As patient as the project's own client: a busy machine may take its time over 30 MB."""


def make_request(hospital: Hospital, folder: Path, seed: int = 1) -> Path:
    path = folder / f"{seed}.request"
    hospital.client.encrypt_batch(make_frames(hospital.network, 8, seed), path)
    return path


def assert_right(hospital: Hospital, response: Path, seed: int = 1) -> None:
    wanted = hospital.network.scores(make_frames(hospital.network, 8, seed))
    assert np.abs(hospital.client.decrypt_scores(response) - wanted).max() < 1e-3


def bearer(service: ServiceProcess, name: str = "st-mary") -> dict[str, str]:
    return {"Authorization": f"Bearer {service.tokens[name]}"}


def problem(answer: httpx.Response) -> tuple[int, str, str]:
    error = answer.json()["error"]
    return answer.status_code, error["code"], error["message"]


def test_scores_over_http(service: ServiceProcess, hospital: Hospital, tmp_path: Path) -> None:
    sent: list[tuple[int, int]] = []
    done: list[tuple[int, int]] = []
    with service.connect("st-mary") as client:
        client.fetch_signature(tmp_path / "signature.json")
        assert load_signature(tmp_path / "signature.json") == hospital.plan.signature
        digest = client.register_bundle(hospital.bundle, lambda *now: sent.append(now))
        assert client.register_bundle(hospital.bundle) == digest  # a replay changes nothing
        size = hospital.bundle.stat().st_size
        assert sent[-1] == (size, size)
        request = make_request(hospital, tmp_path)
        job = client.submit(request)
        record = client.wait(job, lambda *now: done.append(now))
        assert (record["state"], record["sequences"], record["bundle"]) == ("done", 8, digest)
        assert done[-1] == (len(hospital.plan.ops),) * 2
        response = tmp_path / "a.response"
        assert client.fetch_result(job, response) == response.stat().st_size
        assert_right(hospital, response)
        assert client.submit(request) == job  # known again: nothing is computed twice
        assert client.job(job)["ended"] == record["ended"]
        client.delete_job(job)
        with pytest.raises(ServiceError, match=r"404: no such job.*may have been deleted"):
            client.job(job)


def test_one_hospital_sees_nothing_of_another(
    service: ServiceProcess, hospital: Hospital, tmp_path: Path
) -> None:
    with service.connect("st-mary") as mary, service.connect("st-john") as john:
        digest = mary.register_bundle(hospital.bundle)
        job = mary.submit(make_request(hospital, tmp_path, 2))
        mary.wait(job)
        for call in (
            lambda: john.job(job),
            lambda: john.fetch_result(job, tmp_path / "stolen"),
            lambda: john.delete_job(job),
            lambda: john.delete_bundle(digest),
            lambda: john.submit(tmp_path / "2.request", digest),
        ):
            with pytest.raises(ServiceError, match="404: no such"):
                call()
        assert not (tmp_path / "stolen").exists()
        for kind in ("jobs", "bundles"):
            assert (
                ask("GET", f"{service.url}/v1/{kind}", headers=bearer(service, "st-john")).json()
                == []
            )
        found = ask("GET", f"{service.url}/v1/jobs", headers=bearer(service)).json()
        assert [one["name"] for one in found] == [job]
        mary.delete_bundle(digest)  # takes its jobs along
        with pytest.raises(ServiceError, match="404: no such job"):
            mary.job(job)


@pytest.mark.parametrize("header", [{}, {"Authorization": "Bearer wrong"}, {"Authorization": "x"}])
def test_without_token_nothing_but_health(service: ServiceProcess, header: dict[str, str]) -> None:
    for method, path in (
        ("GET", "plan"), ("GET", "jobs"), ("POST", "bundles"), ("GET", "bundles/x"),
        ("POST", "bundles/x/sequences"), ("GET", "jobs/x/result"), ("DELETE", "jobs/x"),
    ):  # fmt: skip
        answer = ask(method, f"{service.url}/v1/{path}", headers=header)
        status, code, message = problem(answer)
        assert (status, code) == (401, "unauthorised"), path
        assert "the token is missing or unknown. Send the header" in message
        assert answer.headers["www-authenticate"] == "Bearer"
    assert ask("GET", f"{service.url}/v1/health").json()["status"] == "ok"


def test_no_other_address_or_method(service: ServiceProcess) -> None:
    for method, path, status in (("GET", "x", 404), ("PUT", "bundles", 405), ("GET", "../..", 404)):
        answer = ask(method, f"{service.url}/v1/{path}", headers=bearer(service))
        assert problem(answer)[::2] == (status, "no such address or method; see docs/service.md.")


def post(service: ServiceProcess, content: object, path: str = "bundles") -> tuple[int, str, str]:
    url = f"{service.url}/v1/{path}"
    return problem(ask("POST", url, content=content, headers=bearer(service)))


def test_bodies_of_impossible_size(service: ServiceProcess, hospital: Hospital) -> None:
    status, code, message = post(service, b"short")
    assert (status, code) == (422, "too_small")
    assert "the body has 5 bytes, expected" in message
    assert "It was cut, or is another file" in message
    size = 3 * hospital.bundle.stat().st_size
    for announced in (True, False):
        blocks = (bytes(1 << 20) for _ in range(size >> 20))
        status, code, message = post(service, bytes(size) if announced else blocks)
        assert (status, code) == (413, "too_large")
        assert (
            "are possible for this plan. Send the file made from this plan's signature" in message
        )
    assert list((service.state / "uploads").iterdir()) == []


def test_damaged_and_foreign_bodies(
    service: ServiceProcess, hospital: Hospital, tmp_path: Path
) -> None:
    data = hospital.bundle.read_bytes()
    assert "checksum does not match" in post(service, data[:-7])[2]
    for begin in (os.urandom(12), b"not ours" + struct.pack("<I", len(data) // 2)):
        assert "no HE-CLSTM message" in post(service, begin + os.urandom(len(data) - 12))[2]
    header = read_header(hospital.bundle, "public", hospital.plan.digest, header_chunks(hospital))
    write_message(tmp_path / "other", header | {"plan": "x"}, iter_chunks(hospital.bundle))
    status, code, message = post(service, (tmp_path / "other").read_bytes())
    assert (status, code) == (422, "not_acceptable")
    assert f"plan is 'x', expected '{hospital.plan.digest}'" in message


def header_chunks(hospital: Hospital) -> int:
    return 2 + len(hospital.plan.rotations)


def test_a_secret_bundle_is_not_even_stored(
    service: ServiceProcess, hospital: Hospital, tmp_path: Path
) -> None:
    secret = tmp_path / "secret.bundle"
    write_secret(hospital.client._keys, secret)
    with service.connect("st-mary") as client:
        with pytest.raises(SecretError, match="is a secret bundle"):
            client.register_bundle(secret)  # does not even leave
        with pytest.raises(SecretError, match="is a secret bundle"):
            client.submit(secret)
    padded = secret.read_bytes().ljust(hospital.bundle.stat().st_size, b"x")
    status, code, message = post(service, padded)
    assert (status, code) == (422, "secret_refused")
    assert "this is a secret bundle; it was not stored" in message


@pytest.mark.parametrize("chunk", [0, 1, 2])
def test_seal_refuses_in_the_worker(
    service: ServiceProcess, hospital: Hospital, tmp_path: Path, chunk: int
) -> None:
    chunks = list(iter_chunks(hospital.bundle))
    chunks[chunk] = with_impossible_residue(chunks[chunk])
    header = read_header(hospital.bundle, "public", hospital.plan.digest, header_chunks(hospital))
    write_message(tmp_path / "damaged", header, chunks)
    with (
        service.connect("st-mary") as client,
        pytest.raises(
            ServiceError, match=r"damaged was refused: .* bytes are no .*Keys? for N=8192"
        ),
    ):
        client.register_bundle(tmp_path / "damaged")
    delete_all(service)


def with_impossible_residue(data: bytes) -> bytes:
    """A SEAL object in which one residue is larger than any prime."""
    source = pyarrow.BufferReader(data[16:])
    content = bytearray(pyarrow.input_stream(source, compression="zstd").read())
    place = 3 * len(content) // 8  # among the residues; a seed between two keys may be any bytes
    content[place : place + 16] = b"\xff" * 16
    packed = bytes(pyarrow.Codec("zstd").compress(bytes(content), asbytes=True))
    return data[:8] + struct.pack("<Q", 16 + len(packed)) + packed


def delete_all(service: ServiceProcess) -> None:
    for one in ask("GET", f"{service.url}/v1/bundles", headers=bearer(service)).json():
        ask("DELETE", f"{service.url}/v1/bundles/{one['name']}", headers=bearer(service))


def test_a_body_that_stands_still(hospital: Hospital, tmp_path: Path) -> None:
    def slow():
        yield b"HECLSTM2"
        time.sleep(6)
        yield b"more"

    service = make_service(hospital, tmp_path, idle_s=1)
    service.start()
    try:
        status, code, message = post(service, slow())
        assert (status, code) == (408, "too_slow")
        assert "stood still for 1 s, or came with less than" in message
        assert list((service.state / "uploads").iterdir()) == []
    finally:
        service.stop()


def test_too_many_bundles(service: ServiceProcess, hospital: Hospital, tmp_path: Path) -> None:
    header = read_header(hospital.bundle, "public", hospital.plan.digest, header_chunks(hospital))
    for number in range(4):
        write_message(tmp_path / "b", header | {"n": number}, iter_chunks(hospital.bundle))
        answer = ask(
            "POST",
            f"{service.url}/v1/bundles",
            content=(tmp_path / "b").read_bytes(),
            headers=bearer(service),
        )
        assert answer.status_code == 202
    status, code, message = post(service, hospital.bundle.read_bytes())
    assert (status, code) == (429, "too_many_bundles")
    assert "you have 4 bundles here, no more are kept. Delete one" in message
    delete_all(service)


def test_nothing_secret_in_the_log_or_the_process(service: ServiceProcess) -> None:
    assert all(token not in service.log for token in service.tokens.values())
    assert "Traceback" not in service.log
    state = "".join(p.read_text() for p in service.state.rglob("*.json"))
    assert all(token not in state for token in service.tokens.values())


def test_the_service_never_loads_the_secret_type() -> None:
    modules = ("__main__", "worker", "app", "client")
    code = (
        f"import sys, importlib; [importlib.import_module('heclstm_lib.service.' + n) "
        f"for n in {modules}]; secret = ('keys', 'client', 'secret_bundle', 'sandbox', 'sent'); "
        "print([n for n in secret if f'heclstm_lib.he.{n}' in sys.modules] "
        "+ [n for n in ('torch', 'pandas') if n in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.stdout.strip(), done.returncode) == ("[]", 0), done.stderr


def test_jobs_survive_kills_of_worker_and_service(hospital: Hospital, tmp_path: Path) -> None:
    folder = tmp_path / "service"
    folder.mkdir()
    service = make_service(hospital, folder)
    service.start()
    with service.connect("st-mary") as client:
        digest = client.register_bundle(hospital.bundle)
        jobs = [client.submit(make_request(hospital, tmp_path, seed)) for seed in (1, 2, 3)]
    worker, *_ = psutil.Process(service.pid).children()
    worker.kill()
    time.sleep(0.3)
    service.stop(signal.SIGKILL)
    assert psutil.wait_procs([worker], timeout=30)[1] == []
    (service.state / "uploads" / "half").mkdir(parents=True)
    service.start()
    assert list((service.state / "uploads").glob("half")) == []
    with service.connect("st-mary") as client:
        for seed, job in zip((1, 2, 3), jobs, strict=True):
            client.wait(job)
            client.fetch_result(job, tmp_path / "response")
            assert_right(hospital, tmp_path / "response", seed)
        assert client.register_bundle(hospital.bundle) == digest
    assert service.stop() in (0, -signal.SIGTERM)
    assert "Traceback" not in service.log
