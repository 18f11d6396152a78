"""A folder of requests becomes a folder of responses, whatever ends or fails in the middle."""

from __future__ import annotations

import errno
import shutil
from collections.abc import Callable
from concurrent.futures import Executor
from pathlib import Path

import numpy as np
import pytest
from faulty import BAD, Inline, Replacing, die_in_evaluation, die_once, hang, mark_of

from heclstm_lib.batch import task
from heclstm_lib.batch.claims import claim, claim_path
from heclstm_lib.batch.folder import find_jobs
from heclstm_lib.batch.report import BatchReport
from heclstm_lib.batch.run import evaluate_folder
from heclstm_lib.batch.workers import make_executor
from heclstm_lib.he.server import Server
from heclstm_lib.robustness.response_folder import digests, hidden_files
from heclstm_lib.robustness.small_case import SmallCase, make_small_case

NAMES = ("00", "01", "02", "03")
GOOD = ("00", "02", "03")


def evaluate(case: SmallCase, out: Path, executor: Executor, **options: object) -> BatchReport:
    return evaluate_folder(case.plan, case.bundle, case.requests, out, executor, **options)


def evaluate_with(
    fault: Callable[..., task.Result], case: SmallCase, out: Path, **options: object
) -> BatchReport:
    """On two real workers, with what goes wrong in them."""

    def make() -> Executor:
        return Replacing(make_executor(2), fault)

    with make() as executor:
        return evaluate(case, out, executor, renew=make, in_flight=2, **options)


