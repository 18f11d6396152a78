"""A worker ends when a block takes too long, whatever its other threads do."""

from __future__ import annotations

import subprocess
import sys

import pytest

CODE = """
import threading, time
from heclstm_lib.batch.workers import become_worker, ended_after

def run(patience_s, takes_s):
    with ended_after(patience_s):
        time.sleep(takes_s)

become_worker()
threads = [threading.Thread(target=run, args=block) for block in {blocks}]
for thread in threads:
    thread.start()
    time.sleep(0.1)
for thread in threads:
    thread.join()
print("all came to their end")
"""


def run(*blocks: tuple[float, float]) -> subprocess.CompletedProcess[str]:
    """A process that becomes a worker and runs blocks (patience and duration in s) in threads."""
    command = [sys.executable, "-c", CODE.format(blocks=blocks)]
    return subprocess.run(command, capture_output=True, text=True, timeout=80)


@pytest.mark.parametrize("other", [(70.0, 0.0), (70.0, 0.3), (70.0, 60.0)])
@pytest.mark.parametrize("first", [True, False])
def test_a_block_over_time_ends_the_worker(other: tuple[float, float], first: bool) -> None:
    late = (1.0, 60.0)
    done = run(*((late, other) if first else (other, late)))
    assert done.returncode == 1
    assert "Timeout" in done.stderr and not done.stdout


def test_blocks_in_time_end_nothing() -> None:
    done = run((60.0, 0.3), (60.0, 0.1))
    assert (done.returncode, done.stdout) == (0, "all came to their end\n"), done.stderr
