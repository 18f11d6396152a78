"""Our contender speaks the benchmark's language and computes the cases' outputs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from heclstm_lib.bench.cases import CaseSpec, make_case, write_case
from heclstm_lib.bench.machines import batches
from heclstm_lib.bench.our_plan import case_network, time_shares
from heclstm_lib.bench.ours import answers


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def talk(case: Path, *commands: str, **options: Any) -> Iterator[dict[str, Any]]:
    setup = {"command": "setup", "case": str(case), "options": options}
    requests = [setup, *({"command": command} for command in commands)]
    return answers(json.dumps(request) for request in requests)


@pytest.mark.parametrize("kind", ["cnn", "lstm_step", "flagship"])
def test_networks_are_those_of_the_cases(kind: str) -> None:
    case = make_case(CaseSpec(kind, rows=3))
    network, values = case_network(case)
    outputs = {
        "cnn": lambda: network.outputs(values[:, 0]),  # type: ignore[union-attr]
        "lstm_step": lambda: network.outputs(values[:, 0]),  # type: ignore[union-attr]
        "flagship": lambda: network.scores(values)[:, None],  # type: ignore[union-attr]
    }
    np.testing.assert_allclose(outputs[kind](), case["expected"], atol=1e-9)


def test_a_case_is_planned_run_and_priced(tmp_path: Path) -> None:
    path = write_case(CaseSpec("cnn", rows=3), tmp_path)
    setup, run, again, floor, end = talk(
        path, "run", "run", "floor", "quit", batch=3, sequences=1, poly_degree=16384
    )
    assert setup["ok"] and setup["batch"] == 3 and "x1" in setup["layout"]
    assert setup["parameters"]["N"] == 16384 and setup["parameters"]["log2(QP)"] <= 430
    assert setup["upload_bytes"] % 3 == 0, "three requests of one image"
    assert run["max_error"] < 0.01 and again["max_error"] < 0.01
    assert run["max_error"] != again["max_error"], "every run encrypts afresh"
    assert np.shape(run["outputs"]) == (3, 10)
    parts = sum(run["time_by_kind"].values())
    assert 0 < parts <= run["server_s"] and "load" in run["time_by_kind"]
    assert floor["floor_s"] == pytest.approx(sum(floor["floor_by_kind"].values()))
    assert set(floor["floor_by_kind"]) == set(run["time_by_kind"])
    assert end == {"ok": True}


def test_what_it_cannot_do_has_a_reason(tmp_path: Path) -> None:
    path = write_case(CaseSpec("cnn"), tmp_path)
    setup, run = talk(path, "run", colour="red")
    assert not setup["ok"] and "unknown option(s) ['colour']" in setup["reason"]
    assert not run["ok"] and "expected setup" in run["reason"]
    (setup,) = talk(path, memory_gb=0.1, poly_degree=16384)
    assert not setup["ok"] and "no plan for" in setup["reason"]
    (setup,) = talk(path, choice=1000, poly_degree=16384)
    assert "choice 1000, but only" in setup["reason"]
    (nonsense,) = answers(["[]"])
    assert not nonsense["ok"]


def test_shares_of_time() -> None:
    rows = [
        {"layer": "lstm.t1", "kind": "rotate", "level": 3, "seconds": 2.0},
        {"layer": "lstm.t1", "kind": "square", "level": 3, "seconds": 1.0},
        {"layer": "blocks.0.conv", "kind": "input", "level": 9, "seconds": 0.5},
        {"layer": "blocks.0.conv", "kind": "rotate", "level": 9, "seconds": 0.25},
    ]
    shares = time_shares(rows)
    assert shares["time_by_kind"] == {"rotate": 2.25, "square": 1.0, "load": 0.5}
    assert shares["time_by_layer"] == {"lstm.t1": 3.0, "blocks.0.conv": 0.75}
    assert shares["matrix_s"] == 2.0


def test_rows_in_batches() -> None:
    assert list(batches(5, 2)) == [slice(0, 2), slice(2, 4), slice(4, 5)]


def test_a_refreshed_state_counts_its_round_trips(tmp_path: Path) -> None:
    spec = CaseSpec("flagship", frames=3, image_size=12, channels=2, hidden=4)
    case = write_case(spec, tmp_path)
    setup, run, _ = talk(case, "run", "quit", refresh=True, poly_degree=16384)
    assert setup["ok"] and setup["parameters"]["N"] == 16384, setup
    assert run["max_error"] < 0.01
    assert run["round_trips"] == 2 and run["refresh_bytes"] > 1e5
    assert run["refresh_s"] > 0 and "wait" not in run["time_by_kind"]
    assert "mask" in run["time_by_kind"], "masking is the server's work"
    (refused,) = talk(write_case(CaseSpec("cnn"), tmp_path), refresh=True)
    assert "no plan for" in refused["reason"]
