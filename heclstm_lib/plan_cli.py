"""`heclstm plan`: what the server would compute, its security and its size, without any key."""

from __future__ import annotations

import argparse
import dataclasses
import json
from pathlib import Path

from heclstm_lib.config import DatasetStudy, load_profile
from heclstm_lib.he.params import security_report
from heclstm_lib.he.plan import Plan
from heclstm_lib.he.store import write_plan
from heclstm_lib.models.checkpoint import load_bundle
from heclstm_lib.models.convlstm import ConvLSTM
from heclstm_lib.models.fold import fold_network
from heclstm_lib.stages.conversion import plan_network_of

EXAMPLES = """examples:
  heclstm plan
  heclstm plan --profile smoke --json
  heclstm plan --profile reference --dataset iarc --sequences 1
  heclstm plan --model reports/default/work/embedded/fold0/polynomial.pt
"""


def add_plan_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Register `heclstm plan`."""
    parser = subparsers.add_parser(
        "plan",
        help="plan an encrypted evaluation and check it, without keys",
        description="Plan the encrypted evaluation of a profile's network: levels, rotations, "
        "bytes, 128-bit security. Without --model the network has untrained weights; the "
        "operations are the same.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--profile", default="default", help="profile name or .yml file")
    parser.add_argument("--dataset", help="data set of the profile (default: its first)")
    parser.add_argument("--model", type=Path, help="trained polynomial twin (polynomial.pt)")
    parser.add_argument("--sequences", type=int, help="sequences evaluated together")
    parser.add_argument("--out", type=Path, help="also write the plan to this .npz file")
    parser.add_argument("--json", action="store_true", help="print JSON instead of tables")
    parser.set_defaults(run=run_plan)


def run_plan(args: argparse.Namespace) -> int:
    """Plan, print, and optionally write; returns the exit code."""
    profile = load_profile(args.profile)
    study = profile.study(args.dataset) if args.dataset else profile.studies[0]
    if args.sequences is not None:
        study = dataclasses.replace(
            study, he=dataclasses.replace(study.he, sequences=args.sequences)
        )
    model = load_bundle(args.model).model if args.model else untrained_model(study)
    plan = plan_network_of(fold_network(model), study)
    if args.out:
        write_plan(plan, args.out)
    print(json.dumps(plan_json(plan), indent=1) if args.json else plan_text(plan))
    return 0


def untrained_model(study: DatasetStudy) -> ConvLSTM:
    """The study's polynomial twin with initial weights."""
    channels = 3 if study.data.colour == "rgb" else 1
    return ConvLSTM(
        study.model, channels, study.data.image_size, study.data.frames, "polynomial"
    ).eval()


def plan_json(plan: Plan) -> dict[str, object]:
    """Summary, layers and every operation."""
    return plan.summary() | {"layers": plan.layer_rows()} | plan.to_dict()


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
    return "\n".join(lines)
