"""A hospital with a plan and keys on disk, and a service of two hospitals for it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from heclstm_lib.he.client import Client
from heclstm_lib.he.plan import Plan
from heclstm_lib.models.folded import FoldedNetwork
from heclstm_lib.robustness.service_process import ServiceProcess

NAMES = ["st-mary", "st-john"]


@dataclass
class Hospital:
    """A plan on disk, keys, a public bundle."""

    network: FoldedNetwork
    plan: Plan
    client: Client
    folder: Path

    @property
    def bundle(self) -> Path:
        return self.folder / "public.bundle"


def make_service(hospital: Hospital, folder: Path, **options: object) -> ServiceProcess:
    flags = {name.replace("_", "-"): value for name, value in options.items()}
    return ServiceProcess(hospital.folder / "plan.npz", folder, NAMES, {"memory-mb": 1024, **flags})
