"""Clumsy and hostile clients of the HTTP service, then fifty at once, with an eye on its memory.

Each attack must end in the refusal it should get, and the service must go on; a ciphertext of
another key cannot be refused, since nobody can tell without the secret key: there the client must
notice noise. Forged content that SEAL finds valid only spoils its sender's own result.
"""

from __future__ import annotations

import threading
import time
import warnings
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import numpy as np
import psutil

from heclstm_lib.errors import HeclstmError, ImplausibleWarning, ServiceError
from heclstm_lib.he.client import Client
from heclstm_lib.he.packing import Vector
from heclstm_lib.he.store import load_plan
from heclstm_lib.robustness import client_attacks as attacks
from heclstm_lib.robustness.client_attacks import Random
from heclstm_lib.robustness.client_target import Answer, Target
from heclstm_lib.robustness.memory_watch import MemoryWatch
from heclstm_lib.robustness.outcome import Outcome
from heclstm_lib.robustness.service_process import ServiceProcess
from heclstm_lib.robustness.small_case import SmallCase, make_small_case, small_network

Judge = Callable[[Answer], bool]

AT_ONCE = 50
STRANGERS = 3
HOSPITALS = [f"hospital-{number}" for number in range(10)]
SERVICE_BYTES, WORKER_MB = 300 << 20, 768
HANG_S = 120.0
OPTIONS = {"idle-s": attacks.IDLE_S, "memory-mb": WORKER_MB, "queue": 30, "uploads": 6}


def _refused(*expected: tuple[int, str]) -> Judge:
    """Whether an answer is one of these: status and a word of the message."""
    return lambda answer: any(answer[0] == s and word in answer[1] for s, word in expected)


_JOB_FAILED = (200, "failed ")
ATTACKS: dict[str, tuple[Callable[[Target, Random], Answer], Judge]] = {
    "wrong token": (attacks.no_token, _refused((401, "unauthorised"))),
    "another's job or bundle": (attacks.of_another, _refused((404, "unknown"))),
    "unknown bundle": (attacks.unknown, _refused((404, "unknown"))),
    "cut request": (attacks.cut, _refused((422, "too_small"), (422, "not_acceptable"))),
    "garbage": (attacks.garbage, _refused((422, "not_acceptable"))),
    "bit flip on the way": (attacks.bit_flip, _refused((422, "not_acceptable"))),
    "oversize body": (attacks.oversize, _refused((413, "too_large"))),
    "slow body": (attacks.slow, _refused((408, "too_slow"))),
    "wrong level": (attacks.wrong_level, _refused((200, "failed input 0: level"))),
    "wrong scale": (attacks.wrong_scale, _refused((200, "failed input 0: level"))),
    "wrong parameters": (attacks.wrong_parameters, _refused(_JOB_FAILED)),
    "another plan": (attacks.another_plan, _refused((422, "plan is"))),
    "strange header": (attacks.strange_header, _refused((422, "not_acceptable"))),
    "decompression bomb": (attacks.bomb, _refused((200, "failed Ciphertext: inflates to more"))),
    "damaged ciphertext": (attacks.damaged_ciphertext, _refused(_JOB_FAILED, (200, "done"))),
    "secret bundle": (attacks.secret_bundle, _refused((422, "secret_refused"))),
    "replay": (attacks.replay, _refused((200, "done"))),
    "no HTTP": (attacks.no_http, _refused((400, ""))),
}


@dataclass
class _Tally:
    """What was found so far, by attack."""

    tried: Counter[str] = field(default_factory=Counter)
    detected: int = 0
    wrong: list[str] = field(default_factory=list)
    hung: int = 0
    crashed: int = 0

    def note(self, name: str, good: bool, detail: str = "") -> None:
        self.tried[name] += 1
        self.detected += good
        if not good:
            self.wrong.append(f"{name}: {detail[:200]}")


def run(count: int, seed: int, workdir: Path, at_once: int = AT_ONCE) -> Outcome:
    """Try `count` attacks in turn, a stranger's ciphertexts, and many clients at once."""
    begin, tally = time.perf_counter(), _Tally()
    case = make_small_case(workdir / "case", requests=1, seed=seed)
    service = ServiceProcess(case.plan, workdir / "service", HOSPITALS, OPTIONS)
    service.start()
    try:
        process = psutil.Process(service.pid)
        with MemoryWatch(service=lambda: [process], worker=process.children) as memory:
            target = _prepare(service, case, seed, workdir, at_once)
            names = list(ATTACKS)
            for number in range(count):
                _attack(names[number % len(names)], target, seed, number, service, tally)
            _strangers(target, service, tally)
            correct, refused = _many_at_once(target, service, tally, at_once)
            tally.note("right scores afterwards", _is_right(target, service, HOSPITALS[0]))
    finally:
        code = service.stop()
    tally.crashed += code not in (0, -15)
    own, worker = memory.peaks["service"], memory.peaks["worker"]
    within = own <= SERVICE_BYTES and worker <= WORKER_MB << 20
    tally.note("memory within its limit", within, f"{own} {worker}")
    tally.note("no token in the log", not any(t in service.log for t in service.tokens.values()))
    detail = (
        f"{len(tally.tried)} kinds of test; {at_once} at once: {correct} correct, {refused} "
        f"refused clearly; peak memory: service {own >> 20} MB (limit "
        f"{SERVICE_BYTES >> 20}), worker {worker >> 20} MB (limit {WORKER_MB})"
    )
    return Outcome(
        "adversarial clients", tally.tried.total(), tally.detected, len(tally.wrong),
        tally.crashed, tally.hung, time.perf_counter() - begin,
        "; ".join([detail, *tally.wrong[:10]]),
    )  # fmt: skip


