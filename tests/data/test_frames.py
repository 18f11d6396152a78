"""Frames: which are taken, how they are decoded, and files that are not what they should be."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from heclstm_lib.config import DataConfig
from heclstm_lib.data.frames import (
    Frame,
    check_config,
    load_frame,
    sample_indices,
    sampled_labels,
)
from heclstm_lib.data.manifest import Resource
from heclstm_lib.errors import ConfigError, DataError, IntegrityError


@given(st.integers(1, 60), st.integers(1, 30))
def test_sampling_rules(available: int, wanted: int) -> None:
    indices = sample_indices(available, wanted)
    assert len(indices) == wanted and indices == sorted(indices)
    assert indices[-1] == available - 1
    if wanted > 1:
        assert indices[0] == 0
    if available >= wanted:
        assert len(set(indices)) == wanted, "a frame was taken twice although there were enough"
        steps = np.diff(indices)
        assert wanted < 3 or steps.max() - steps.min() <= 1
    else:
        assert set(indices) == set(range(available))


def test_padding_is_labelled() -> None:
    assert sampled_labels(["a", "b"], 4) == ("a", "b", "pad:b", "pad:b")
    assert sampled_labels(["a", "b", "c"], 2) == ("a", "c")
    assert sampled_labels(["a"], 1) == ("a",)


def test_decoding_crops_the_centre_and_resizes(tmp_path: Path) -> None:
    picture = np.zeros((20, 40, 3), np.uint8)
    picture[:, 10:30] = (255, 0, 0)  # the central square
    path = tmp_path / "red.png"
    Image.fromarray(picture).save(path)
    frame = load_frame(Frame(path, "x"), 10, "rgb")
    assert frame.shape == (3, 10, 10) and frame.dtype == np.float32
    np.testing.assert_allclose(frame[0, 1:-1, 1:-1], 1, atol=2 / 255)
    np.testing.assert_array_equal(frame[1:], 0)
    gray = load_frame(Frame(path, "x"), 10, "gray")
    assert gray.shape == (1, 10, 10)
    assert gray[0, 5, 5] == pytest.approx(0.299, abs=1 / 255)


def test_truncated_jpeg_is_an_error_that_names_the_file(
    tmp_path: Path, write_image: Callable[..., Path]
) -> None:
    path = write_image(tmp_path / "half.jpg", 0, (200, 200))
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(DataError, match=r"cannot decode image .*half\.jpg.*truncated"):
        load_frame(Frame(path, "x"), 16, "rgb")


def test_wrong_hash_is_found_before_decoding(
    tmp_path: Path, write_image: Callable[..., Path]
) -> None:
    path = write_image(tmp_path / "other.jpg", 1)
    resource = Resource("other.jpg", "image", path.stat().st_size, "0" * 64, ("http://x",))
    with pytest.raises(IntegrityError, match=r"other\.jpg.*manifest expects.*0000"):
        load_frame(Frame(path, "x", resource), 16, "rgb")


def test_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"cannot read .*gone\.jpg"):
        load_frame(Frame(tmp_path / "gone.jpg", "x"), 16, "rgb")


@pytest.mark.parametrize(
    "values", [{"frames": 0}, {"image_size": 4}, {"colour": "cmyk"}, {"sequences": 1}]
)
def test_config_out_of_range(values: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match=next(iter(values))):
        check_config(DataConfig(**values))  # type: ignore[arg-type]
