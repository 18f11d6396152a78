"""Measured cost of every primitive at every level, kept once a processor."""

from __future__ import annotations

import hashlib
import statistics
import time
from collections.abc import Callable, Collection
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pandas as pd
from tqdm import tqdm

from heclstm_lib.evaluation.primitive_calls import MEASURED, PrimitiveCalls
from heclstm_lib.files import replacing
from heclstm_lib.he.params import CkksParameters
from heclstm_lib.he.seal import TENSEAL_VERSION
from heclstm_lib.provenance import cpu_model

FORMAT = 4
"""Of a cached table; files of another one are measured anew."""

LEAST_RUNS, ENOUGH_S = 3, 0.1
"""A primitive is timed at least so often, and no further once its runs took so many seconds."""

Cell = tuple[str, int]


def measure_primitives(
    params: CkksParameters,
    repeats: int = 9,
    only: Collection[Cell] | None = None,
    progress: bool = False,
) -> pd.DataFrame:
    """Median seconds of each primitive at each level: columns kind, level, seconds, runs.

    Plaintext products use an encoded plaintext, as an evaluation after its first batch does.
    A weighted_sum counts a multiply-accumulate of one argument. "encode" makes a plaintext,
    "load" a ciphertext of a fresh encryption's bytes (at the top level), "transfer" copies a
    ciphertext's coefficients out and into another one. Cheap primitives are timed `repeats`
    times, dear ones at least three. With `only`, just these (kind, level) are measured.
    """
    bench = PrimitiveCalls(params)
    rows = []
    wanted = _cells(params, only)
    with tqdm(total=len(wanted), desc="primitives", disable=not progress, unit="") as bar:
        for level in range(params.levels, -1, -1):
            kinds = [kind for kind, at in wanted if at == level]
            for kind, (run, units) in bench.calls(level).items():
                if kind in kinds:
                    seconds, runs = median_seconds(run, repeats)
                    rows.append((kind, level, seconds / units, runs))
                    bar.update()
    return pd.DataFrame(rows, columns=["kind", "level", "seconds", "runs"])


def _cells(params: CkksParameters, only: Collection[Cell] | None) -> list[Cell]:
    """What exists: nothing that drops a prime at level 0; a fresh ciphertext at the top only."""
    cells = [
        (kind, level)
        for level in range(params.levels + 1)
        for kind, lowest in MEASURED.items()
        if level >= (params.levels if lowest is None else lowest)
    ]
    return cells if only is None else [cell for cell in cells if cell in only]


def median_seconds(run: Callable[[], Any], repeats: int) -> tuple[float, int]:
    """Median of a call's seconds after one to warm up, and how often it was timed."""
    run()  # encodes the plaintext, touches the memory
    seconds: list[float] = []
    while len(seconds) < repeats:
        begin = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - begin)
        if len(seconds) >= LEAST_RUNS and sum(seconds) >= ENOUGH_S:
            break
    return statistics.median(seconds), len(seconds)


def primitives_path(params: CkksParameters, cache: Path) -> Path:
    """The file that keeps the costs of these parameters on this processor and TenSEAL."""
    identity = f"{FORMAT}|{cpu_model()}|{TENSEAL_VERSION}|{params}"
    digest = hashlib.sha256(identity.encode()).hexdigest()[:16]
    return cache / f"primitives-v{FORMAT}-{digest}.parquet"


def load_primitives(
    params: CkksParameters,
    cache: Path,
    repeats: int = 9,
    refresh: bool = False,
    progress: bool = False,
) -> pd.DataFrame:
    """The costs on this processor, measured once (again with `refresh`) and kept in `cache`.

    Beside kind, level, seconds, runs, each row names cpu, tenseal and the parameters' fields.
    """
    path = primitives_path(params, cache)
    if path.is_file() and not refresh:
        return pd.read_parquet(path)
    table = measure_primitives(params, repeats, progress=progress)
    where = {"cpu": cpu_model(), "tenseal": TENSEAL_VERSION} | asdict(params)
    table = table.assign(**where)
    with replacing(path) as part:
        table.to_parquet(part, index=False)
    return table


def measured_tables(cache: Path) -> pd.DataFrame:
    """Every cost measured on this processor and TenSEAL, of all parameters; may be empty."""
    tables = [pd.read_parquet(path) for path in cache.glob(f"primitives-v{FORMAT}-*.parquet")]
    here = [
        table
        for table in tables
        if len(table) and tuple(table.loc[0, ["cpu", "tenseal"]]) == (cpu_model(), TENSEAL_VERSION)
    ]
    columns = ["kind", "level", "seconds", "poly_degree", "levels"]
    return pd.concat(here, ignore_index=True) if here else pd.DataFrame(columns=columns)
