"""`heclstm plan`: the plan chosen for a task, its runners-up, security and size, without keys."""

from __future__ import annotations

import argparse
import dataclasses
import json
from pathlib import Path

import pandas as pd

from heclstm_lib.compiler.untrained import untrained_model
from heclstm_lib.config import HEConfig, load_profile
from heclstm_lib.errors import ConfigError
from heclstm_lib.he.params import security_report
from heclstm_lib.he.plan import Plan
from heclstm_lib.he.segments import refresh_summary, segment_rows
from heclstm_lib.he.store import write_plan, write_signature
from heclstm_lib.models.checkpoint import load_bundle
from heclstm_lib.models.fold import fold_network
from heclstm_lib.stages.planning import candidate_table, choose_study_plan

EXAMPLES = """examples:
  heclstm plan
  heclstm plan --profile smoke --json
  heclstm plan --refresh --degree 16384
  heclstm plan --profile reference --dataset iarc --sequences 1
  heclstm plan --sequences 4096 --memory-gb 8 --latency-s 60
  heclstm plan --model reports/default/work/embedded/fold0/polynomial.pt
"""


def add_plan_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Register `heclstm plan`."""
    parser = subparsers.add_parser(
        "plan",
        help="plan an encrypted evaluation and check it, without keys",
        description="Choose the packing of a profile's network for a number of sequences, by the "
        "measured cost of each primitive (heclstm calibrate), and show levels, rotations, bytes, "
        "128-bit security and the runners-up. Without --model the network has untrained weights; "
        "the operations are the same.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--profile", default="default", help="profile name or .yml file")
    parser.add_argument("--dataset", help="data set of the profile (default: its first)")
    parser.add_argument("--model", type=Path, help="trained polynomial twin (polynomial.pt)")
    parser.add_argument(
        "--sequences", type=int, default=1, help="sequences to evaluate in all (default: 1)"
    )
    parser.add_argument("--batch", type=int, help="sequences evaluated together (default: chosen)")
    parser.add_argument("--workers", type=int, help="server processes (default: the profile's)")
    parser.add_argument("--memory-gb", type=float, help="for all workers (default: the profile's)")
    parser.add_argument("--latency-s", type=float, help="the longest that a batch may take")
    parser.add_argument(
        "--refresh",
        action="store_true",
        help="have the client re-encrypt the masked LSTM state between frames: fewer levels, "
        "a round trip a frame, so --degree 16384 will do",
    )
    parser.add_argument("--degree", type=int, help="ring degree N (default: the profile's)")
    parser.add_argument("--top", type=int, default=8, help="runners-up shown (default: 8)")
    parser.add_argument(
        "--out", type=Path, help="write the plan to this .npz file, signature.json beside it"
    )
    parser.add_argument("--json", action="store_true", help="print JSON instead of tables")
    parser.set_defaults(run=run_plan)


def run_plan(args: argparse.Namespace) -> int:
    """Plan, print, and optionally write; returns the exit code."""
    profile = load_profile(args.profile)
    study = profile.study(args.dataset) if args.dataset else profile.studies[0]
    if args.sequences < 1:
        raise ConfigError(f"--sequences: expected at least 1, got {args.sequences}.")
    study = dataclasses.replace(study, he=_limited(study.he, args))
    model = load_bundle(args.model).model if args.model else untrained_model(study)
    choice = choose_study_plan(fold_network(model), study, args.sequences)
    plan, table = choice.chosen.plan, candidate_table(choice)
    if args.out:
        write_plan(plan, args.out)
        write_signature(plan.signature, args.out.with_name("signature.json"))
    if args.json:
        candidates = json.loads(table.to_json(orient="records"))
        print(json.dumps(plan_json(plan) | {"candidates": candidates}, indent=1))
    else:
        print(plan_text(plan), candidate_text(table.head(args.top + 1)), sep="\n\n")
    return 0


def _limited(he: HEConfig, args: argparse.Namespace) -> HEConfig:
    """The profile's HE configuration with the limits given on the command line."""
    given = {
        "sequences": args.batch, "workers": args.workers, "memory_gb": args.memory_gb,
        "latency_s": args.latency_s, "poly_degree": args.degree,
    }  # fmt: skip
    changes = {name: value for name, value in given.items() if value is not None}
    if args.refresh:
        changes["refresh"] = True
    return dataclasses.replace(he, evaluate_at_most=None, **changes)


def candidate_text(table: pd.DataFrame) -> str:
    """The candidates as a text table, the chosen one first."""
    shown = table.drop(columns=["sequences", "levels"]).to_string(
        index=False, float_format="{:.3g}".format
    )
    return f"candidates, by predicted time for the whole task:\n{shown}"


def plan_json(plan: Plan) -> dict[str, object]:
    """Summary, refreshes, segments, layers and every operation."""
    parts = {"layers": plan.layer_rows(), "segments": segment_rows(plan)}
    return plan.summary() | refresh_summary(plan) | parts | plan.to_dict()


def plan_text(plan: Plan) -> str:
    """The layer table and the facts a person asks first."""
    security = security_report(plan.params)
    lines = [
        plan.table(),
        "",
        f"operations      {len(plan.ops)} in {plan.depth} levels, scale 2^{plan.params.scale_bits}",
        f"ring degree     N = {plan.params.poly_degree}, {plan.params.slots} slots, "
        f"{plan.layout.sequences} sequence(s) together",
        f"security        log2(QP) = {security['total_bits']} bits; 128-bit limits: "
        f"{security['limit_2018_bits']} (2018), {security['limit_2024_bits']} (2024): "
        f"{'within both' if security['secure'] else 'EXCEEDED'}",
        f"rotations       {len(plan.rotations)} Galois keys: {list(plan.rotations)}",
        f"evaluation keys {plan.key_bytes() / 1e9:.2f} GB in memory",
        f"upload          {plan.inputs.count} ciphertexts, {plan.upload_bytes() / 1e6:.0f} MB",
    ]
    return "\n".join(lines + (refresh_lines(plan) if plan.refreshes else []))


def refresh_lines(plan: Plan) -> list[str]:
    """What passes between server and client on the way, and each segment."""
    found = refresh_summary(plan)
    return [
        f"refreshes       {found['round_trips']} round trips, "
        f"{found['refresh_bytes_per_batch'] / 1e6:.1f} MB; masks of {found['mask_bits']} bits hide "
        f"the state by {found['hiding_bits']:.1f} bits",
        "",
        pd.DataFrame(segment_rows(plan)).to_string(index=False),
    ]
