"""Disks that fill up, files that may grow no further, folders and files that may not be touched.

Each fault is put under a batch, which must name it and finish what it can with the right exit code;
then the fault is taken away, and the batch must come to the very responses of an undisturbed one.
"""

from __future__ import annotations

import ctypes
import resource
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from heclstm_lib.robustness.batch_process import BatchProcess
from heclstm_lib.robustness.outcome import Outcome
from heclstm_lib.robustness.response_folder import ResponseFolder, digests
from heclstm_lib.robustness.small_case import SmallCase, make_small_case

REQUESTS = 6
NO_SPACE = ("No space left", "takes no more")
TOO_LARGE = ("File too large", "takes no more")
DENIED = ("Permission denied", "cannot be read")

_PR_CAPBSET_DROP, _CAP_DAC_OVERRIDE, _CAP_DAC_READ_SEARCH = 24, 1, 2


@dataclass(frozen=True)
class _Trial:
    """One fault: where it is put, and what the batch must do."""

    responses: Path
    exit_code: int
    reasons: tuple[str, ...]
    scratch: Path | None = None
    before: Callable[[], None] | None = None
    lost: int | None = None

    def is_met(self, code: int | None, text: str) -> bool:
        """Whether the exit code is right, a reason given, and no request failed that need not."""
        failed = text.count("\nfailed: ")
        fine = failed == self.lost if self.lost is not None else code == 2 or failed > 0
        return fine and code == self.exit_code and any(reason in text for reason in self.reasons)


def run(count: int, seed: int, workdir: Path) -> Outcome:
    """Put `count` faults of disk and permissions under batches; needs Linux.

    Full disks are small file systems in memory, which only root may mount; without them `count`
    faults of the other kinds. `detected`: named, the rest finished, right exit code, and the very
    responses after the fault was gone. `wrong`: other responses; `crashed`: another exit code or
    no reason; `hung`: no end.
    """
    begin = time.perf_counter()
    campaign = _Campaign(workdir, seed)
    kinds = KINDS if _may_mount(workdir) else tuple(k for k in KINDS if k not in MOUNTED)
    for number in range(count):
        campaign.trial(kinds[number % len(kinds)], number)
    tried = ", ".join(f"{times} {kind}" for kind, times in campaign.kinds.items())
    return Outcome(
        "disk and permission faults", count, campaign.good, campaign.wrong, campaign.crashed,
        campaign.hung, time.perf_counter() - begin, tried + "".join(campaign.notes),
    )  # fmt: skip


class _Campaign:
    def __init__(self, workdir: Path, seed: int) -> None:
        self.workdir, self.rng = workdir, np.random.default_rng(seed)
        self.case = make_small_case(workdir / "case", REQUESTS, seed)
        self.good = self.wrong = self.crashed = self.hung = 0
        self.kinds: Counter[str] = Counter()
        self.notes: list[str] = []
        responses = workdir / "undisturbed"
        code, text = BatchProcess(self.case, responses).finish()
        if code != 0:
            raise RuntimeError(f"the undisturbed batch ended with {code}: {text}")
        self.expected = digests(responses)

    def trial(self, kind: str, number: int) -> None:
        """Put one fault of a kind under a batch, take it away, run the batch again."""
        folder = self.workdir / f"trial-{number}"
        folder.mkdir()
        with FAULTS[kind](self.case, folder, self.rng) as trial:
            code, text = BatchProcess(
                self.case, trial.responses, scratch=trial.scratch, before=trial.before
            ).finish()
            named = trial.is_met(code, text)
            responses = trial.responses
            if kind in MOUNTED:
                responses = _copied(responses, folder / "kept")
            watched = ResponseFolder(responses, self.expected)
            wrong = watched.check()
            watched.look()
        again, _ = BatchProcess(self.case, responses).finish()
        wrong += watched.check_complete()
        self._count(kind, wrong, named and again == 0, None in (code, again), f"{code}, {text}")

    def _count(self, kind: str, wrong: int, named: bool, hung: bool, said: str) -> None:
        self.kinds[kind] += 1
        self.wrong += wrong
        self.hung += hung
        self.crashed += not named and not hung
        self.good += not wrong and named and not hung
        if wrong or not named:
            self.notes.append(f"\n{kind}: {wrong} wrong responses, exit code {said}")


def _copied(responses: Path, to: Path) -> Path:
    """A folder moved to a disk with room, hidden files too."""
    subprocess.run(["cp", "-a", str(responses), str(to)], check=True)
    return to


