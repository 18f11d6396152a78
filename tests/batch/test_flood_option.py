"""`flood_bits` on its way from the commands to the server."""

from __future__ import annotations

import argparse
from pathlib import Path

import pytest
from faulty import Inline

from heclstm_lib import evaluate_cli
from heclstm_lib.batch import command
from heclstm_lib.batch.report import BatchReport
from heclstm_lib.batch.run import evaluate_folder
from heclstm_lib.cli import make_parser
from heclstm_lib.robustness.response_folder import digests
from heclstm_lib.robustness.small_case import SmallCase
from heclstm_lib.service.options import ServiceOptions


def test_a_batch_with_fresh_zeros_differs_each_time_and_decrypts_alike(
    case: SmallCase, tmp_path: Path
) -> None:
    for request in sorted(case.requests.glob("*.request"))[1:]:
        request.unlink()
    outs = {name: tmp_path / name for name in ("plain", "again", "zero", "fresh")}
    for name, out in outs.items():
        bits = 0 if name in ("zero", "fresh") else None
        report = evaluate_folder(
            case.plan, case.bundle, case.requests, out, Inline(), flood_bits=bits
        )
        assert report.exit_code == 0
    found = {name: digests(out)["00.response"] for name, out in outs.items()}
    assert found["plain"] == found["again"]
    assert len(set(found.values())) == 3
    scores = [case.client.decrypt_scores(out / "00.response") for out in outs.values()]
    assert max(abs(one - scores[0]).max() for one in scores) < 2.0**-14


def test_too_many_bits_are_named(case: SmallCase, tmp_path: Path) -> None:
    files = (case.plan, case.bundle, case.requests, tmp_path / "out")
    report = evaluate_folder(*files, Inline(), flood_bits=500)
    assert report.exit_code == 3
    assert "flood_bits is 500" in report.failed[0].reason


@pytest.mark.parametrize(
    ("given", "bits"), [([], 0), (["--flood-bits", "12"], 12), (["--flood-bits", "off"], None)]
)
def test_the_command_floods_with_a_fresh_zero_unless_told_otherwise(
    case: SmallCase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: list, bits: object
) -> None:
    seen = []

    def evaluate(*_files: object, flood_bits: int | None, **_options: object) -> BatchReport:
        seen.append(flood_bits)
        return BatchReport((), (), (), 0.0)

    monkeypatch.setattr(command, "evaluate_folder", evaluate)
    where = ["--plan", str(case.plan), "--public", str(case.bundle), "--out", str(tmp_path)]
    args = make_parser().parse_args(["evaluate", str(case.requests), *where, *given])
    assert evaluate_cli.run_evaluate(args) == 0
    assert seen == [bits]


def test_what_is_no_number_of_bits() -> None:
    for text in ("-1", "many", ""):
        with pytest.raises(argparse.ArgumentTypeError, match="expected a number of bits or off"):
            evaluate_cli.flood_bits(text)
    assert ServiceOptions().flood_bits == 0
