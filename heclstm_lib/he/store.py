"""Plans on disk, nothing executable: the server's .npz, and the client's signature as JSON.

The .npz holds the plan's JSON and its plaintext vectors (the weights); the signature has neither.
"""

from __future__ import annotations

import hashlib
import json
import math
import zipfile
import zlib
from dataclasses import asdict
from pathlib import Path
from tokenize import TokenError
from typing import Any

import numpy as np

from heclstm_lib.errors import PlanError
from heclstm_lib.files import replacing
from heclstm_lib.he.check import check_channels, check_signature
from heclstm_lib.he.check_types import check_types
from heclstm_lib.he.packing import Layout, Vector
from heclstm_lib.he.params import CkksParameters
from heclstm_lib.he.plan import Op, Plan
from heclstm_lib.he.signature import InputSpec, OutputSpec, Refresh, Signature

_UNREADABLE = (
    OSError, EOFError, LookupError, TypeError, ValueError, AttributeError, ArithmeticError,
    RuntimeError, TokenError, zipfile.BadZipFile, zlib.error,
)  # fmt: skip
"""What Python, NumPy and zipfile raise for files that are not what they should be."""

CHECKSUM = "sha256"
"""Field of a signature's file: the checksum of all others."""


def write_plan(plan: Plan, path: Path) -> None:
    """Write a plan atomically."""
    text = json.dumps(plan.to_dict() | {"digest": plan.digest})
    shapes = json.dumps([constant.shape for constant in plan.constants])
    flat = np.concatenate([np.zeros(0), *(constant.ravel() for constant in plan.constants)])
    with replacing(path) as part, part.open("wb") as file:
        np.savez_compressed(file, plan=np.array(text), shapes=np.array(shapes), constants=flat)


def load_plan(path: Path) -> Plan:
    """Load a plan and check its digest; PlanError for anything that is not one."""
    try:
        with np.load(path, allow_pickle=False) as stored:
            raw, shapes = json.loads(str(stored["plan"])), json.loads(str(stored["shapes"]))
            plan = _from_dict(raw, _split(stored["constants"], shapes))
            digest = raw["digest"]
    except _UNREADABLE as error:
        raise PlanError(
            f"{path} is no plan of this version: {error}. Run the conversion notebook (03) again."
        ) from error
    if plan.digest != digest:
        raise PlanError(f"{path}: digest does not match; the file was altered. Plan again.")
    return plan


def _split(flat: Vector, shapes: list[list[int]]) -> tuple[Vector, ...]:
    if flat.dtype != np.float64 or flat.ndim != 1:
        raise ValueError(f"constants are {flat.ndim}-dimensional {flat.dtype}")
    ends = np.cumsum([math.prod(shape) for shape in shapes])
    parts = np.split(flat, ends[:-1]) if shapes else []
    return tuple(part.reshape(shape) for part, shape in zip(parts, shapes, strict=True))


def _from_dict(raw: dict[str, Any], constants: tuple[Vector, ...]) -> Plan:
    ops = tuple(Op(**(op | {"args": tuple(op["args"])})) for op in raw["ops"])
    return Plan(**_interface(raw), ops=ops, constants=constants, results=tuple(raw["results"]))


def _interface(raw: dict[str, Any]) -> dict[str, Any]:
    """What a plan and its signature share."""
    inputs, outputs = raw["inputs"], raw["outputs"]
    patterns = tuple(tuple(row) for row in inputs["patterns"])
    return {
        "params": CkksParameters(**raw["params"]),
        "layout": Layout(**raw["layout"]),
        "inputs": InputSpec(inputs["frames"], tuple(inputs["shape"]), patterns),
        "outputs": OutputSpec(tuple(tuple(row) for row in outputs["places"])),
    }


def write_signature(signature: Signature, path: Path) -> None:
    """Write a plan's signature as JSON, atomically: all that a client needs of the plan."""
    raw = json.loads(json.dumps(asdict(signature)))
    with replacing(path) as part:
        text = json.dumps(raw | {CHECKSUM: signature_checksum(raw)})
        part.write_text(text, encoding="utf-8")


def signature_checksum(raw: dict[str, Any]) -> str:
    """sha256 over the fields of a signature as they stand in its file; it finds damage."""
    return hashlib.sha256(json.dumps(raw, sort_keys=True).encode()).hexdigest()


def _pairs(rows: list[list[float]] | None) -> tuple[tuple[float, float], ...] | None:
    return None if rows is None else tuple((float(one), float(other)) for one, other in rows)


def load_signature(path: Path) -> Signature:
    """Load a plan's signature; PlanError for anything that is not one."""
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
        checksum = raw.pop(CHECKSUM, None)
        altered = checksum is not None and checksum != signature_checksum(raw)
        shared = _interface(raw)
        refreshes = tuple(Refresh(**one) for one in raw["refreshes"])
        own = {
            "rotations": tuple(raw["rotations"]),
            "refreshes": refreshes,
            "input_range": _pairs(raw.get("input_range")),
            "normalisation": _pairs(raw.get("normalisation")),
        }
        signature = Signature(**(raw | shared | own))
        check_types(signature)
        check_signature(signature)
        check_channels(signature)
    except _UNREADABLE as error:
        raise PlanError(
            f"{path} is no plan's signature of this version: {error!r}. Run the conversion "
            "notebook (03) again."
        ) from error
    if altered:
        raise PlanError(
            f"{path}: its checksum does not match; the file was damaged. Get it again, or run the "
            "conversion notebook (03) again."
        )
    return signature
