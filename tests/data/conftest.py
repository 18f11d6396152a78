"""Tiny trees on disk that look like the real data sets."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from heclstm_lib import paths
from heclstm_lib.config import DataConfig


@pytest.fixture(scope="session")
def data_mirror() -> Path:
    """The local copy of the real data; the test is skipped where there is none."""
    mirror = paths.mirror_root()
    if mirror is None or not (mirror / "iarc_colposcopy_atlas").is_dir():
        pytest.skip(f"no data mirror: set {paths.MIRROR_VARIABLE} or put it at ../shared/data")
    return mirror


@pytest.fixture
def config() -> DataConfig:
    """Small and quick: T = 3, 16 x 16, colour."""
    return DataConfig(frames=3, image_size=16, colour="rgb")


@pytest.fixture
def write_image() -> Callable[..., Path]:
    """A function that writes an image of random pixels, different for each seed."""

    def write(path: Path, seed: int, size: tuple[int, int] = (40, 30)) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
        Image.fromarray(pixels).save(path)
        return path

    return write


@pytest.fixture
def iarc_tree(tmp_path: Path, write_image: Callable[..., Path]) -> Path:
    """Two cases the manifest does not know: ZZZA (high, 3 usable frames), ZZZB (low, 1 frame)."""
    root = tmp_path / "iarc_colposcopy_atlas"
    names = [
        "images_high_grade/case_ZZZA/1_After_normal_saline.jpg",
        "images_high_grade/case_ZZZA/2_After_acetic_acid.jpg",
        "images_high_grade/case_ZZZA/3_After_acetic_acid_with_green_filter.jpg",
        "images_high_grade/case_ZZZA/4_Visualization_of_the_SCJ.jpg",
        "images_low_grade/case_ZZZB/1_After_acetic_acid.jpg",
    ]
    for seed, name in enumerate(names):
        write_image(root / name, seed)
    return root


@pytest.fixture
def annocerv_tree(tmp_path: Path, write_image: Callable[..., Path]) -> Path:
    """Cases 901 (score 7, two images, rows in reverse order) and 902 (score 2, one image)."""
    root = tmp_path / "annocerv_384"
    rows = [("901", 2, 7), ("901", 1, 7), ("902", 1, 2)]
    lines = ["case_id,image_index,swede_score,file"]
    for seed, (case, index, score) in enumerate(rows):
        file = f"images/C{case}Aceto_{index}.jpg"
        write_image(root / file, seed)
        lines.append(f"{case},{index},{score},{file}")
    (root / "metadata.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return root
