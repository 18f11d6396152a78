"""Train every variant of a study and plan what it would cost encrypted."""

from __future__ import annotations

import pandas as pd

from heclstm_lib.errors import ConfigError, PlanError
from heclstm_lib.models.checkpoint import load_bundle
from heclstm_lib.models.fold import fold_network
from heclstm_lib.models.variants import VARIANTS, apply_variant
from heclstm_lib.stages.planning import choose_study_plan
from heclstm_lib.stages.training import train_folds
from heclstm_lib.stages.workspace import Workspace, open_workspace


def run_variants(space: Workspace) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Train the study's variants on every fold.

    Returns the test predictions of the polynomial twins (column `method` names the variant) and
    one row a variant on its plan: depth, scale, keys; `fits` says why not where it does not fit.
    Raises ConfigError when the study lists none.
    """
    if not space.study.ablations:
        raise ConfigError(
            f"the study of '{space.study.dataset}' lists no ablations; notebook 05 needs at least "
            f"one of {', '.join(VARIANTS)} under `ablations` in the profile."
        )
    predictions, plans = [], []
    for name in space.study.ablations:
        study = apply_variant(space.study, name)
        variant = open_workspace(study, space.folder / "variants" / name, space.data)
        table = train_folds(variant).predictions
        chosen = table.query("part == 'test' and twin == 'polynomial'")
        predictions.append(chosen.assign(method=name))
        plans.append({"variant": name} | plan_row(variant))
    return pd.concat(predictions, ignore_index=True), pd.DataFrame(plans)


def plan_row(space: Workspace) -> dict[str, object]:
    """What the first fold's plan says of depth and size, or why there is none."""
    fold = space.study.folds[0]
    trained = load_bundle(space.fold(fold) / "polynomial.pt")
    tested = len(space.sets(fold)["test"].labels)
    try:
        plan = choose_study_plan(fold_network(trained.model), space.study, tested).chosen.plan
    except PlanError as error:
        return {"fits": str(error)}
    return {
        "fits": "yes",
        "poly_degree": plan.params.poly_degree,
        "sequences": plan.layout.sequences,
        "levels": plan.depth,
        "scale_bits": plan.params.scale_bits,
        "total_bits": plan.params.total_bits,
        "galois_keys": len(plan.rotations),
        "rotations": sum(op.kind == "rotate" for op in plan.ops),
        "key_GB": round(plan.key_bytes() / 1e9, 2),
    }
