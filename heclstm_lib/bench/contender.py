"""One contender: a process that answers lines of JSON, pinned to its cores.

{"command": "setup", "case": PATH, "options": {...}}
    -> {"ok": true, "parameters": {...}, "setup_s": .., "key_bytes": .., "upload_bytes": ..,
        "response_bytes": .., "layout": "..", "batch": n}, or {"ok": false, "reason": ".."}
{"command": "run"} -> {"ok": true, "server_s": .., "encrypt_s": .., "decrypt_s": ..,
        "outputs": [[..]], "max_error": .., "peak_rss_bytes": ..}
{"command": "floor"} -> {"ok": true, "floor_s": .., "floor_by_kind": {..}} (ours only)
{"command": "quit"}
"""

from __future__ import annotations

import json
import os
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from importlib import metadata
from pathlib import Path
from typing import Any

import psutil

from heclstm_lib.errors import BenchError, ContenderAbsent
from heclstm_lib.paths import repo_root

OURS = "ours"
RIVALS_VARIABLE = "HECLSTM_RIVALS"
THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "GOMAXPROCS",
)
TAIL_LINES = 15


def rivals_root() -> Path:
    """The folder of the rivals' environments: $HECLSTM_RIVALS, else .rivals in the repository."""
    configured = os.environ.get(RIVALS_VARIABLE)
    return Path(configured).expanduser() if configured else repo_root() / ".rivals"


def contender_command(name: str, environments: Path, scripts: Path | None = None) -> list[str]:
    """The command that starts a contender.

    A rival is SCRIPTS/NAME/rival.py, run by the Python of ENVIRONMENTS/NAME, or by this one when
    it has all that the rival's requirements.txt pins. Raises ContenderAbsent with the reason.
    """
    if name == OURS:
        return [sys.executable, "-m", "heclstm_lib.bench.ours"]
    folder = (scripts or repo_root() / "benchmarks" / "rivals") / name
    script = folder / "rival.py"
    if not script.is_file():
        raise ContenderAbsent(f"no contender '{name}': {script.name} is missing in {folder.name}/.")
    python = environments / name / "bin" / "python"
    if python.is_file():
        return [str(python), str(script)]
    missing = missing_requirements(folder / "requirements.txt")
    if missing:
        raise ContenderAbsent(
            f"no environment for '{name}' ({', '.join(missing)} not installed here); "
            "make it with: make rivals."
        )
    return [sys.executable, str(script)]


def missing_requirements(path: Path) -> list[str]:
    """The `name==version` lines of a requirements file that this interpreter does not satisfy."""
    if not path.is_file():
        return []
    missing = []
    for line in path.read_text(encoding="utf-8").splitlines():
        found = re.match(r"([A-Za-z0-9._-]+)(?:\[[^\]]*\])?(?:==([^\s;#]+))?", line.strip())
        if found is None or line.lstrip().startswith("#"):
            continue
        try:
            installed = metadata.version(found[1]).split("+")[0]
        except metadata.PackageNotFoundError:
            installed = ""
        if not installed or (found[2] and found[2] != installed):
            missing.append(line.split("#")[0].strip())
    return missing


@contextmanager
def pinned(cores: Sequence[int]) -> Iterator[None]:
    """This thread, and the processes it starts meanwhile, run on `cores` only."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def thread_environment(threads: int) -> dict[str, str]:
    """This environment with `threads` for every library's pool, and no package path of ours."""
    environment = dict(os.environ) | dict.fromkeys(THREAD_VARIABLES, str(threads))
    environment.pop("PYTHONPATH", None)
    return environment


class Contender:
    """A running contender; BenchError when it dies, is too slow or does not speak JSON."""

    def __init__(
        self, command: Sequence[str], cores: Sequence[int], threads: int, log: Path
    ) -> None:
        self._buffer = b""
        self._lost = False  # gone, too slow or talking nonsense: nothing to ask it any more
        self._log = log
        log.parent.mkdir(parents=True, exist_ok=True)
        with pinned(cores), log.open("wb") as errors:
            self._process = subprocess.Popen(
                list(command),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                env=thread_environment(threads),
                cwd=repo_root(),
                start_new_session=True,  # so that its workers can be ended with it
            )

    def ask(self, request: dict[str, Any], timeout_s: float) -> dict[str, Any]:
        """Send one request and wait for its answer."""
        if self._process.stdin is None:
            raise BenchError("the contender has no standard input.")
        try:
            self._process.stdin.write(json.dumps(request).encode() + b"\n")
            self._process.stdin.flush()
        except OSError as error:
            raise BenchError(self._death(f"it is gone ({error})")) from error
        line = self._line(time.monotonic() + timeout_s, f"no answer after {timeout_s:g} s")
        try:
            answer = json.loads(line)
        except ValueError as error:
            raise BenchError(self._death(f"no JSON in {line[:200]!r}")) from error
        if not isinstance(answer, dict):
            raise BenchError(self._death(f"expected a JSON object, got {line[:200]!r}"))
        return answer

    def _line(self, deadline: float, late: str) -> bytes:
        if self._process.stdout is None:
            raise BenchError("the contender has no standard output.")
        output = self._process.stdout.fileno()
        while b"\n" not in self._buffer:
            ready, _, _ = select.select([output], [], [], max(0.0, deadline - time.monotonic()))
            if not ready:
                raise BenchError(self._death(late))
            data = os.read(output, 1 << 20)
            if not data:
                code = self._process.wait()
                raise BenchError(self._death(f"it ended with code {code}"))
            self._buffer += data
        line, self._buffer = self._buffer.split(b"\n", 1)
        return line

    def _death(self, what: str) -> str:
        """`what`, and the end of what the contender wrote to stderr."""
        self._lost = True
        lines = self._log.read_text(encoding="utf-8", errors="replace").splitlines()
        tail = "\n".join(lines[-TAIL_LINES:])
        return f"{what}; its last words:\n{tail}" if tail else f"{what}; it wrote nothing."

    def peak_bytes(self) -> int:
        """Most memory held so far, summed over the contender's live processes (VmHWM)."""
        try:
            parent = psutil.Process(self._process.pid)
            members = [parent, *parent.children(recursive=True)]
        except psutil.NoSuchProcess:
            return 0
        return sum(_high_water(member.pid) for member in members)

    def close(self) -> None:
        """Ask it to quit; end it and its workers if it does not."""
        if not self._lost:
            with suppress(BenchError, subprocess.TimeoutExpired):
                self.ask({"command": "quit"}, timeout_s=10)
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(timeout=20)
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout):
            with suppress(OSError):  # unsent bytes of a contender that died
                if stream is not None:
                    stream.close()


def _high_water(pid: int) -> int:
    try:
        status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    except OSError:
        return 0
    found = re.search(r"^VmHWM:\s+(\d+) kB", status, re.MULTILINE)
    return int(found[1]) * 1024 if found else 0
