"""Coverage-guided fuzzing of the readers with atheris (libFuzzer), if it is installed.

`python -m heclstm_lib.robustness.guided TARGET CORPUS ...` is the fuzzing process: libFuzzer ends
it at the first input that crashes, hangs or is wrongly accepted, and keeps that input. `run` starts
one for each target, and again behind a finding. Only Python code guides it; SEAL is not
instrumented.
"""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from heclstm_lib.errors import ConfigError, HeclstmError
from heclstm_lib.robustness.outcome import Outcome

SHARES = {"wire messages": 0.6, "manifests": 0.3, "signatures": 0.1}
"""Readers that are fuzzed, and how the inputs are shared out among them."""

INPUT_S, MOST_BYTES, FINDINGS = 20, 65536, 5
_READ = re.compile(r"^(?:Done (\d+) runs|stat::number_of_executed_units:\s*(\d+))", re.MULTILINE)


def run(count: int, seed: int, workdir: Path) -> Outcome:
    """Read `count` inputs that atheris makes; ConfigError if it is not installed.

    `wrong` are wrong acceptances, `crashed` other exceptions and ends of the process, `hung` inputs
    that took longer than INPUT_S; all others are `detected`.
    """
    if importlib.util.find_spec("atheris") is None:
        raise ConfigError("atheris is not installed; pip install atheris, or leave `guided` out.")
    begin, found = time.perf_counter(), Counter[str]()
    failures: list[str] = []
    from heclstm_lib.robustness.fuzz import make_corpus

    make_corpus(workdir / "corpus", seed)
    for name, share in SHARES.items():
        left = max(1, round(share * count))
        for attempt in range(FINDINGS):
            done, verdict, said = _fuzz(name, left, seed + attempt, workdir)
            found[name] += done
            left -= done
            if verdict:
                found[verdict] += 1
                failures.append(f"{name}: {said}")
            if left <= 0:
                break
    tried = sum(found[name] for name in SHARES)
    bad = found["wrong"] + found["crashed"] + found["hung"]
    detail = ", ".join(f"{found[name]} {name}" for name in SHARES)
    return Outcome(
        "coverage-guided inputs", tried, tried - bad, found["wrong"], found["crashed"],
        found["hung"], time.perf_counter() - begin, "; ".join([detail, *failures]),
    )  # fmt: skip


def _fuzz(name: str, runs: int, seed: int, workdir: Path) -> tuple[int, str, str]:
    """Inputs read, the verdict on the last one ("" if all was well), and what was said of it."""
    queue = workdir / f"queue-{name.replace(' ', '-')}"
    queue.mkdir(exist_ok=True)
    options = [
        f"-runs={runs}", f"-seed={seed}", f"-max_len={MOST_BYTES}", f"-timeout={INPUT_S}",
        f"-artifact_prefix={queue}-", "-print_final_stats=1", "-verbosity=1",
    ]  # fmt: skip
    command = [sys.executable, "-m", "heclstm_lib.robustness.guided", name]
    done = subprocess.run(
        [*command, str(workdir / "corpus"), str(queue), *options],
        capture_output=True, text=True, errors="replace",
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    return read_log(done.stdout + done.stderr, done.returncode)


def read_log(said: str, code: int) -> tuple[int, str, str]:
    """Inputs read, verdict and reason, from what libFuzzer said and its exit code."""
    read = max((int(one or other) for one, other in _READ.findall(said)), default=0)
    if code == 0:
        return read, "", ""
    hung = "ERROR: libFuzzer: timeout" in said
    verdict = "hung" if hung else "wrong" if "WrongAcceptance" in said else "crashed"
    lines = [line for line in said.splitlines() if "Error" in line or "WrongAcceptance" in line]
    return max(read, 1), verdict, " | ".join(lines[:3])[:300] or f"exit code {code}"


def main() -> None:
    """Fuzz one target; the arguments after its name, the corpus and the queue are libFuzzer's."""
    import atheris

    name, corpus, queue, *options = sys.argv[1:]
    with atheris.instrument_imports(include=["heclstm_lib", "json"]):
        from heclstm_lib.robustness.targets import make_targets
    target = make_targets(Path(corpus))[name]
    (Path(queue) / "valid").write_bytes(stripped(name, target.valid))
    read = one_input(name, target.read)
    atheris.Setup([sys.argv[0], *options, queue], read)
    atheris.Fuzz()


def stripped(name: str, valid: bytes) -> bytes:
    """A valid input as libFuzzer gets it: a message without its checksum."""
    return valid[:-32] if name == "wire messages" else valid


def one_input(name: str, read: Callable[[bytes], bool]) -> Callable[[bytes], None]:
    """What libFuzzer calls: refusals are well, all else that is raised is a finding.

    A message gets its checksum here, since no fuzzer would guess one.
    """
    from heclstm_lib.robustness.acceptance import sealed

    def read_input(data: bytes) -> None:
        try:
            read(sealed(data) if name == "wire messages" else data)
        except HeclstmError:
            return

    return read_input


if __name__ == "__main__":
    main()
