"""`heclstm capacity`: machines, hours, money, network and storage for a number of sequences."""

from __future__ import annotations

import argparse
import dataclasses
import json
import math
import os
import sys
from pathlib import Path

import pandas as pd

from heclstm_lib.capacity.accuracy import committed_folder
from heclstm_lib.capacity.answer import answer, answer_json, answer_text, simulated
from heclstm_lib.capacity.layout import Layout, layout_of
from heclstm_lib.capacity.layouts import layouts_of, plan_layouts
from heclstm_lib.capacity.machines import HERE, load_machine
from heclstm_lib.capacity.validate import Case, validate, write_validation
from heclstm_lib.capacity.workload import DAY_S, Workload
from heclstm_lib.compiler.planner import Candidate
from heclstm_lib.compiler.untrained import untrained_model
from heclstm_lib.config import DatasetStudy, load_profile
from heclstm_lib.errors import ConfigError
from heclstm_lib.evaluation.cost_model import CostLibrary, load_costs
from heclstm_lib.he.store import load_plan
from heclstm_lib.models.checkpoint import load_bundle
from heclstm_lib.models.fold import fold_network
from heclstm_lib.paths import cache_root
from heclstm_lib.stages.planning import LEAST_BITS

EXAMPLES = """examples:
  heclstm capacity --sequences 1e6 --hospitals 100 --deadline-days 30
  heclstm capacity --sequences 1e9 --hospitals 1e3 --deadline-days 365 --machine eight-cores
  heclstm capacity --sequences 1e5 --machines 4 --machine mine.yml:large --price 0.40
  heclstm capacity --sequences 1e4 --plan reports/default/work/embedded/fold0/plan.npz
  heclstm capacity --sequences 1e6 --deliveries 30 --profile smoke --simulate
  heclstm capacity --validate --profile smoke --together 8 256   run batches, compare

A machine file is YAML, sizes in decimal GB; what is left out has the value shown here:
  large: {cores: 16, memory_gb: 64.0, network_gbit_s: 1.0, disk_gb: .inf, price_per_hour: 1.0,
    speed: 1.0, full_slowdown: 1.05, failures_per_hour: 0.0, restart_s: 120.0}
"""


def add_capacity_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Register `heclstm capacity`."""
    parser = subparsers.add_parser(
        "capacity",
        help="predict machines, hours, money, network and storage for many sequences",
        description="For each layout (how many sequences share ciphertexts) predict, from the "
        "measured cost of each primitive (heclstm calibrate), what a number of sequences takes. "
        "A batch holds one hospital's sequences: with few of them, its places stay empty. Prices "
        "of the shipped machine types are 1 unit an hour; give your own.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    _add_question(parser)
    _add_network(parser)
    parser.add_argument("--simulate", action="store_true", help="check the cheapest by simulation")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    parser.add_argument(
        "--validate", action="store_true",
        help="run real encrypted batches of --together on 1 and 2 workers beside predictions",
    )  # fmt: skip
    parser.add_argument("--requests", type=int, default=8, help="with --validate (default: 8)")
    parser.add_argument("--repeats", type=int, default=3, help="with --validate (default: 3)")
    parser.add_argument("--out", type=Path, help="with --validate (default: reports/capacity)")
    parser.set_defaults(run=run_capacity)


def _add_question(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--sequences", type=whole, default=1_000_000, help="in all, e.g. 1e6 (default)"
    )
    parser.add_argument(
        "--hospitals", type=whole, default=1, help="each with its own keys (default: 1)"
    )
    parser.add_argument(
        "--deliveries", type=whole, default=1,
        help="how often each hospital sends; what comes together is packed together (default: 1)",
    )  # fmt: skip
    fleet = parser.add_mutually_exclusive_group()
    fleet.add_argument("--deadline-days", type=float, help="find the fewest machines for it")
    fleet.add_argument("--machines", type=whole, help="find the hours of so many (default: 1)")
    parser.add_argument(
        "--machine", default=HERE, metavar="NAME|FILE.yml[:NAME]",
        help="machine type: here (default), a shipped example, or your own",
    )  # fmt: skip
    parser.add_argument("--price", type=float, help="of a machine an hour, instead of its own")


def _add_network(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--plan", type=Path, help="only the layout of this plan.npz")
    parser.add_argument("--profile", default="default", help="profile name or .yml file")
    parser.add_argument("--dataset", help="data set of the profile (default: its first)")
    parser.add_argument("--model", type=Path, help="trained polynomial twin (polynomial.pt)")
    parser.add_argument("--degree", type=int, help="ring degree N (default: the profile's)")
    parser.add_argument(
        "--together", type=whole, nargs="+", metavar="N",
        help="only layouts of so many sequences a batch (powers of two)",
    )  # fmt: skip
    parser.add_argument(
        "--efficiency", type=float, default=1.0,
        help="predicted over measured seconds of your runs (default: 1)",
    )  # fmt: skip


def whole(text: str) -> int:
    """A whole number above 0, also as 1e6; argparse shows the error."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not (value >= 1 and value.is_integer()):
        raise argparse.ArgumentTypeError(f"expected a whole number above 0, got {text!r}")
    return int(value)


