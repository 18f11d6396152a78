"""`heclstm decrypt --share`: a second table, with noise, that others may see."""

from __future__ import annotations

import argparse
import csv
import stat
from pathlib import Path

import pytest

from heclstm_lib.cli import main
from heclstm_lib.client_commands import _write_shared
from heclstm_lib.he.flooding import share_sigma


def test_the_shared_table_has_noisy_scores_and_nothing_else(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [
        {"name": f"n{k}", "score": k / 8, "outside": 0.1, "outside_fraction": 0.2, "id": f"id{k}"}
        for k in range(8)
    ]
    args = argparse.Namespace(
        share=tmp_path / "shared.csv", share_error=2.0**-30, share_bits=30.0, share_queries=2
    )
    _write_shared(rows, args)  # type: ignore[arg-type]
    assert stat.S_IMODE(args.share.stat().st_mode) == 0o644
    shared = list(csv.DictReader(args.share.open()))
    assert [row["name"] for row in shared] == [row["name"] for row in rows]
    assert set(shared[0]) == {"name", "score"}
    sigma = share_sigma(2.0**-30, 8, 30, 2)
    differences = [float(row["score"]) - k / 8 for k, row in enumerate(shared)]
    assert any(differences) and max(map(abs, differences)) < 8 * sigma
    assert f"noise of standard deviation {sigma:.3g}" in capsys.readouterr().out


def test_the_error_must_be_given(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    signature = ["--signature", str(tmp_path / "signature.json")]
    assert main(["decrypt", str(tmp_path), *signature, "--share", "x.csv"]) == 2
    assert "--share needs --share-error" in capsys.readouterr().err
