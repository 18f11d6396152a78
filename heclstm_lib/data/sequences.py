"""Sequence sets [B, T, C, H, W]: what every later stage works on."""

from __future__ import annotations

import dataclasses
import hashlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from heclstm_lib.config import DataConfig
from heclstm_lib.data.cases import Collected, Skip
from heclstm_lib.data.frames import check_config
from heclstm_lib.data.manifest import load_manifest
from heclstm_lib.data.sources import find_folder, find_reader
from heclstm_lib.errors import ConfigError, DataError

__all__ = ["SequenceSet", "Skip", "load_sequences"]

VOLUMES = ("adrenalmnist3d",)
"""Sets whose frames are slabs of a volume, which `DataConfig.slices` can keep the depth of."""

_PER_SEQUENCE = ("frames", "labels", "lengths", "scores")
_PER_SEQUENCE_TUPLES = ("patient_ids", "sequence_ids", "frame_labels")


@dataclass(frozen=True)
class SequenceSet:
    """B sequences of T frames with labels, groups and all that was left out on the way."""

    name: str
    frames: np.ndarray  # float32 [B, T, C, H, W] in [0, 1]
    labels: np.ndarray  # int64 [B], 1 = disease
    patient_ids: tuple[str, ...]  # length B, the group
    sequence_ids: tuple[str, ...]  # length B, unique
    frame_labels: tuple[tuple[str, ...], ...]  # stage of every frame, "pad:..." for a repeat
    lengths: np.ndarray  # int64 [B], real frames before padding and sampling
    skipped: tuple[Skip, ...]
    missing: tuple[str, ...]  # named in the manifest, not on disk
    digest: str  # sha256 of manifest digest, sequence ids, frames and labels
    unverified: tuple[str, ...] = ()  # on disk, not in the manifest (read all the same)
    notes: tuple[str, ...] = ()
    scores: np.ndarray = field(default_factory=lambda: np.empty(0))  # [B], NaN: no score
    manifest_digest: str = ""

    def __len__(self) -> int:
        """Number of sequences B."""
        return len(self.labels)

    def subset(self, mask_or_index: np.ndarray) -> SequenceSet:
        """The sequences of a boolean mask [B] or an index array; the digest is taken anew."""
        chosen = np.asarray(mask_or_index)
        if chosen.dtype == bool and chosen.shape != (len(self),):
            raise DataError(f"subset mask has shape {chosen.shape}, expected ({len(self)},).")
        index = np.flatnonzero(chosen) if chosen.dtype == bool else chosen.astype(np.int64)
        chosen_values: dict[str, Any] = {key: getattr(self, key)[index] for key in _PER_SEQUENCE}
        for key in _PER_SEQUENCE_TUPLES:
            chosen_values[key] = tuple(getattr(self, key)[i] for i in index)
        part = dataclasses.replace(self, **chosen_values)
        return dataclasses.replace(part, digest=make_digest(part))


def make_digest(sequences: SequenceSet) -> str:
    """sha256 over the manifest digest, the sequence ids, the frames' bytes and the labels."""
    state = hashlib.sha256(sequences.manifest_digest.encode())
    state.update("\n".join(sequences.sequence_ids).encode())
    state.update(np.ascontiguousarray(sequences.frames, dtype="<f4").tobytes())
    state.update(np.ascontiguousarray(sequences.labels, dtype="<i8").tobytes())
    return state.hexdigest()


def load_sequences(name: str, config: DataConfig, root: Path | None = None) -> SequenceSet:
    """Read or generate one data set as sequences.

    `root`: the data set's folder or one that holds it; None looks in the cache, then the mirror.
    Raises DataError (unknown set, nothing on disk, unreadable file), IntegrityError (wrong
    sha256), ConfigError (sizes out of range).
    """
    reader = find_reader(name)
    channels = check_config(config)
    if config.slices > 1 and name not in VOLUMES:
        raise ConfigError(
            f"data.slices={config.slices}: '{name}' holds images, no volumes. Leave it at 1; "
            f"it is for {', '.join(VOLUMES)}."
        )
    manifest = load_manifest(name)
    collected = reader(find_folder(manifest, root), manifest, config)
    _check(name, collected, config, channels)
    values = {f.name: getattr(collected, f.name) for f in dataclasses.fields(collected)}
    made = SequenceSet(name=name, digest="", manifest_digest=manifest.digest, **values)
    return dataclasses.replace(made, digest=make_digest(made))


def _check(name: str, collected: Collected, config: DataConfig, channels: int) -> None:
    count = len(collected.labels)
    side = config.image_size
    shape = (count, config.frames, channels, side, side)
    if collected.frames.shape != shape or collected.frames.dtype != np.float32:
        raise DataError(
            f"reader of '{name}' gave {collected.frames.dtype} {collected.frames.shape}, "
            f"expected float32 {shape}."
        )
    if len(set(collected.sequence_ids)) != count:
        raise DataError(f"reader of '{name}' gave sequence ids that are not unique.")
