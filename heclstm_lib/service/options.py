"""What an operator decides of the service: files, address, and the limits that protect it."""

from __future__ import annotations

import argparse
import dataclasses
from dataclasses import dataclass
from pathlib import Path

from heclstm_lib.errors import ServiceError

HELP = {
    "plan": "the plan to serve (.npz of heclstm plan --out)",
    "state": "folder for bundles, jobs and results",
    "tokens": "file of name:sha256 (default: HECLSTM_TOKENS)",
    "host": "address to listen at",
    "port": "port to listen at",
    "workers": "processes that evaluate",
    "memory_mb": "data memory of a worker at most, in MB",
    "queue": "jobs and checks that may wait",
    "uploads": "uploads at a time; a hospital gets half of them",
    "connections": "connections at a time",
    "bundles": "public bundles a hospital may keep",
    "jobs": "jobs a hospital may keep, with their results",
    "idle_s": "seconds an upload may stand still",
    "slowest_kb_s": "kB/s an upload must reach over its whole length",
    "stall_s": "seconds a worker may take for one operation",
    "spare_mb": "MB of disk that uploads leave free",
    "flood_bits": "hide the model in the results by noise of so many bits (0: fresh zero only)",
}


@dataclass(frozen=True)
class ServiceOptions:
    """Files, address, limits; every field is an option of `heclstm serve`."""

    plan: Path = Path("plan.npz")
    state: Path = Path("service")
    tokens: Path | None = None
    host: str = "127.0.0.1"
    port: int = 8750
    workers: int = 1
    memory_mb: int = 8192
    queue: int = 64
    uploads: int = 8
    connections: int = 200
    bundles: int = 4
    jobs: int = 100
    idle_s: float = 20.0
    slowest_kb_s: float = 64.0
    stall_s: float = 3600.0
    spare_mb: int = 512
    flood_bits: int | None = 0

    def check(self) -> None:
        """Raise ServiceError for a number out of range."""
        for one in dataclasses.fields(self):
            value = getattr(self, one.name)
            least = 0 if one.name in ("port", "spare_mb", "flood_bits") else 1
            if isinstance(value, int | float) and not value >= least:
                raise ServiceError(f"{_flag(one.name)}: expected at least {least}, got {value}.")
        if self.port > 65535:
            raise ServiceError(f"--port: expected at most 65535, got {self.port}.")

    def arguments(self) -> list[str]:
        """The command line that gives these options."""
        pairs = ((_flag(f.name), getattr(self, f.name)) for f in dataclasses.fields(self))
        return [word for flag, value in pairs if value is not None for word in (flag, str(value))]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """An argument for every option."""
    kinds = {
        "Path": Path,
        "Path | None": Path,
        "str": str,
        "int": int,
        "int | None": int,
        "float": float,
    }
    for one in dataclasses.fields(ServiceOptions):
        default = "" if one.default is None else f" (default: {one.default})"
        parser.add_argument(
            _flag(one.name),
            type=kinds[str(one.type)],
            default=one.default,
            help=HELP[one.name] + default,
        )


def from_arguments(args: argparse.Namespace) -> ServiceOptions:
    """The options of a parsed command line; ServiceError for a number out of range."""
    names = [one.name for one in dataclasses.fields(ServiceOptions)]
    options = ServiceOptions(**{name: getattr(args, name) for name in names})
    options.check()
    return options


def _flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"
