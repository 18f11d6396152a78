"""The campaigns of faults by name: module, and how much of it makes a full and a quick run."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from heclstm_lib.errors import ConfigError
from heclstm_lib.robustness.outcome import Outcome

Run = Callable[[int, int, Path], Outcome]


@dataclass(frozen=True)
class Campaign:
    """A module of this package with `run(count, seed, workdir) -> Outcome`."""

    module: str
    title: str
    count: int
    quick: int

    def load(self) -> Run:
        """Its function; imported here, since some need libraries or systems that others do not."""
        run: Run = importlib.import_module(f"heclstm_lib.robustness.{self.module}").run
        return run


CAMPAIGNS = {
    "fuzz": Campaign(
        "fuzz", "random mutations of messages, manifests, plans, SEAL objects", 100_000, 2_000
    ),
    "guided": Campaign(
        "guided", "coverage-guided inputs for the readers (needs atheris)", 100_000, 5_000
    ),
    "bit_flips": Campaign(
        "bit_flips", "one bit flipped in ciphertexts, keys, plan, signature", 20_000, 500
    ),
    "kills": Campaign("kills", "a batch killed at random points, then resumed", 200, 4),
    "disk": Campaign("disk", "full disks and missing permissions under a batch", 42, 7),
    "clients": Campaign("clients", "clumsy and hostile clients, fifty at once", 90, 18),
    "cluster": Campaign(
        "cluster",
        "Dask workers, scheduler killed in a batch from and to S3 (needs heclstm[cluster])",
        30,
        3,
    ),
    "overhead": Campaign(
        "overhead", "the same batches on Dask and on plain processes, timed", 5, 1
    ),
}


def choose_counts(names: Sequence[str], counts: Sequence[str], quick: bool) -> dict[str, int]:
    """How often each chosen campaign is to try; `counts` are "NAME=NUMBER".

    ConfigError for an unknown name or a number below 1.
    """
    given = dict(_parse(one) for one in counts)
    check_names([*names, *given])
    chosen = names or list(given) or list(CAMPAIGNS)
    sizes = {name: c.quick if quick else c.count for name, c in CAMPAIGNS.items()}
    return {name: (sizes | given)[name] for name in CAMPAIGNS if name in chosen}


def check_names(names: Sequence[str] | Mapping[str, object]) -> None:
    """Raise ConfigError for a name that is no campaign."""
    unknown = sorted(set(names) - CAMPAIGNS.keys())
    if unknown:
        raise ConfigError(f"no campaign {', '.join(unknown)}; there are: {', '.join(CAMPAIGNS)}.")


def _parse(text: str) -> tuple[str, int]:
    name, _, number = text.partition("=")
    if not number.isdecimal() or int(number) < 1:
        raise ConfigError(f"--counts {text}: expected NAME=NUMBER with a number from 1.")
    return name, int(number)
