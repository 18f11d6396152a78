"""`heclstm tune`: compare candidates on training and validation patients of an official split."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from heclstm_lib.ablate_cli import study_space
from heclstm_lib.data.splits import FOLDS
from heclstm_lib.grid import load_grid
from heclstm_lib.results import ResultStore
from heclstm_lib.stages.tune import tune, tuning_space

EXAMPLES = """examples:
  heclstm ablate --list                                     the rows there are
  heclstm tune --profile reference --dataset adrenalmnist3d --row distilled --row pretrained
"""


def add_tune_parser(commands: Any) -> None:
    """Add the sub-command."""
    parser = commands.add_parser(
        "tune",
        help="cross-validate rows of the ablation grid without the test patients",
        description="Train rows of the ablation grid on cross-validation folds of the training and "
        "validation patients of an official split, and compare them with the study as it stands. "
        "No test patient is read. The table goes to the data set's results, where notebook 02 "
        "shows it; finished rows are kept.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--profile", default="reference", help="profile name or .yml file")
    parser.add_argument("--dataset", required=True, help="data set of the profile")
    parser.add_argument(
        "--row", action="append", required=True, metavar="NAME", help="a row; may be repeated"
    )
    parser.add_argument(
        "--folds", type=int, default=FOLDS, help=f"folds to run, of {FOLDS} (default: all)"
    )
    parser.add_argument("--out", type=Path, help="folder of the study (default: reports/PROFILE)")
    parser.add_argument("--data", type=Path, help="folder of the fetched data (see heclstm data)")
    parser.set_defaults(run=run_tune)


def run_tune(args: argparse.Namespace) -> int:
    """Cross-validate the rows and print the table; returns the exit code."""
    space, out = study_space(args)
    grid = load_grid(space.study.grid)
    rows = [grid.row(name) for name in dict.fromkeys(args.row)]
    own = tuning_space(space, out / "work" / f"{space.study.dataset}-tuning", args.folds)
    table = tune(own, rows, ResultStore(out / space.study.dataset / "results"))
    shown = ["method", "estimate", "ci_low", "ci_high", "difference", "difference_low",
             "difference_high", "n_patients"]  # fmt: skip
    print(table[shown].to_string(index=False, float_format="{:.3f}".format))
    return 0