def run_capacity(args: argparse.Namespace) -> int:
    """Answer the question, or validate the model; returns the exit code."""
    for name in ("efficiency", "deadline_days", "price"):
        value = getattr(args, name)
        if value is not None and not 0 < value < math.inf:
            raise ConfigError(f"--{name.replace('_', '-')}: expected above 0, got {value:g}.")
    costs = load_costs(cache_root())
    if args.validate:
        return run_validation(args, costs)
    name, machine = load_machine(args.machine)
    if args.price is not None:
        machine = dataclasses.replace(machine, price_per_hour=args.price)
    deadline_s = DAY_S * args.deadline_days if args.deadline_days else math.inf
    workload = Workload(args.sequences, args.hospitals, args.deliveries, deadline_s)
    layouts, source = chosen_layouts(args, costs)
    found = [answer(workload, machine, layout, args.machines) for layout in layouts]
    check = simulated(found, workload, machine) if args.simulate else None
    if args.simulate and check is None:
        print("simulation: left out; nothing can be done, or too many batches.", file=sys.stderr)
    if args.json:
        print(json.dumps(answer_json(found, workload, name, machine, source, check), indent=1))
    else:
        print(answer_text(found, workload, name, machine, source, check))
    return 0


def chosen_layouts(args: argparse.Namespace, costs: CostLibrary) -> tuple[list[Layout], str]:
    """The layouts to compare, and where their costs come from."""
    if args.plan:
        plan = load_plan(args.plan)
        source = costs.model(plan.params).source
        return [layout_of(plan, costs.seconds, efficiency=args.efficiency)], source
    candidates = planned(args, costs)
    source = costs.model(candidates[-1].plan.params).source
    return layouts_of(candidates, costs.seconds, args.efficiency), source


def chosen_study(args: argparse.Namespace) -> DatasetStudy:
    """The study of --profile and --dataset."""
    profile = load_profile(args.profile)
    return profile.study(args.dataset) if args.dataset else profile.studies[0]


def planned(args: argparse.Namespace, costs: CostLibrary) -> list[Candidate]:
    """The plan of each layout of the study's network."""
    study = chosen_study(args)
    model = load_bundle(args.model).model if args.model else untrained_model(study)
    degree = args.degree or study.he.poly_degree
    return plan_layouts(
        fold_network(model), degree, costs.seconds, LEAST_BITS, together=args.together
    )


def run_validation(args: argparse.Namespace, costs: CostLibrary) -> int:
    """Predict, run and keep; prints the errors."""
    if args.requests < 1 or args.repeats < 1:
        raise ConfigError("--requests and --repeats: expected at least 1.")
    if not args.together:
        raise ConfigError("--validate: say which layouts, for instance --together 1 8.")
    name = Path(args.profile).stem
    cases = [Case(name, one.name, one.plan, args.requests) for one in planned(args, costs)]
    command = (
        f"heclstm capacity --validate --profile {name} --requests {args.requests} --repeats "
        f"{args.repeats} --together {' '.join(map(str, args.together))}"
    )
    out = args.out or committed_folder()
    for case in cases:  # kept one by one: they take long
        page = write_validation(validate([case], costs.seconds, repeats=args.repeats), out, command)
    errors = pd.DataFrame(json.loads(page.read_text(encoding="utf-8"))["errors"])
    print(errors.to_string(index=False, float_format="{:.3g}".format))
    print(f"\nkept in {os.path.relpath(page)}")
    return 0