@pytest.fixture(scope="module")
def right(made: SmallCase, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Digests of all responses."""
    out = tmp_path_factory.mktemp("right")
    assert evaluate(made, out, Inline()).exit_code == 0
    return digests(out)


def test_all_are_evaluated_once_and_alike_in_every_process(
    case: SmallCase, tmp_path: Path, right: dict[str, str]
) -> None:
    out, seen = tmp_path / "out", []
    with make_executor(2) as executor:
        report = evaluate(case, out, executor, in_flight=2, on_result=seen.append)
    assert (report.evaluated, report.finished, report.failed) == (NAMES, (), ())
    assert sorted(result.name for result in seen) == list(NAMES)
    assert digests(out) == right
    assert not hidden_files(out)
    assert np.isfinite(case.client.decrypt_scores(out / "00.response")).all()
    again = Inline()
    report = evaluate(case, out, again)
    assert (report.finished, again.tasks, report.exit_code) == (NAMES, [], 0)
    assert "4 requests: 0 evaluated, 4 finished before or elsewhere, 0 failed" in report.text()


def test_what_is_damaged_or_answers_another_request_is_made_again(
    case: SmallCase, tmp_path: Path, right: dict[str, str]
) -> None:
    out, requests = tmp_path / "out", case.requests
    evaluate(case, out, Inline())
    data = (out / "00.response").read_bytes()
    (out / "00.response").write_bytes(data[:-40] + bytes([data[-40] ^ 1]) + data[-39:])
    shutil.copy(requests / "02.request", requests / "01.request")
    (out / ".03.response.abc").touch()
    (out / "03.response").unlink()
    executor = Inline()
    assert evaluate(case, out, executor).evaluated == ("00", "01", "03")
    found = digests(out)
    assert found["00.response"] == right["00.response"]
    assert found["01.response"] == found["02.response"] == right["02.response"]
    assert not hidden_files(out)


def test_a_damaged_request_among_good_ones(case: SmallCase, tmp_path: Path) -> None:
    bad = case.requests / f"{BAD}.request"
    bad.write_bytes(bad.read_bytes()[:-50])
    (case.requests / "04.request").write_bytes(b"short")
    report = evaluate(case, tmp_path / "out", Inline())
    assert (report.evaluated, report.exit_code) == (GOOD, 3)
    assert [one.name for one in report.failed] == [BAD, "04"]
    assert "checksum does not match; the file was damaged or cut" in report.failed[0].reason
    assert "\nfailed: 01: 01.request: checksum does not match" in report.text()


def test_a_request_that_kills_its_worker_is_found_out(
    case: SmallCase, tmp_path: Path, right: dict[str, str]
) -> None:
    out = tmp_path / "out"
    report = evaluate_with(die_in_evaluation, case, out)
    # The worker beside it may be lost between its response and its word of it: found finished.
    assert sorted(report.evaluated + report.finished) == list(GOOD)
    assert len(report.finished) <= 1
    assert [one.name for one in report.failed] == [BAD]
    assert "the worker process ended while evaluating it" in report.failed[0].reason
    assert not hidden_files(out)
    assert evaluate(case, out, Inline()).evaluated == (BAD,)
    assert digests(out) == right


def test_a_worker_lost_once_costs_nothing(
    case: SmallCase, tmp_path: Path, right: dict[str, str]
) -> None:
    report = evaluate_with(die_once, case, tmp_path / "out")
    mark_of(find_jobs(case.plan, case.bundle, case.requests, tmp_path / "out", 1)[0]).unlink()
    assert sorted(report.evaluated + report.finished) == list(NAMES)  # as above
    assert len(report.finished) <= 1
    assert report.exit_code == 0
    assert digests(tmp_path / "out") == right


def test_a_worker_that_hangs_is_ended(case: SmallCase, tmp_path: Path) -> None:
    report = evaluate_with(hang, case, tmp_path / "out", patience_s=20, tries=1)
    assert report.evaluated == GOOD
    assert "was ended after 20 s" in report.failed[0].reason


def test_without_another_executor_the_rest_is_listed(case: SmallCase, tmp_path: Path) -> None:
    with Replacing(make_executor(1), die_in_evaluation) as executor:
        report = evaluate(case, tmp_path / "out", executor)
    assert report.evaluated == ("00",)
    assert {one.name for one in report.failed} == {"01", "02", "03"}
    assert "not tried: a worker ended or ran out of memory, and" in report.failed[1].reason


@pytest.mark.parametrize("megabytes", [200, 320])
def test_too_little_memory_for_the_keys(case: SmallCase, tmp_path: Path, megabytes: int) -> None:
    def make() -> Executor:
        return make_executor(1, megabytes << 20)

    with make() as executor:
        report = evaluate(case, tmp_path / "out", executor, renew=make, patience_s=3)
    assert [one.name for one in report.failed] == list(NAMES)
    reasons = " ".join(one.reason for one in report.failed)
    assert "memory" in report.failed[0].reason
    assert reasons.count("not tried: ") == 3


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (MemoryError(), "out of memory. Use fewer workers, a larger limit, or a smaller plan."),
        (OSError(errno.ENOSPC, "No space left on device"), "No space left on device. Free some"),
        (OSError("odd"), "odd. Free some space or get the permission, then run again."),
        (KeyError("what"), "KeyError: 'what'"),
    ],
)
def test_an_error_in_one_request_is_listed_with_what_to_do(
    case: SmallCase,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    error: Exception,
    reason: str,
) -> None:
    evaluate_one = Server.evaluate

    def fail(self: Server, request: Path, response: Path) -> int:
        if request.stem == BAD:
            raise error
        return evaluate_one(self, request, response)

    monkeypatch.setattr(Server, "evaluate", fail)
    executor = Inline()
    report = evaluate(case, tmp_path / "out", executor)
    assert report.evaluated == GOOD
    assert report.failed[0].reason.startswith(reason)
    assert executor.tasks.count(BAD) == (1 if isinstance(error, KeyError) else 2)


def test_a_full_disk_is_seen_before_the_work(
    case: SmallCase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: usage._replace(free=50_000))
    monkeypatch.setattr(Server, "evaluate", lambda *_: pytest.fail("nothing is to be computed"))
    report = evaluate(case, tmp_path / "out", Inline())
    assert {one.reason.split(".")[0] for one in report.failed} == {"No space left on device"}


def test_a_request_that_another_evaluation_has_claimed_is_waited_for(
    case: SmallCase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    evaluate(case, out, Inline())
    data = (out / "00.response").read_bytes()
    (out / "00.response").unlink()
    looks = []

    def other_finishes(_seconds: float) -> None:
        looks.append(claim_path(out / "00.response").read_text().split()[0])
        (out / "00.response").write_bytes(data)
        held.__exit__(None, None, None)

    held = claim(out / "00.response")
    assert held.__enter__()
    monkeypatch.setattr("heclstm_lib.batch.run.time.sleep", other_finishes)
    report = evaluate(case, out, Inline())
    assert (looks, report.finished, report.evaluated) == (["process"], NAMES, ())


def test_keys_that_cannot_be_loaded_stop_all(case: SmallCase, tmp_path: Path) -> None:
    other = make_small_case(tmp_path / "other", requests=1, seed=5)
    report = evaluate_folder(
        case.plan, other.bundle, case.requests, tmp_path / "out", Inline()
    )  # fmt: skip
    assert report.exit_code == 3
    assert "public.bundle: plan is" in report.failed[0].reason
    assert report.failed[1].reason.startswith("not tried: public.bundle: plan is")
