"""Hospital and server as processes in folders of their own; only what is listed is copied."""

from __future__ import annotations

import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from heclstm_lib.errors import ReportError
from heclstm_lib.he.packing import Vector
from heclstm_lib.stages.encryption import evaluation_subset
from heclstm_lib.stages.workspace import Workspace

SHOWN = 2000
"""Characters of a failed command's output in the error."""


@dataclass(frozen=True)
class Walk:
    """Decrypted scores [n], what crossed in order, and every file on either side at the end."""

    scores: Vector
    crossed: pd.DataFrame
    files: pd.DataFrame


def walk_fold(space: Workspace, fold: int, count: int) -> Walk:
    """The first `count` of the test sequences that `evaluate_fold_encrypted` evaluates."""
    folder = space.fold(fold)
    test = space.sets(fold)["test"]
    chosen = evaluation_subset(test.labels, space.study.he.evaluate_at_most)[:count]
    frames = test.subset(chosen).frames
    return walk_two_folders(folder, frames, folder / "two_folders", "--raw")


def walk_two_folders(fold: Path, frames: Vector, work: Path, *options: str) -> Walk:
    """Run keygen, encrypt (with `options`), evaluate and decrypt on frames [n, T, C, H, W].

    `fold` holds plan.npz and signature.json; the folders `hospital` and `server` are made in
    `work` and removed after. Raises ReportError with the output of a command that failed.
    """
    sides = {name: work / name for name in ("hospital", "server")}
    shutil.rmtree(work, ignore_errors=True)
    for folder in sides.values():
        folder.mkdir(parents=True)
    try:
        return _walk(fold, frames, sides["hospital"], sides["server"], options)
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _walk(
    fold: Path, frames: Vector, hospital: Path, server: Path, options: tuple[str, ...]
) -> Walk:
    rows: list[dict[str, object]] = []
    for name in ("plan.npz", "signature.json"):
        shutil.copyfile(fold / name, server / name)
    np.save(hospital / "frames.npy", frames)
    client = ("--signature", "signature.json")
    rows += _copy("signature.json", server, hospital)
    _run(hospital, "keygen", *client)
    rows += _copy("public.bundle", hospital, server)
    _run(hospital, "encrypt", "frames.npy", *client, *options)
    rows += _copy("requests/*.request", hospital, server)
    _run(server, "evaluate", "requests", "--plan", "plan.npz")
    rows += _copy("responses/*.response", server, hospital)
    _run(hospital, "decrypt", "responses", *client)
    crossed = pd.DataFrame(rows)
    scores = pd.read_csv(hospital / "scores.csv").score.to_numpy()
    return Walk(scores, crossed, _files(hospital, server, set(crossed.file)))


def _run(folder: Path, *arguments: str) -> None:
    command = [sys.executable, "-m", "heclstm_lib.party_cli", *arguments]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    if done.returncode:
        raise ReportError(
            f"heclstm {' '.join(arguments)} ended with exit code {done.returncode}:\n"
            f"{(done.stdout + done.stderr)[-SHOWN:]}"
        )


def _copy(pattern: str, source: Path, target: Path) -> list[dict[str, object]]:
    """Copy files from one folder to the other; a row each."""
    rows = []
    for path in sorted(source.glob(pattern)):
        name = path.relative_to(source)
        (target / name).parent.mkdir(exist_ok=True)
        size = Path(shutil.copyfile(path, target / name)).stat().st_size
        rows.append(
            {"from": source.name, "to": target.name, "file": name.as_posix(), "bytes": size}
        )
    return rows


def _files(hospital: Path, server: Path, crossed: set[object]) -> pd.DataFrame:
    """Every file on either side: its bytes there, and whether it crossed."""
    sizes = {
        folder.name: {
            path.relative_to(folder).as_posix(): path.stat().st_size
            for path in folder.rglob("*")
            if path.is_file()
        }
        for folder in (hospital, server)
    }
    table = pd.DataFrame(sizes).astype("Int64").rename_axis("file").reset_index()
    table["crossed"] = table.file.isin(crossed)
    return table.sort_values("file", ignore_index=True)
