"""Rounds, verdicts and resumption, with contenders that behave and misbehave."""

from __future__ import annotations

import dataclasses
import os
import sys
from pathlib import Path

import numpy as np
import pytest

from heclstm_lib.bench.cases import CaseSpec
from heclstm_lib.bench.contender import Contender, contender_command, missing_requirements
from heclstm_lib.bench.records import Record
from heclstm_lib.bench.run import Bench, judge, without_folders
from heclstm_lib.bench.suites import Entry, Suite
from heclstm_lib.errors import BenchError, ContenderAbsent

CASE = CaseSpec("lstm_step", rows=2)


def suite(*entries: Entry, **changes: object) -> Suite:
    values = {"repeats": 2, "warmup": 0, "timeout_s": 30.0} | changes
    return Suite("tiny", "A tiny case", "tiny", CASE, entries, **values)  # type: ignore[arg-type]


def entry(mode: str = "ok", label: str = "", **options: object) -> Entry:
    return Entry("fake", label or mode, options={"mode": mode} | options)


@pytest.fixture
def bench(tmp_path: Path, scripts: Path) -> Bench:
    return Bench(tmp_path / "work", tmp_path / "none", scripts)


@pytest.fixture
def log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FAKE_LOG", str(tmp_path / "log"))
    return tmp_path / "log"


def records(bench: Bench) -> dict[str, list[Record]]:
    found: dict[str, list[Record]] = {}
    for record in bench.records.load():
        found.setdefault(record.title, []).append(record)
    return found


def test_a_good_run_is_recorded_whole(bench: Bench) -> None:
    bench.run_suite(suite(Entry("fake", floor=True, options={"key": 3})))
    runs = records(bench)["fake"]
    assert [run.repeat for run in runs] == [0, 1]
    first = runs[0]
    assert (first.status, first.error, first.batch) == ("ok", pytest.approx(1e-6), 2)
    assert first.setup["parameters"]["options"] == {"batch": 2, "key": 3}
    assert first.floor["floor_s"] == 0.4
    assert first.peak_bytes > 1 << 20, "the harness measures memory itself"
    assert len(first.case_digest) == 64 and first.session and first.load >= 0


def test_pinned_to_the_cores_and_threads_of_the_entry(bench: Bench) -> None:
    available = sorted(os.sched_getaffinity(0))
    bench.run_suite(suite(Entry("fake", "one"), Entry("fake", "wide", cores=len(available))))
    shown = {title: runs[0].setup["parameters"] for title, runs in records(bench).items()}
    assert shown["one"]["cores"] == available[-1:] and shown["one"]["omp"] == "1"
    assert shown["wide"]["cores"] == available and shown["wide"]["omp"] == "1"
    assert sorted(os.sched_getaffinity(0)) == available, "the harness itself must not stay pinned"


def test_contenders_take_turns(bench: Bench, log: Path) -> None:
    bench.run_suite(suite(entry(label="a", tag="a"), entry(label="b", tag="b"), warmup=1))
    order = [line for line in log.read_text().splitlines() if line.startswith("run")]
    assert order == ["run a", "run a", "run b", "run b", "run a", "run b"]  # first: warm-up


def test_contenders_that_are_not_resident_start_afresh(bench: Bench, log: Path) -> None:
    bench.run_suite(suite(entry(label="a", tag="a"), resident=False))
    assert log.read_text().split() == ["setup", "run", "a", "quit", "a"] * 2


@pytest.mark.parametrize(
    ("mode", "status", "reason"),
    [
        ("wrong", "wrong", ""),
        ("liar", "wrong", ""),
        ("partial", "partial", "layers only"),
        ("refuse", "skipped", "no such layer"),
        ("error", "failed", "ValueError: odd"),
        ("crash", "failed", "code 3; its last words:\nsegmentation of the fault"),
        ("garbage", "failed", "expected a JSON object"),
    ],
)
def test_what_goes_wrong_is_recorded(bench: Bench, mode: str, status: str, reason: str) -> None:
    bench.run_suite(suite(entry(mode), entry("ok")))
    found = records(bench)
    assert found[mode][0].status == status and reason in found[mode][0].reason
    counted = 2 if status in ("wrong", "partial") else 1
    assert len(found[mode]) == counted, "who failed or was skipped takes no further turn"
    assert [run.status for run in found["ok"]] == ["ok", "ok"], "the others go on"


def test_a_slow_contender_is_ended(bench: Bench) -> None:
    bench.run_suite(suite(entry("hang"), timeout_s=0.3, warmup=0))
    (record,) = records(bench)["hang"]
    assert record.status == "failed" and "no answer after 0.3 s" in record.reason