@contextmanager
def _full_disk(_case: SmallCase, folder: Path, rng: np.random.Generator) -> Iterator[_Trial]:
    """The disk takes none, some or nearly all of the responses."""
    with tiny_disk(folder / "disk", int(rng.integers(12 << 10, 600 << 10))) as disk:
        yield _Trial(disk / "responses", 3, NO_SPACE)


@contextmanager
def _full_scratch(_case: SmallCase, folder: Path, rng: np.random.Generator) -> Iterator[_Trial]:
    """The disk for temporary files is full, which does not matter: none is written there."""
    with tiny_disk(folder / "disk", int(rng.integers(12 << 10, 300 << 10))) as disk:
        yield _Trial(folder / "responses", 0, ("0 failed",), scratch=disk, lost=0)


@contextmanager
def _file_limit(_case: SmallCase, folder: Path, rng: np.random.Generator) -> Iterator[_Trial]:
    """No file may grow beyond some bytes, as on a disk with a quota."""
    most = int(rng.integers(1 << 10, 96 << 10))
    yield _Trial(
        folder / "responses", 3, TOO_LARGE,
        before=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (most, most)),
    )  # fmt: skip


@contextmanager
def _unreadable_request(
    case: SmallCase, folder: Path, rng: np.random.Generator
) -> Iterator[_Trial]:
    with _forbidden(case.requests / f"{rng.choice(case.names)}.request", 0o000):
        yield _Trial(folder / "responses", 3, DENIED, before=obey_permissions, lost=1)


@contextmanager
def _unreadable_bundle(
    case: SmallCase, folder: Path, _rng: np.random.Generator
) -> Iterator[_Trial]:
    with _forbidden(case.bundle, 0o000):
        yield _Trial(folder / "responses", 2, DENIED, before=obey_permissions)


@contextmanager
def _read_only_responses(
    _case: SmallCase, folder: Path, _rng: np.random.Generator
) -> Iterator[_Trial]:
    responses = folder / "responses"
    responses.mkdir()
    with _forbidden(responses, 0o555):
        yield _Trial(responses, 2, DENIED, before=obey_permissions)


@contextmanager
def _response_is_a_folder(
    case: SmallCase, folder: Path, rng: np.random.Generator
) -> Iterator[_Trial]:
    """In a response's place lies what no file can replace."""
    obstacle = folder / "responses" / f"{rng.choice(case.names)}.response" / "full"
    obstacle.mkdir(parents=True)
    yield _Trial(folder / "responses", 3, ("Is a directory",), lost=1)
    obstacle.rmdir()
    obstacle.parent.rmdir()


Fault = Callable[[SmallCase, Path, np.random.Generator], object]
FAULTS = {
    "full disk": _full_disk,
    "full disk for temporary files": _full_scratch,
    "limited file size": _file_limit,
    "unreadable request": _unreadable_request,
    "unreadable bundle": _unreadable_bundle,
    "read-only responses": _read_only_responses,
    "folder in a response's place": _response_is_a_folder,
}
KINDS = tuple(FAULTS)
MOUNTED = ("full disk", "full disk for temporary files")


@contextmanager
def tiny_disk(place: Path, size: int) -> Iterator[Path]:
    """A file system of `size` bytes in memory; OSError or CalledProcessError if not allowed."""
    place.mkdir()
    options = ["-t", "tmpfs", "-o", f"size={size}", "none"]
    subprocess.run(["mount", *options, str(place)], check=True, capture_output=True)
    try:
        yield place
    finally:
        subprocess.run(["umount", "--lazy", str(place)], check=True)


def _may_mount(workdir: Path) -> bool:
    try:
        with tiny_disk(workdir / "mountable", 1 << 16):
            return True
    except (OSError, subprocess.CalledProcessError):
        return False


@contextmanager
def _forbidden(path: Path, mode: int) -> Iterator[None]:
    """A file or folder with other permissions for a while."""
    usual = path.stat().st_mode
    path.chmod(mode)
    try:
        yield
    finally:
        path.chmod(usual)


def obey_permissions() -> None:
    """Take from a process about to be started root's right to pass over permissions (Linux)."""
    libc = ctypes.CDLL(None)
    for capability in (_CAP_DAC_OVERRIDE, _CAP_DAC_READ_SEARCH):
        libc.prctl(_PR_CAPBSET_DROP, capability, 0, 0, 0)  # refused to others, who need it not
