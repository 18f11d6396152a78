"""Cases: from files on disk to arrays [B, T, C, H, W], the same way for every set of images."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from heclstm_lib.config import DataConfig
from heclstm_lib.data.frames import (
    Frame,
    check_config,
    load_frame,
    read_checked,
    sample_indices,
    sampled_labels,
)
from heclstm_lib.errors import DataError


@dataclass(frozen=True)
class Skip:
    """Something the reader left out, and why."""

    item: str
    reason: str


@dataclass(frozen=True)
class Case:
    """One sequence before decoding: frames in order, label, patient (the group), optional score."""

    sequence_id: str
    patient_id: str
    label: int
    frames: tuple[Frame, ...]
    score: float = float("nan")
    available: int | None = None  # usable images of the case, when the reader chose among them

    @property
    def length(self) -> int:
        """Number of real frames before padding and sampling."""
        return len(self.frames) if self.available is None else self.available


@dataclass(frozen=True)
class Collected:
    """What a reader hands over; `sequences.SequenceSet` adds name and digest."""

    frames: np.ndarray  # float32 [B, T, C, H, W] in [0, 1]
    labels: np.ndarray  # int64 [B]
    patient_ids: tuple[str, ...]
    sequence_ids: tuple[str, ...]
    frame_labels: tuple[tuple[str, ...], ...]
    lengths: np.ndarray  # int64 [B]
    scores: np.ndarray  # float64 [B], NaN where the set has no score
    skipped: tuple[Skip, ...] = ()
    missing: tuple[str, ...] = ()
    unverified: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def link_duplicates(cases: Iterable[Case], known: Iterable[str]) -> tuple[list[Case], list[str]]:
    """Give cases that share a byte-identical image one patient id; return them and notes.

    Identical images under two case numbers are one woman: as two patients they would leak from
    training into test. A patient of the manifest (`known`) keeps the id, else the smallest one.
    """
    cases, known = list(cases), set(known)
    parent = {case.patient_id: case.patient_id for case in cases}

    def root(patient: str) -> str:
        while parent[patient] != patient:
            patient = parent[patient]
        return patient

    owner: dict[str, Case] = {}
    pairs: dict[tuple[str, str], int] = {}
    for case in cases:
        for frame in case.frames:
            digest = hashlib.sha256(read_checked(frame.path, frame.resource)).hexdigest()
            first = owner.setdefault(digest, case)
            if first.sequence_id == case.sequence_id:
                continue
            pair = (first.sequence_id, case.sequence_id)
            pairs[pair] = pairs.get(pair, 0) + 1
            ranked = sorted(
                (root(first.patient_id), root(case.patient_id)),
                key=lambda p: (p not in known, len(p), p),
            )
            parent[ranked[1]] = ranked[0]
    label = {case.sequence_id: case.label for case in cases}
    notes = [
        f"{a} and {b} share {count} identical image(s): treated as one patient"
        + ("" if label[a] == label[b] else f"; their labels contradict ({label[a]} and {label[b]})")
        for (a, b), count in sorted(pairs.items())
    ]
    return [replace(case, patient_id=root(case.patient_id)) for case in cases], notes


def subsample(labels: np.ndarray, wanted: int | None, seed: int) -> np.ndarray:
    """Sorted positions of at most `wanted` items, drawn class by class in proportion."""
    count = len(labels)
    if wanted is None or wanted >= count:
        return np.arange(count)
    order = np.random.default_rng(seed).permutation(count)
    positive = [int(i) for i in order if labels[i] == 1]
    negative = [int(i) for i in order if labels[i] != 1]
    share = round(wanted * len(positive) / count)
    share = min(max(share, min(1, len(positive))), wanted - min(1, len(negative)))
    return np.array(sorted(positive[:share] + negative[: wanted - share]))


def decode_cases(
    cases: Sequence[Case],
    config: DataConfig,
    *,
    where: Path,
    skipped: Sequence[Skip] = (),
    missing: Sequence[str] = (),
    unverified: Sequence[str] = (),
    notes: Sequence[str] = (),
) -> Collected:
    """Sample, pad, decode and stack cases; DataError when none is left."""
    check_config(config)
    if not cases:
        reasons = "; ".join(f"{s.item}: {s.reason}" for s in skipped[:3]) or "nothing was found"
        raise DataError(f"no readable sequence in {where} ({reasons}). Check the folder's layout.")
    kept = subsample(np.array([c.label for c in cases]), config.sequences, config.seed)
    cases = [cases[i] for i in kept]
    stack = [_decode(case, config) for case in cases]
    stages = [[frame.stage for frame in case.frames] for case in cases]
    return Collected(
        frames=np.stack(stack),
        labels=np.array([case.label for case in cases], dtype=np.int64),
        patient_ids=tuple(case.patient_id for case in cases),
        sequence_ids=tuple(case.sequence_id for case in cases),
        frame_labels=tuple(sampled_labels(names, config.frames) for names in stages),
        lengths=np.array([case.length for case in cases], dtype=np.int64),
        scores=np.array([case.score for case in cases], dtype=np.float64),
        skipped=tuple(skipped),
        missing=tuple(missing),
        unverified=tuple(unverified),
        notes=tuple(notes),
    )


def _decode(case: Case, config: DataConfig) -> np.ndarray:
    """Frames of one case [T, C, H, W]; a frame needed twice is decoded once."""
    indices = sample_indices(len(case.frames), config.frames)
    decoded = {
        i: load_frame(case.frames[i], config.image_size, config.colour) for i in set(indices)
    }
    return np.stack([decoded[i] for i in indices])
