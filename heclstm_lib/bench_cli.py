"""`heclstm bench`: our plans and the rivals on the same cases, in one run."""

from __future__ import annotations

import argparse
import os
import shlex
from pathlib import Path
from typing import Any

from heclstm_lib.bench.contender import RIVALS_VARIABLE, contender_command, rivals_root
from heclstm_lib.bench.report import write_report
from heclstm_lib.bench.run import Bench
from heclstm_lib.bench.suites import Suite, choose_suites, load_suites
from heclstm_lib.bench.summary import summary_table
from heclstm_lib.bench.targets import target_rows
from heclstm_lib.errors import ConfigError, ContenderAbsent
from heclstm_lib.paths import repo_root

EXAMPLES = """examples:
  heclstm bench --list                                 suites, contenders, what is installed
  heclstm bench --quick                                a rehearsal with small cases
  heclstm bench                                        everything; hours
  heclstm bench --cases cnn lstm_step_1 --contenders ours openfhe
  heclstm bench --resume                               go on where the last run stopped
  heclstm bench --report                               write the report again, measure nothing
"""


def add_bench_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Register `heclstm bench`."""
    parser = subparsers.add_parser(
        "bench",
        help="measure our plans beside the rivals",
        description="Run every contender on the same cases, in turn, pinned to its cores, and "
        "check each decrypted output. Rivals that are not installed are left out and named. "
        "Finished runs are kept, so that --resume goes on with those that lack.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    several: dict[str, Any] = {"nargs": "+", "default": [], "metavar": "NAME"}
    parser.add_argument("--cases", help="only these suites or groups of suites", **several)
    parser.add_argument("--contenders", help="only these contenders", **several)
    parser.add_argument("--repeats", type=int, help="counted runs of each (default: the suite's)")
    parser.add_argument("--out", type=Path, help="default: reports/bench (reports/bench_quick)")
    parser.add_argument("--quick", action="store_true", help="small cases, few repeats")
    parser.add_argument("--config", help="a YAML file of suites instead of the shipped ones")
    parser.add_argument(
        "--rivals", type=Path, help=f"environments of the rivals (${RIVALS_VARIABLE}, else .rivals)"
    )
    parser.add_argument("--list", action="store_true", help="show what would run, and end")
    parser.add_argument("--resume", action="store_true", help="keep finished runs")
    parser.add_argument("--report", action="store_true", help="only write the report again")
    parser.set_defaults(run=run_bench)


def run_bench(args: argparse.Namespace) -> int:
    """Measure, write the report, print the targets; returns the exit code."""
    if args.repeats is not None and args.repeats < 1:
        raise ConfigError(f"--repeats: expected at least 1, got {args.repeats}.")
    known = load_suites(args.config or ("quick" if args.quick else "suites"))
    chosen = choose_suites(known, args.cases, args.contenders, args.repeats)
    rivals = args.rivals or rivals_root()
    if args.list:
        print(list_text(chosen, rivals))
        return 0
    out = args.out or repo_root() / "reports" / ("bench_quick" if args.quick else "bench")
    bench = Bench(out / "work", rivals)
    if not args.report:
        bench.run(chosen, args.resume)
    records = bench.records.load()
    page = write_report(records, known, command_text(args), out)
    for row in target_rows(summary_table(records)):
        print(f"{row['met']:>12}  {row['id']:>7}  {row['text']}")
    print(f"\nReport: {os.path.relpath(page)}")
    return 0


def command_text(args: argparse.Namespace) -> str:
    """The command without machine paths, for the report."""
    parts = ["heclstm", "bench"]
    for name in ("cases", "contenders"):
        parts += [f"--{name}", *getattr(args, name)] if getattr(args, name) else []
    parts += ["--repeats", str(args.repeats)] if args.repeats is not None else []
    parts += ["--config", Path(args.config).name] if args.config else []
    parts += [f"--{name}" for name in ("quick", "resume", "report") if getattr(args, name)]
    return shlex.join(parts)


def list_text(suites: tuple[Suite, ...], rivals: Path) -> str:
    """Suites with their contenders, and why some would be left out."""
    lines = []
    absent: dict[str, str] = {}
    for suite in suites:
        lines.append(f"{suite.name} ({suite.group}): {suite.title}")
        for entry in suite.entries:
            try:
                contender_command(entry.name, rivals)
            except ContenderAbsent as error:
                absent[entry.name] = str(error)
            missing = "  (not installed)" if entry.name in absent else ""
            lines.append(f"    {entry.title}, {suite.rounds(entry)} runs{missing}")
    lines += [f"\n{name}: {reason}" for name, reason in absent.items()]
    return "\n".join(lines)
