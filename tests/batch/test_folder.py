"""What is refused before a batch begins, claims, and workers whose parent is gone."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from heclstm_lib.batch import folder
from heclstm_lib.batch.__main__ import main
from heclstm_lib.batch.claims import claim, claim_path
from heclstm_lib.batch.folder import Job, find_jobs, settle_folder
from heclstm_lib.errors import BatchError, PlanError, SecretError
from heclstm_lib.he.store import load_plan
from heclstm_lib.robustness import disk, kills
from heclstm_lib.robustness.batch_process import BatchProcess
from heclstm_lib.robustness.response_folder import digests, hidden_files
from heclstm_lib.robustness.small_case import SmallCase


def find(case: SmallCase, responses: Path) -> list[Job]:
    return find_jobs(case.plan, case.bundle, case.requests, responses, 60)


def test_what_is_missing_is_named(case: SmallCase, tmp_path: Path) -> None:
    with pytest.raises(BatchError, match=r"no-bundle: no such public bundle; register the client"):
        find_jobs(case.plan, tmp_path / "no-bundle", case.requests, tmp_path / "out", 60)
    with pytest.raises(BatchError, match=r"nowhere: no file \*\.request there\. Is this the"):
        find_jobs(case.plan, case.bundle, tmp_path / "nowhere", tmp_path / "out", 60)
    (tmp_path / "secret").write_bytes(b"HECLSEC1 and more")
    with pytest.raises(SecretError, match="is a secret bundle; a server needs the public bundle"):
        find_jobs(case.plan, tmp_path / "secret", case.requests, tmp_path / "out", 60)
    (tmp_path / "file").touch()
    with pytest.raises(BatchError, match=r"file: no responses can be written there \(File exists"):
        find(case, tmp_path / "file")


def test_responses_of_another_plan_or_bundle_stay(case: SmallCase, tmp_path: Path) -> None:
    assert len(find(case, tmp_path / "out")) == 4
    assert len(find(case, tmp_path / "out")) == 4
    digest = load_plan(case.plan).digest
    wrong = rf"another bundle \(\w{{12}}; this batch has {'f' * 12}\)\. Choose another folder"
    with pytest.raises(BatchError, match=wrong):
        settle_folder(tmp_path / "out", digest, "f" * 64)
    with pytest.raises(BatchError, match="the responses of another plan and bundle"):
        settle_folder(tmp_path / "out", "e" * 64, "f" * 64)
    for text in ("", "[1]", "{}"):
        (tmp_path / "out" / folder.IDENTITY).write_text(text)
        with pytest.raises(BatchError, match=r"batch\.json does not say which plan and bundle"):
            find(case, tmp_path / "out")


def test_a_plan_with_refreshes_is_refused(
    case: SmallCase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Refreshing:
        refreshes = (1, 2)

    monkeypatch.setattr(folder, "load_plan", lambda _path: Refreshing())
    with pytest.raises(PlanError, match=r"re-encrypt its state 2 time\(s\).*Plan without refresh"):
        find(case, tmp_path / "out")


def test_a_claim_excludes_others_and_falls_with_its_holder(tmp_path: Path) -> None:
    target = tmp_path / "00.response"
    with claim(target) as first, claim(target) as second:
        assert (first, second) == (True, False)
        assert claim_path(target).exists()
    assert not claim_path(target).exists()
    code = (
        "import os, sys; from pathlib import Path; from heclstm_lib.batch.claims import claim\n"
        "with claim(Path(sys.argv[1])) as held: os.kill(os.getpid(), 9)"
    )
    assert subprocess.run([sys.executable, "-c", code, str(target)]).returncode == -9
    assert claim_path(target).read_text().startswith("process ")
    with claim(target) as held:
        assert held


def test_two_evaluations_in_one_folder_share_the_work(case: SmallCase, tmp_path: Path) -> None:
    both = [BatchProcess(case, tmp_path / "out") for _ in range(2)]
    ends = [process.finish() for process in both]
    assert [code for code, _ in ends] == [0, 0], ends
    evaluated = [re.findall(r"^(\d\d): evaluated", text, re.M) for _, text in ends]
    assert sorted(evaluated[0] + evaluated[1]) == ["00", "01", "02", "03"]


def test_leftovers_are_a_response_s_own(tmp_path: Path) -> None:
    for name in (".batch[12].response.abc", ".batch1.response.abc", "batch[12].response"):
        (tmp_path / name).touch()
    folder.remove_leftovers(tmp_path / "batch[12].response")
    left = sorted(path.name for path in tmp_path.iterdir())
    assert left == [".batch1.response.abc", "batch[12].response"]


def test_the_module_as_a_command(
    case: SmallCase, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch
) -> None:
    arguments = [case.plan, case.bundle, tmp_path / "nowhere", tmp_path / "out"]
    monkeypatch.setattr(sys, "argv", ["batch", *map(str, arguments)])
    assert main() == 2
    assert "batch: " in capsys.readouterr().err


def test_workers_end_with_their_parent_and_the_batch_is_taken_up(
    case: SmallCase, tmp_path: Path
) -> None:
    out, scratch = tmp_path / "out", tmp_path / "scratch"
    process = BatchProcess(case, out, scratch=scratch)
    while process.running() and not digests(out):
        time.sleep(0.001)
    first = digests(out)
    assert process.kill_parent(), "a worker is still there"
    assert set(first) < {f"{name}.response" for name in case.names}
    code, text = BatchProcess(case, out, scratch=scratch).finish()
    assert code == 0, text
    assert sorted(digests(out)) == [f"{name}.response" for name in case.names]
    assert first.items() <= digests(out).items()
    assert not list(scratch.iterdir())
    assert not hidden_files(out)


@pytest.mark.slow
def test_kills(tmp_path: Path) -> None:
    """A few of them; the long campaign is in reports/robustness."""
    found = kills.run(8, 2, tmp_path)
    assert (found.tried, found.detected) == (8, 8), found
    assert (found.wrong, found.crashed, found.hung) == (0, 0, 0), found
    assert "; 0 temporary files left at the end" in found.detail


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="tmpfs and capabilities are Linux's")
def test_disk_and_permission_faults(tmp_path: Path) -> None:
    found = disk.run(len(disk.KINDS), 1, tmp_path)
    assert found.detected == found.tried == len(disk.KINDS), found
    assert (found.wrong, found.crashed, found.hung) == (0, 0, 0), found
