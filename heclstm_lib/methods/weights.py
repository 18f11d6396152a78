"""Pretrained weights from a local file; nothing is downloaded.

Methods published with pretrained weights have a `backbone`. A file <method>.pt in the weights
folder (torch.save of the backbone's state_dict) replaces its initial weights. Our backbones are
smaller than the published ones, so ImageNet files of those do not fit; without a file a method
trains from scratch, and its notes say so.
"""

from __future__ import annotations

import pickle
from pathlib import Path

import torch
from torch import nn

from heclstm_lib.errors import TrainingError


def weights_file(name: str, folder: Path | None) -> Path | None:
    """The weights file of a method, or None without one."""
    path = folder / f"{name}.pt" if folder is not None else None
    return path if path is not None and path.is_file() else None


def load_backbone(network: nn.Module, name: str, folder: Path | None) -> str:
    """Load <folder>/<name>.pt into `network.backbone`; says where the weights come from.

    Raises TrainingError for an unreadable file or one that does not fit.
    """
    path = weights_file(name, folder)
    if path is None:
        return "from scratch"
    backbone = getattr(network, "backbone", None)
    if not isinstance(backbone, nn.Module):
        raise TrainingError(
            f"{path}: method '{name}' has no backbone to load weights into. Remove the file."
        )
    try:
        backbone.load_state_dict(torch.load(path, weights_only=True))
    except (OSError, RuntimeError, EOFError, pickle.UnpicklingError, TypeError) as error:
        raise TrainingError(
            f"{path}: not the weights of the backbone of '{name}' ({error}). Save its state_dict "
            "with torch.save, or remove the file to train from scratch."
        ) from error
    return f"from {path.name}"
