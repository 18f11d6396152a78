"""`heclstm ablate`: run one row of the ablation grid, or list the rows."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

import pandas as pd

from heclstm_lib.config import DatasetStudy, Profile, load_profile
from heclstm_lib.errors import ConfigError
from heclstm_lib.grid import Grid, load_grid
from heclstm_lib.paths import repo_root
from heclstm_lib.stages.ablation_tables import list_rows
from heclstm_lib.stages.ablations import RowResult, rows_folder, run_row
from heclstm_lib.stages.workspace import Workspace, open_workspace

EXAMPLES = """examples:
  heclstm ablate --list
  heclstm ablate --profile smoke --row no_lstm
  heclstm ablate --profile reference --dataset iarc --row packing_1 --out reports/mine
"""


def add_ablate_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Register `heclstm ablate`."""
    parser = subparsers.add_parser(
        "ablate",
        help="run one row of the ablation grid",
        description="Run one row of the ablation grid on a data set and keep it in "
        "the study's work folder (row.json, predictions.parquet), where notebook 05 takes "
        "it up. A finished row is kept, an interrupted one goes on.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--profile", default="default", help="profile name or .yml file")
    parser.add_argument("--dataset", help="data set of the profile (default: its first)")
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--row", metavar="NAME", help="any row of the grid")
    what.add_argument("--list", action="store_true", help="list the rows of the grid")
    parser.add_argument("--out", type=Path, help="folder of the study (default: reports/PROFILE)")
    parser.add_argument("--data", type=Path, help="folder of the fetched data (see heclstm data)")
    parser.add_argument(
        "--grid", type=Path, metavar="FILE", help="a grid file (default: the profile's)"
    )
    parser.set_defaults(run=run_ablate)


def run_ablate(args: argparse.Namespace) -> int:
    """Run a row and tell its result, or list the rows; returns the exit code."""
    study = _chosen(args)[1]
    grid = load_grid(args.grid or study.grid)
    if args.list:
        print(list_text(grid))
        return 0
    row = grid.row(args.row)
    space, out = study_space(args)
    folder = rows_folder(out, study.dataset)
    print(result_text(run_row(space, row, folder)))
    print(f"kept in {os.path.relpath(folder / row.name)}")
    return 0


def study_space(args: argparse.Namespace) -> tuple[Workspace, Path]:
    """The data set's workspace and the study's folder, from --profile, --dataset, --out, --data."""
    profile, study = _chosen(args)
    if args.data and not args.data.is_dir():
        raise ConfigError(f"--data {args.data}: no such folder; fetch it with: heclstm data fetch.")
    out = args.out or repo_root() / "reports" / profile.name
    return open_workspace(study, out / "work" / study.dataset, args.data), out


def _chosen(args: argparse.Namespace) -> tuple[Profile, DatasetStudy]:
    profile = load_profile(args.profile)
    return profile, profile.study(args.dataset) if args.dataset else profile.studies[0]


def list_text(grid: Grid) -> str:
    """The rows of a grid as a text table."""
    with pd.option_context("display.max_colwidth", None, "display.width", None):
        return list_rows(tuple(grid.rows.values())).to_string(index=False)


def result_text(result: RowResult) -> str:
    """What a row changed and what came out, in a few lines."""
    record = result.record
    lines = [f"{result.row.name}: {result.row.says} ({result.row.told()})"]
    if record["diverged"]:
        lines.append(f"training diverged: {record['diverged']}")
    for name in ("plan", "encrypted"):
        values = [f"{key} {_short(value)}" for key, value in record[name].items()]
        lines += [f"{name}: {', '.join(values)}"] if values else []
    return "\n".join([*lines, f"{record['seconds']} s, {len(result.predictions)} predictions"])


def _short(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
