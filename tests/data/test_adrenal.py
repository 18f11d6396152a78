"""AdrenalMNIST3D reader: slabs of a volume, and archives that are something else."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from heclstm_lib.config import DataConfig
from heclstm_lib.data.adrenal import make_slabs, slab_names
from heclstm_lib.data.sequences import load_sequences
from heclstm_lib.errors import ConfigError, IntegrityError


def test_slabs_are_mean_projections_of_the_central_slices() -> None:
    volume = np.zeros((28, 28, 28), np.uint8)
    volume[6:8] = 255  # half of the first slab of four (slices 6-9)
    volume[21] = 255  # a quarter of the last (18-21)
    volume[:6] = 255  # outside
    slabs = make_slabs(volume, 4, 28)
    assert slabs.shape == (4, 28, 28) and slabs.dtype == np.float32
    np.testing.assert_allclose(slabs.mean(axis=(1, 2)), [0.5, 0, 0, 0.25])
    assert slab_names(4) == ("slices_6-9", "slices_10-13", "slices_14-17", "slices_18-21")


@pytest.mark.parametrize("frames", [1, 3, 16, 17, 28])
def test_any_number_of_slabs(frames: int) -> None:
    volume = np.full((28, 28, 28), 255, np.uint8)
    slabs = make_slabs(volume, frames, 14)
    assert slabs.shape == (frames, 14, 14)
    np.testing.assert_allclose(slabs, 1, rtol=1e-6)


def test_too_many_slabs() -> None:
    with pytest.raises(ConfigError, match=r"= 29"):
        slab_names(29)


def test_slices_keep_the_depth_of_a_slab(data_mirror: Path) -> None:
    """The channels of a frame are parts of its slab: their mean is the frame without them."""
    flat = load_sequences("adrenalmnist3d", DataConfig(colour="gray", sequences=6), data_mirror)
    deep = load_sequences(
        "adrenalmnist3d", DataConfig(colour="gray", sequences=6, slices=4), data_mirror
    )
    assert deep.frames.shape == (6, 4, 4, 28, 28) and flat.frames.shape == (6, 4, 1, 28, 28)
    np.testing.assert_allclose(deep.frames.mean(axis=2), flat.frames[:, :, 0], atol=1e-6)
    assert deep.frame_labels == flat.frame_labels
    assert deep.frames.std(axis=2).max() > 0.1 and deep.digest != flat.digest


def test_slices_are_for_volumes(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"'iarc' holds images"):
        load_sequences("iarc", DataConfig(slices=2), tmp_path)


def test_another_archive_is_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "adrenalmnist3d.npz", train_images=np.zeros(3))
    with pytest.raises(IntegrityError, match=r"adrenalmnist3d\.npz"):
        load_sequences("adrenalmnist3d", DataConfig(), tmp_path)
