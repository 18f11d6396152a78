"""Files of a training: checkpoints to resume from, and the finished bundle."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import pickle
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from heclstm_lib.config import ModelConfig
from heclstm_lib.errors import TrainingError
from heclstm_lib.files import replacing
from heclstm_lib.models.convlstm import ConvLSTM
from heclstm_lib.models.normalise import Normaliser
from heclstm_lib.typed import build

FORMAT = 1  # raise it when the content of checkpoints or bundles changes


@dataclass(frozen=True)
class TrainedModel:
    """A trained twin with all that is needed to score new sequences.

    `threshold` is on the logit: at or above it a sequence is called diseased.
    """

    model: ConvLSTM
    normaliser: Normaliser
    threshold: float


def config_digest(**parts: Any) -> str:
    """sha256 of JSON-ready values (dataclasses allowed): what a checkpoint was made for."""
    text = json.dumps(parts, sort_keys=True, default=dataclasses.asdict)
    return hashlib.sha256(text.encode()).hexdigest()


def state_digest(model: torch.nn.Module) -> str:
    """sha256 over names, shapes and values of a model's parameters and buffers."""
    digest = hashlib.sha256()
    for name, value in model.state_dict().items():
        digest.update(f"{name}{tuple(value.shape)}".encode())
        digest.update(value.detach().contiguous().numpy().tobytes())
    return digest.hexdigest()


def write_atomic(content: dict[str, Any], path: Path) -> None:
    """torch.save to a temporary name beside `path`, then rename: never half a file."""
    with replacing(path) as part:
        torch.save(content, part)


def load_checkpoint(path: Path, digest: str) -> dict[str, Any] | None:
    """The checkpoint at `path`, or None without one. TrainingError if made for another training."""
    if not path.exists():
        return None
    content = _load(path)
    if content.get("digest") != digest:
        raise TrainingError(
            f"checkpoint {path} belongs to another training: digest "
            f"{str(content.get('digest'))[:12]}, expected {digest[:12]} (configuration, data, "
            "initial weights). Delete it to start afresh, or restore the configuration it had."
        )
    return content


def write_bundle(trained: TrainedModel, path: Path) -> None:
    """Write a trained model as one file of tensors and plain values."""
    model, normaliser = trained.model, trained.normaliser
    content = {
        "format": FORMAT,
        "state": model.state_dict(),
        "config": json.dumps(dataclasses.asdict(model.config)),
        "channels": model.channels,
        "image_size": model.image_size,
        "frames": model.frames,
        "activation": model.activation,
        "mean": torch.from_numpy(normaliser.mean),
        "std": torch.from_numpy(normaliser.std),
        "threshold": float(trained.threshold),
    }
    write_atomic(content, path)


def load_bundle(path: Path) -> TrainedModel:
    """Read a file of `write_bundle`, in evaluation mode and its saved precision.

    Raises TrainingError for a missing or foreign file or another format.
    """
    content = _load(path)
    if content.get("format") != FORMAT or "state" not in content:
        raise TrainingError(
            f"{path}: not a model bundle of format {FORMAT} (got {content.get('format')!r}). "
            "Train again with this version, or read it with the version that wrote it."
        )
    config = build(ModelConfig, json.loads(content["config"]), path.name)
    model = ConvLSTM(
        config, content["channels"], content["image_size"], content["frames"], content["activation"]
    )
    model.to(content["state"]["voting.weight_logit"].dtype)
    model.load_state_dict(content["state"])
    normaliser = Normaliser(content["mean"].numpy(), content["std"].numpy())
    return TrainedModel(model.eval(), normaliser, content["threshold"])


def _load(path: Path) -> dict[str, Any]:
    if path.is_file() and not zipfile.is_zipfile(path):  # torch's old formats fail in many ways
        raise TrainingError(
            f"{path}: cannot be read (not a complete file of torch.save). "
            "Delete it and train again."
        )
    try:
        content = torch.load(path, weights_only=True)
    except (OSError, RuntimeError, EOFError, pickle.UnpicklingError) as error:
        # torch explains at length how to read untrusted files all the same: only its first sentence
        reason = str(error).partition(".")[0].partition("\n")[0]
        raise TrainingError(
            f"{path}: cannot be read ({type(error).__name__}: {reason}). Delete it and train again."
        ) from error
    if not isinstance(content, dict):
        raise TrainingError(f"{path}: expected a mapping, got {type(content).__name__}.")
    return content