def _prepare(
    service: ServiceProcess, case: SmallCase, seed: int, workdir: Path, at_once: int
) -> Target:
    """A hospital with a registered bundle and one request that is done."""
    plan, request = load_plan(case.plan), workdir / "good.request"
    frames = np.random.default_rng([seed, 2]).normal(
        size=(plan.layout.sequences, plan.inputs.frames, *plan.inputs.shape)
    )
    case.client.encrypt_batch(frames, request)
    for name in _crowd(at_once):
        with service.connect(name) as link:
            link.register_bundle(case.bundle)
    with service.connect(HOSPITALS[0]) as link:
        bundle = link.register_bundle(case.bundle)
        job = link.submit(request)
        link.wait(job)
    tokens = service.tokens
    return Target(
        service.url, tokens[HOSPITALS[0]], tokens[HOSPITALS[1]], plan, case.client, bundle, request,
        frames, job, seed, workdir,
    )  # fmt: skip


def _attack(
    name: str, target: Target, seed: int, number: int, service: ServiceProcess, tally: _Tally
) -> None:
    attack, judge = ATTACKS[name]
    begin = time.monotonic()
    try:
        answer = attack(target, np.random.default_rng([seed, 3, number]))
    except httpx.TimeoutException:
        tally.hung += 1
        answer = (0, "no answer in time")
    except (httpx.TransportError, ConnectionError) as error:
        answer = (400, repr(error)) if name == "no HTTP" else (0, repr(error))
    tally.hung += time.monotonic() - begin > HANG_S
    tally.note(name, judge(answer), str(answer))
    tally.crashed += not service.is_healthy()


def _strangers(target: Target, service: ServiceProcess, tally: _Tally) -> None:
    """Ciphertexts of another key: evaluated, and the noise noticed by whoever decrypts."""
    stranger = Client(target.plan.signature)
    request, response = target.workdir / "strange.request", target.workdir / "strange.response"
    noticed = 0
    for _ in range(STRANGERS):
        stranger.encrypt_batch(target.frames, request)
        with service.connect(HOSPITALS[0]) as link:
            job = link.submit(request, target.bundle)
            link.wait(job)
            link.fetch_result(job, response)
            link.delete_job(job)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            scores = target.client.decrypt_outputs(response)[:, 0]
        noise = not np.allclose(scores, _expected(target, target.frames), atol=1.0)
        noticed += noise and any(one.category is ImplausibleWarning for one in caught)
    tally.note("ciphertexts of another key", noticed >= STRANGERS - 1, f"{noticed} noticed")


def _expected(target: Target, frames: Vector) -> Vector:
    return np.asarray(small_network(target.seed).scores(frames))


def _is_right(target: Target, service: ServiceProcess, name: str, patience_s: float = 60) -> bool:
    """Whether a new request of a hospital comes back with the right scores."""
    own = target.workdir / f"{threading.get_ident()}.request"
    frames = np.random.default_rng().normal(size=target.frames.shape)
    target.client.encrypt_batch(frames, own)
    try:
        with service.connect(name, patience_s) as link:
            job = link.submit(own, target.bundle)
            link.wait(job)
            link.fetch_result(job, own.with_suffix(".response"))
            link.delete_job(job)
        scores = target.client.decrypt_outputs(own.with_suffix(".response"))[:, 0]
    finally:
        own.unlink()
    return bool(np.abs(scores - _expected(target, frames)).max() < 1e-3)


def _crowd(at_once: int) -> list[str]:
    """The hospitals that come at once, each with about six clients."""
    return HOSPITALS[2 : 2 + max(1, min(at_once // 6, len(HOSPITALS) - 2))]


def _many_at_once(
    target: Target, service: ServiceProcess, tally: _Tally, at_once: int
) -> tuple[int, int]:
    """Clients of several hospitals, a third of them impatient; how many right and refused."""
    start, crowd = threading.Barrier(at_once), _crowd(at_once)
    found: Counter[str] = Counter()

    def one(number: int) -> tuple[str, str]:
        patience_s = 0.0 if number % 3 == 0 else 120.0
        start.wait()
        try:
            right = _is_right(target, service, crowd[number % len(crowd)], patience_s)
        except ServiceError as error:
            clear = error.status in (429, 503) and patience_s == 0
            return ("refused" if clear else "wrong"), str(error)
        except (HeclstmError, httpx.HTTPError, OSError) as error:
            return "wrong", repr(error)
        return ("right" if right else "wrong"), "wrong scores"

    with ThreadPoolExecutor(at_once) as threads:
        for result, detail in threads.map(one, range(at_once)):
            found[result] += 1
            tally.note("many at once", result != "wrong", detail)
    tally.crashed += not service.is_healthy()
    return found["right"], found["refused"]
