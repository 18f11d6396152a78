"""The command `heclstm`, all its sub-commands. Errors are one message and exit code 2."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from heclstm_lib import __version__
from heclstm_lib.ablate_cli import add_ablate_parser
from heclstm_lib.bench_cli import add_bench_parser
from heclstm_lib.calibrate_cli import add_calibrate_parser
from heclstm_lib.capacity_cli import add_capacity_parser
from heclstm_lib.config import list_profiles
from heclstm_lib.data_cli import add_data_parser
from heclstm_lib.dispatch import run_command
from heclstm_lib.errors import ReportError
from heclstm_lib.party_cli import add_party_parsers
from heclstm_lib.plan_cli import add_plan_parser
from heclstm_lib.record import FILE
from heclstm_lib.robustness_cli import add_robustness_parser
from heclstm_lib.serve_cli import add_serve_parser
from heclstm_lib.study import render_study, run_study
from heclstm_lib.tune_cli import add_tune_parser
from heclstm_lib.workflow_cli import add_workflow_parsers

EXAMPLES = """examples:
  heclstm study                                       the embedded data set, about 10 minutes
  heclstm study --profile smoke --out reports/smoke   the same story in a few minutes
  heclstm study --profile reference --dataset iarc --data ../shared/data
  heclstm study --profile reference --resume          go on where the last run stopped
  heclstm report reports/default                      render executed notebooks again
  heclstm data list
  heclstm plan --profile smoke --json
  heclstm keygen --signature signature.json           then encrypt, evaluate, decrypt
  heclstm ablate --profile smoke --row no_lstm
  heclstm calibrate --poly-degree 16384
  heclstm bench --list
  heclstm capacity --sequences 1e6 --hospitals 100 --deadline-days 30
"""


def make_parser() -> argparse.ArgumentParser:
    """The command line with all its sub-commands; each sets `run`, returning the exit code."""
    parser = argparse.ArgumentParser(
        prog="heclstm",
        description="Diagnosis of encrypted medical image sequences with a convolutional LSTM.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"heclstm {__version__}")
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    _add_study(commands)
    _add_report(commands)
    add_data_parser(commands)
    add_plan_parser(commands)
    add_party_parsers(commands)
    add_ablate_parser(commands)
    add_tune_parser(commands)
    add_calibrate_parser(commands)
    add_bench_parser(commands)
    add_capacity_parser(commands)
    add_serve_parser(commands)
    add_robustness_parser(commands)
    add_workflow_parsers(commands)
    return parser


def _add_study(commands: Any) -> None:
    study = commands.add_parser(
        "study",
        help="run the notebooks of a profile and render the reports",
        description="Run every notebook of a profile and render the reports and their index.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    study.add_argument(
        "--profile",
        default="default",
        help=f"one of {', '.join(list_profiles())}, or a .yml file (default: default)",
    )
    study.add_argument("--data", type=Path, help="folder of the fetched data (see heclstm data)")
    study.add_argument("--out", type=Path, help="folder of this study (default: reports/PROFILE)")
    study.add_argument(
        "--dataset",
        action="append",
        default=[],
        metavar="NAME",
        help="only this data set of the profile; may be repeated",
    )
    study.add_argument("--resume", action="store_true", help="keep what is done and unchanged")
    study.set_defaults(run=run_study_command)


def _add_report(commands: Any) -> None:
    report = commands.add_parser("report", help="render a study's executed notebooks again")
    report.add_argument("out", type=Path, help="the study's folder, e.g. reports/default")
    report.set_defaults(run=run_report_command)


def run_study_command(args: argparse.Namespace) -> int:
    """`heclstm study`; ends with the path of the index."""
    if args.data and not args.data.is_dir():
        raise ReportError(f"--data {args.data}: no such folder; fetch it with: heclstm data fetch.")
    index = run_study(
        args.profile, args.out, args.data, datasets=args.dataset, resume=args.resume
    )  # fmt: skip
    print(f"\nReports: {os.path.relpath(index)}")
    return 0


def run_report_command(args: argparse.Namespace) -> int:
    """`heclstm report`: notebooks to HTML and a new index, nothing is executed."""
    if not (args.out / FILE).is_file():
        raise ReportError(f"no study in {args.out} ({FILE} is missing); run heclstm study first.")
    print(f"Reports: {os.path.relpath(render_study(args.out))}")
    return 0


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit code, see `dispatch.run_command`."""
    return run_command(make_parser().parse_args(arguments), "heclstm")


if __name__ == "__main__":
    sys.exit(main())
