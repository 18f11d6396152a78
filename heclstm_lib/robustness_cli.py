"""`heclstm robustness`: faults put in on purpose, and a table of what became of them."""

from __future__ import annotations

import argparse
import os
import shlex
import tempfile
from pathlib import Path

from heclstm_lib.paths import repo_root
from heclstm_lib.robustness.campaigns import CAMPAIGNS, choose_counts
from heclstm_lib.robustness.report import load_entries, make_entry, write_report

EXAMPLES = """examples:
  heclstm robustness --list                            campaigns, and how much of each is run
  heclstm robustness --quick --out reports/robustness_quick
  heclstm robustness                                   everything; hours
  heclstm robustness fuzz bit_flips --seed 7
  heclstm robustness --counts kills=200 fuzz=100000

Each campaign is written into the report as it ends; campaigns that are not run keep the rows they
have there. Exit code: 0, or 1 when something was wrongly accepted, crashed or hung.
"""
SOMETHING_WRONG = 1


def add_robustness_parser(
    subparsers: argparse._SubParsersAction[argparse.ArgumentParser],
) -> None:
    """Register `heclstm robustness`."""
    parser = subparsers.add_parser(
        "robustness",
        help="put in faults on purpose and see whether they are met",
        description="Fuzzed inputs, flipped bits, killed batches, full disks, hostile clients: "
        "run campaigns of faults on small cases and write a table.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help="only these (default: all)")
    parser.add_argument("--out", type=Path, help="default: reports/robustness")
    parser.add_argument(
        "--counts", nargs="+", default=[], metavar="NAME=N", help="how often each is to try"
    )
    parser.add_argument("--seed", type=int, default=0, help="of all that is drawn (default: 0)")
    parser.add_argument("--quick", action="store_true", help="a few of each, minutes in all")
    parser.add_argument("--list", action="store_true", help="show the campaigns, and end")
    parser.set_defaults(run=run_robustness)


def run_robustness(args: argparse.Namespace) -> int:
    """Run the campaigns, write the report after each, print a line for each; the exit code."""
    counts = choose_counts(args.names, args.counts, args.quick)
    if args.list:
        for name, count in counts.items():
            print(f"{name:10} {count:>7}  {CAMPAIGNS[name].title}")
        return 0
    out = args.out or repo_root() / "reports" / "robustness"
    entries = load_entries(out)
    for name, count in counts.items():
        with tempfile.TemporaryDirectory(prefix=f"heclstm-{name}-") as folder:
            outcome = CAMPAIGNS[name].load()(count, args.seed, Path(folder))
        command = command_text(name, count, args.seed)
        entries[name] = make_entry(name, args.seed, command, outcome)
        page = write_report(out, entries)
        print(
            f"{name}: {outcome.tried} tried, {outcome.detected} met, {outcome.wrong} wrong, "
            f"{outcome.crashed} crashed, {outcome.hung} hung; {outcome.seconds:.0f} s",
            flush=True,
        )
    print(f"\nReport: {os.path.relpath(page)}")
    return 0 if all(entries[name].ok for name in counts) else SOMETHING_WRONG


def command_text(name: str, count: int, seed: int) -> str:
    """The command that repeats one campaign."""
    return shlex.join(
        ["heclstm", "robustness", name, "--counts", f"{name}={count}", "--seed", str(seed)]
    )
