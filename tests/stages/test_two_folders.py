"""The walk through with two folders says of every byte whether it crossed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from networks import make_frames, make_network

from heclstm_lib.compiler.chain import choose_parameters
from heclstm_lib.compiler.network import plan_network
from heclstm_lib.errors import ReportError
from heclstm_lib.he.store import write_plan, write_signature
from heclstm_lib.stages.two_folders import walk_two_folders

NETWORK = make_network(frames=2, hidden=0, channels_out=2, kernel_size=3, image_size=6)


@pytest.fixture
def fold(tmp_path: Path) -> Path:
    plan = plan_network(NETWORK, choose_parameters(NETWORK, 8192), 2)
    write_plan(plan, tmp_path / "plan.npz")
    write_signature(plan.signature, tmp_path / "signature.json")
    return tmp_path


def test_every_byte_is_accounted_for(fold: Path) -> None:
    frames = make_frames(NETWORK, 3)
    walk = walk_two_folders(fold, frames, fold / "work")
    np.testing.assert_allclose(walk.scores, NETWORK.scores(frames), atol=2**-10)
    assert walk.crossed.file.str.split("/").str[0].tolist() == [
        "signature.json", "public.bundle", "requests", "requests", "responses", "responses",
    ]  # fmt: skip
    assert walk.crossed["from"].tolist() == ["server", *["hospital"] * 3, *["server"] * 2]
    files = walk.files.set_index("file")
    both = files[files.crossed]
    assert both.hospital.tolist() == both.server.tolist()
    assert sorted(both.index) == sorted(walk.crossed.file)
    own = files[~files.crossed]
    assert (own.hospital.isna() != own.server.isna()).all()
    assert {name for name in own.index[own.hospital.notna()] if "sent/" not in name} == {
        "frames.npy", "secret.bundle", "scores.csv",
    }  # fmt: skip
    assert set(own.index[own.server.notna()]) == {"plan.npz", "responses/batch.json"}
    assert not (fold / "work").exists()


def test_a_command_that_fails_is_shown(fold: Path) -> None:
    with pytest.raises(ReportError, match=r"heclstm encrypt .*exit code 2(.|\n)*got an array of"):
        walk_two_folders(fold, make_frames(NETWORK, 1)[:, :1], fold / "work")
    assert not (fold / "work").exists()
