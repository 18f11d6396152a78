"""The rivals' side of the benchmark: the conversation, and the packings without any library."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from heclstm_lib.bench.cases import CaseSpec, make_case, write_case
from heclstm_lib.paths import repo_root

RIVALS = repo_root() / "benchmarks" / "rivals"
TRIVIAL = '''
import os, sys
sys.path.append({rivals!r})
import numpy as np
from protocol import Contender, Refusal, rows, serve

class Trivial(Contender):
    """Knows the answers; adds `offset` to them."""
    def setup(self, case, options):
        if options.get("refuse"):
            raise Refusal("not today")
        self.batch = options.get("batch", 1)
        self.answer = rows(case["expected"], self.batch) + options.get("offset", 0.0)
        self.options = options
        os.system("echo a library prints to stdout")
        return {{"key_bytes": 7}}
    def encrypt(self):
        print("so does Python")
        return self.answer
    def evaluate(self, encrypted):
        if self.options.get("note"):
            self.extra["note"] = "extrapolated"
        return encrypted
    def decrypt(self, encrypted):
        return encrypted[:, : self.options.get("columns", 10)]

serve(Trivial)
'''


@pytest.fixture
def case_path(tmp_path: Path) -> Path:
    return write_case(CaseSpec("cnn", rows=3), tmp_path)


def converse(tmp_path: Path, *requests: dict | str) -> list[dict]:
    """The answers of a trivial contender in a process of its own."""
    script = tmp_path / "rival.py"
    script.write_text(TRIVIAL.format(rivals=str(RIVALS)), encoding="utf-8")
    lines = [r if isinstance(r, str) else json.dumps(r) for r in requests]
    done = subprocess.run(
        [sys.executable, str(script)], input="\n".join(lines) + "\n", text=True,
        capture_output=True, check=True, timeout=60,
    )  # fmt: skip
    return [json.loads(line) for line in done.stdout.splitlines()]


def setup(path: Path, **options: object) -> dict:
    return {"command": "setup", "case": str(path), "options": options}


def test_a_whole_conversation(tmp_path: Path, case_path: Path) -> None:
    ready, first, second, end = converse(
        tmp_path, setup(case_path, batch=20), {"command": "run"}, {"command": "run"},
        {"command": "quit"},
    )  # fmt: skip
    assert ready["ok"] and ready["batch"] == 20 and ready["key_bytes"] == 7
    assert ready["setup_s"] >= 0 and end == {"ok": True}
    expected = make_case(CaseSpec("cnn", rows=3))["expected"]
    for answer in (first, second):
        assert answer["max_error"] == 0
        # rows start again after the third, and only the first 16 are sent
        np.testing.assert_array_equal(answer["outputs"], expected[np.arange(16) % 3])
        assert answer["peak_rss_bytes"] > 1e6
        assert min(answer[f"{part}_s"] for part in ("server", "encrypt", "decrypt")) >= 0


def test_a_wrong_row_beyond_those_sent_shows_in_the_error(tmp_path: Path, case_path: Path) -> None:
    _, answer = converse(tmp_path, setup(case_path, batch=20, offset=0.25), {"command": "run"})
    assert answer["max_error"] == pytest.approx(0.25)


def test_nan_outputs_have_no_error_bound(tmp_path: Path, case_path: Path) -> None:
    script = f'{{"command":"setup","case":"{case_path}","options":{{"offset":NaN}}}}'
    _, answer = converse(tmp_path, script, {"command": "run"})
    assert answer["max_error"] is None


def test_notes_stand_in_the_answer(tmp_path: Path, case_path: Path) -> None:
    _, answer = converse(tmp_path, setup(case_path, note=True), {"command": "run"})
    assert answer["note"] == "extrapolated"


def test_what_cannot_be_done_has_a_reason(tmp_path: Path, case_path: Path) -> None:
    answers = converse(
        tmp_path,
        {"command": "run"},
        {"command": "fly"},
        "no json",
        "[1]",
        setup(tmp_path / "absent.npz"),
        setup(case_path, refuse=True),
        setup(case_path, batch="three"),
        setup(case_path, columns=4),
        {"command": "run"},
    )
    reasons = [answer.get("reason", "") for answer in answers]
    assert [answer["ok"] for answer in answers] == [False] * 7 + [True, False]
    for reason, part in zip(
        reasons,
        ("setup", "fly", "JSON", "object", "absent.npz", "not today", "TypeError", "", "(1, 10)"),
        strict=True,
    ):
        assert part in reason


class ClearMachine:
    """A machine of plain vectors: what the packings compute, without encryption."""

    def __init__(self, slots: int) -> None:
        self.slots = slots

    def constant(self, vector: np.ndarray) -> np.ndarray:
        assert vector.shape == (self.slots,)
        return vector

    encrypt = constant

    def decrypt(self, vector: np.ndarray) -> np.ndarray:
        return vector

    def add(self, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        return a + b

    plus = add

    def square(self, x: np.ndarray) -> np.ndarray:
        return x * x

    def weighted(self, pairs: list[tuple[np.ndarray, np.ndarray]]) -> np.ndarray:
        return np.sum([x * constant for x, constant in pairs], axis=0)

    def rotations(self, x: np.ndarray, steps: list[int]) -> list[np.ndarray]:
        assert set(steps) <= self.allowed | {0}
        return [np.roll(x, -step) for step in steps]

    def fold(self, x: np.ndarray, steps: list[int]) -> np.ndarray:
        assert steps in self.folds
        for step in steps:
            x = x + np.roll(x, -step)
        return x


@pytest.mark.parametrize("slots", [4096, 8192])
@pytest.mark.parametrize(
    "options",
    [
        {"packing": "bsgs", "uploads": 2},
        {"packing": "tiled", "uploads": 2},
        {"packing": "tiled", "uploads": 8},
        {"packing": "tiled", "uploads": 25},
        {"packing": "stacked"},
        {},
    ],
    ids=str,
)
def test_packings_compute_the_network(
    monkeypatch: pytest.MonkeyPatch, slots: int, options: dict
) -> None:
    monkeypatch.syspath_prepend(str(RIVALS))
    from packed_cnn import packed_cnn
    from protocol import Refusal

    case = make_case(CaseSpec("cnn", rows=1))
    machine = ClearMachine(slots)
    if not options and slots == 4096:
        with pytest.raises(Refusal, match="do not hold"):
            packed_cnn(machine, case, options)
        return
    network = packed_cnn(machine, case, options)
    machine.allowed, machine.folds = network.rotation_steps()
    response = network.evaluate(network.encrypt(case["images"][0]))
    np.testing.assert_allclose(network.decrypt(response), case["expected"][0], rtol=1e-12)


def test_every_rival_says_what_it_needs() -> None:
    rivals = sorted(path.parent for path in RIVALS.glob("*/rival.py"))
    assert len(rivals) == 7
    readme = (RIVALS / "README.md").read_text(encoding="utf-8")
    for folder in rivals:
        lines = (folder / "requirements.txt").read_text(encoding="utf-8").splitlines()
        assert lines[0].startswith("# python: 3.") and lines[1].startswith("# licence: ")
        assert all("==" in line or line.startswith(("#", "numpy>=")) for line in lines)
        assert folder.name in readme