def test_absent_contenders_are_skipped_with_the_reason(bench: Bench, scripts: Path) -> None:
    (scripts / "other" / "requirements.txt").write_text("# python: 3.10\nno-such-package==1.0\n")
    absent = [Entry("missing"), Entry("other"), Entry("fake", "wide", cores=4096)]
    bench.run_suite(suite(*absent))
    reasons = {title: runs[0].reason for title, runs in records(bench).items()}
    assert {run[0].status for run in records(bench).values()} == {"skipped"}
    assert "no contender 'missing'" in reasons["missing"]
    assert "no-such-package==1.0 not installed here" in reasons["other"]
    assert "make rivals" in reasons["other"]
    assert "4096 cores wanted" in reasons["wide"]


def test_a_stopped_benchmark_goes_on(bench: Bench, log: Path) -> None:
    tiny = suite(entry("crash_second", tag="x"))
    bench.run([tiny], resume=False)
    assert [run.status for run in records(bench)["crash_second"]] == ["ok", "failed"]
    first = records(bench)["crash_second"][0]
    bench.run([tiny], resume=True)
    runs = records(bench)["crash_second"]
    assert [run.status for run in runs] == ["ok", "ok"] and runs[0] == first
    log.unlink()
    bench.run([tiny], resume=True)
    assert not log.exists(), "nothing was left to do"


def test_records_of_another_case_or_option_are_not_resumed(bench: Bench) -> None:
    bench.run([suite(entry("ok", label="a"))], resume=False)
    changed = suite(entry("wrong", label="a"))
    bench.run([changed], resume=True)
    assert {run.status for run in records(bench)["a"]} == {"wrong"}
    other = dataclasses.replace(changed, case=CaseSpec("cnn", rows=2))
    bench.run([other], resume=True)
    assert len({run.case_digest for run in records(bench)["a"]}) == 1


def test_without_resume_an_entry_is_measured_anew(bench: Bench) -> None:
    bench.run([suite(entry("ok", label="a"), repeats=3)], resume=False)
    bench.run([suite(entry("ok", label="a"), repeats=1)], resume=False)
    assert len(records(bench)["a"]) == 1


def test_judge_takes_the_worse_of_both_errors() -> None:
    expected = np.array([[1.0], [2.0], [3.0]])
    good = {"outputs": [[1.0], [2.001]], "max_error": 0.002}
    status, errors = judge(good, expected, 0.01)
    assert status == "ok" and errors == pytest.approx((0.002, 0.0005))
    assert judge(good | {"max_error": 0.0}, expected, 1e-4)[0] == "wrong"
    assert judge(good | {"max_error": None}, expected, 0.01) == ("wrong", None)
    assert judge(good | {"outputs": [[1.0], [float("nan")]]}, expected, 0.01) == ("wrong", None)
    assert judge(good | {"outputs": [[1.0, 2.0]]}, expected, 0.01) == ("wrong", None)
    repeated = {"outputs": [[1.0], [2.0], [3.0], [1.0]], "max_error": 0.0}
    assert judge(repeated, expected, 0.01) == ("ok", (0.0, 0.0))


def test_a_rivals_own_python_is_preferred(tmp_path: Path, scripts: Path) -> None:
    assert contender_command("fake", tmp_path / "none", scripts)[0] == sys.executable
    python = tmp_path / "environments" / "fake" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text("")
    command = contender_command("fake", tmp_path / "environments", scripts)
    assert command == [str(python), str(scripts / "fake" / "rival.py")]
    assert contender_command("ours", tmp_path, scripts)[-1] == "heclstm_lib.bench.ours"
    with pytest.raises(ContenderAbsent, match="no contender 'nobody'"):
        contender_command("nobody", tmp_path, scripts)


def test_requirements_are_held_against_this_environment(tmp_path: Path) -> None:
    path = tmp_path / "requirements.txt"
    path.write_text(f"# python: 3.11\n\nnumpy=={np.__version__}\npandas\nnumpy==0.1  # old\n")
    assert missing_requirements(path) == ["numpy==0.1"]
    assert missing_requirements(tmp_path / "none.txt") == []


def test_a_dead_contender_says_so(tmp_path: Path) -> None:
    process = Contender([sys.executable, "-c", "pass"], [0], 1, tmp_path / "log")
    with pytest.raises(BenchError, match=r"it is gone|ended with code 0"):
        process.ask({"command": "run"}, 20)
        process.ask({"command": "run"}, 20)
    process.close()
    assert process.peak_bytes() == 0


def test_reasons_name_files_but_not_where_a_machine_keeps_them() -> None:
    text = 'File "/some/where/lib/a.py", line 3: 1/2 and ~/x/b.so, see docs/c.md or 3.0/4.0/5'
    assert without_folders(text) == (
        'File "a.py", line 3: 1/2 and b.so, see docs/c.md or 3.0/4.0/5'
    )
