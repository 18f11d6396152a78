"""Plans on disk, nothing executable: the server's .npz, and the client's signature as JSON.

The .npz holds the plan's JSON and its plaintext vectors (the weights); the signature has neither.
"""

from __future__ import annotations

import json
import zipfile
import zlib
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from heclstm_lib.errors import PlanError
from heclstm_lib.files import replacing
from heclstm_lib.he.packing import Layout
from heclstm_lib.he.params import CkksParameters
from heclstm_lib.he.plan import InputSpec, Op, Plan, Signature, check_signature

_UNREADABLE = (OSError, EOFError, KeyError, TypeError, ValueError, zipfile.BadZipFile, zlib.error)


def write_plan(plan: Plan, path: Path) -> None:
    """Write a plan atomically."""
    text = json.dumps(plan.to_dict() | {"digest": plan.digest})
    with replacing(path) as part, part.open("wb") as file:
        np.savez_compressed(file, plan=np.array(text), constants=np.array(plan.constants))


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
    ops = tuple(Op(**(op | {"args": tuple(op["args"])})) for op in raw["ops"])
    return Plan(
        CkksParameters(**raw["params"]),
        Layout(**raw["layout"]),
        _inputs(raw),
        ops,
        constants,
        raw["output"],
    )


def _inputs(raw: dict[str, Any]) -> InputSpec:
    return InputSpec(**(raw["inputs"] | {"content": tuple(raw["inputs"]["content"])}))


def write_signature(signature: Signature, path: Path) -> None:
    """Write a plan's signature as JSON, atomically: all that a client needs of the plan."""
    with replacing(path) as part:
        part.write_text(json.dumps(asdict(signature)), encoding="utf-8")


def load_signature(path: Path) -> Signature:
    """Load a plan's signature; PlanError for anything that is not one."""
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
        parts = {
            "params": CkksParameters(**raw["params"]),
            "layout": Layout(**raw["layout"]),
            "inputs": _inputs(raw),
            "rotations": tuple(raw["rotations"]),
        }
        signature = Signature(**(raw | parts))
    except _UNREADABLE as error:
        raise PlanError(
            f"{path} is no plan's signature of this version: {error!r}. Run the conversion "
            "notebook (03) again."
        ) from error
    check_signature(signature)
    return signature
