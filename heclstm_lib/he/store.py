"""A plan on disk: one .npz with the plan's JSON and its plaintext vectors, nothing executable."""

from __future__ import annotations

import json
import os
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from heclstm_lib.errors import PlanError
from heclstm_lib.he.packing import Layout
from heclstm_lib.he.params import CkksParameters
from heclstm_lib.he.plan import InputSpec, Op, Plan

_UNREADABLE = (OSError, EOFError, KeyError, TypeError, ValueError, zipfile.BadZipFile, zlib.error)


def write_plan(plan: Plan, path: Path) -> None:
    """Write a plan atomically."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}.part")
    text = json.dumps(plan.to_dict() | {"digest": plan.digest})
    with partial.open("wb") as file:
        np.savez_compressed(file, plan=np.array(text), constants=np.array(plan.constants))
    partial.replace(path)


def load_plan(path: Path) -> Plan:
    """Load a plan and check its digest; PlanError for anything that is not one."""
    try:
        with np.load(path, allow_pickle=False) as stored:
            raw, constants = json.loads(str(stored["plan"])), stored["constants"]
            plan, digest = _from_dict(raw, tuple(constants)), raw["digest"]
    except _UNREADABLE as error:
        raise PlanError(
            f"{path} is no plan of this version: {error}. Run the conversion notebook (03) again."
        ) from error
    if plan.digest != digest:
        raise PlanError(f"{path}: digest does not match; the file was altered. Plan again.")
    return plan


def _from_dict(raw: dict[str, Any], constants: tuple[Any, ...]) -> Plan:
    inputs = raw["inputs"] | {"content": tuple(raw["inputs"]["content"])}
    ops = tuple(Op(**(op | {"args": tuple(op["args"])})) for op in raw["ops"])
    return Plan(
        CkksParameters(**raw["params"]),
        Layout(**raw["layout"]),
        InputSpec(**inputs),
        ops,
        constants,
        raw["output"],
    )
