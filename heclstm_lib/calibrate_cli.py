"""`heclstm calibrate`: measure what every primitive costs on this processor, and keep it."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import pandas as pd

from heclstm_lib.compiler.chain import LARGEST_PRIME_BITS, choose_chain, longest_chain
from heclstm_lib.compiler.untrained import untrained_model
from heclstm_lib.config import load_profile
from heclstm_lib.errors import ConfigError
from heclstm_lib.evaluation.cost_model import load_costs
from heclstm_lib.evaluation.primitive_calls import MEASURED
from heclstm_lib.evaluation.primitives import load_primitives, primitives_path
from heclstm_lib.he.params import CkksParameters
from heclstm_lib.models.checkpoint import load_bundle
from heclstm_lib.models.fold import fold_network
from heclstm_lib.paths import cache_root
from heclstm_lib.stages.planning import choose_study_plan

EXAMPLES = """examples:
  heclstm calibrate                                    the chain of the default profile's plan
  heclstm calibrate --profile smoke --refresh          measure again
  heclstm calibrate --poly-degree 16384                the longest chain of that ring degree
  heclstm calibrate --poly-degree 32768 --levels 24 --scale-bits 32
  heclstm calibrate --poly-degree 32768 --estimate     what the planner assumes unmeasured
"""


def add_calibrate_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Register `heclstm calibrate`."""
    parser = subparsers.add_parser(
        "calibrate",
        help="measure the primitives on this processor for the planner and the floor",
        description="Measure every CKKS primitive at every level, and keep the "
        "costs for this processor. A chain serves all shorter chains of its ring degree; what "
        "was not measured is estimated from operation counts.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--profile", default="default", help="profile name or .yml file")
    parser.add_argument("--dataset", help="data set of the profile (default: its first)")
    parser.add_argument("--model", type=Path, help="trained polynomial twin (polynomial.pt)")
    parser.add_argument("--poly-degree", type=int, help="N; instead of a profile's plan")
    parser.add_argument("--levels", type=int, help="with --poly-degree (default: the most)")
    parser.add_argument("--scale-bits", type=int, help="with --poly-degree")
    parser.add_argument("--repeats", type=int, default=9, help="runs of a cheap primitive")
    parser.add_argument("--refresh", action="store_true", help="measure again")
    parser.add_argument("--estimate", action="store_true", help="show the estimate, measure not")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    parser.set_defaults(run=run_calibrate)


def run_calibrate(args: argparse.Namespace) -> int:
    """Measure or read the costs and print them; returns the exit code."""
    if args.repeats < 1:
        raise ConfigError(f"--repeats: expected at least 1, got {args.repeats}.")
    params, cache = chosen_parameters(args), cache_root()
    if not args.estimate:
        load_primitives(params, cache, args.repeats, args.refresh, progress=True)
    model = load_costs(cache).model(params)
    table = model.table() if args.estimate else load_primitives(params, cache)
    if args.json:
        rows = table[["kind", "level", "seconds"]].to_dict(orient="records")
        print(json.dumps({"source": model.source, "params": vars(params), "costs": rows}, indent=1))
    else:
        kept = "" if args.estimate else f"\nkept in {primitives_path(params, cache).name}"
        print(cost_text(params, table) + f"\n\n{model.source}{kept}")
    return 0


def chosen_parameters(args: argparse.Namespace) -> CkksParameters:
    """The parameters of --poly-degree, --levels and --scale-bits, or of a profile's plan."""
    if args.poly_degree is None:
        if args.levels is not None or args.scale_bits is not None:
            raise ConfigError("--levels and --scale-bits go with --poly-degree.")
        profile = load_profile(args.profile)
        study = profile.study(args.dataset) if args.dataset else profile.studies[0]
        model = load_bundle(args.model).model if args.model else untrained_model(study)
        return choose_study_plan(fold_network(model), study, 1).chosen.plan.params
    widest = LARGEST_PRIME_BITS - 12  # the special prime is that much larger
    if args.scale_bits is not None and not 1 <= args.scale_bits <= widest:
        raise ConfigError(f"--scale-bits: expected 1 to {widest}, got {args.scale_bits}.")
    if args.levels is None:
        return longest_chain(args.poly_degree, *filter(None, [args.scale_bits]))
    if args.levels < 1:
        raise ConfigError(f"--levels: expected at least 1, got {args.levels}.")
    return choose_chain(args.levels, args.poly_degree, args.scale_bits)


def cost_text(params: CkksParameters, table: pd.DataFrame) -> str:
    """The costs as a table of milliseconds, one line a level."""
    wide = table.pivot(index="level", columns="kind", values="seconds").sort_index(ascending=False)
    kinds = [kind for kind in MEASURED if kind in wide]
    shown = (wide[kinds] * 1e3).to_string(float_format="{:.3g}".format, na_rep="")
    return (
        f"milliseconds at N = {params.poly_degree}, {params.levels} levels of "
        f"{params.scale_bits} bits; weighted_sum: a multiply-accumulate\n{shown}"
    )
