"""Published numbers to set beside ours, with their source; None where a paper gives none."""

from __future__ import annotations

import pandas as pd

MEDMNIST = "MedMNIST v2, Scientific Data 10:41 (2023), official split"
PUBLISHED: dict[str, tuple[tuple[str, float, float | None, str], ...]] = {
    "adrenalmnist3d": (
        ("ResNet-18 + 2.5D", 0.718, 0.772, MEDMNIST),
        ("ResNet-18 + 3D", 0.827, 0.721, MEDMNIST),
        ("ResNet-18 + ACS", 0.839, 0.754, MEDMNIST),
        ("ResNet-50 + 2.5D", 0.732, 0.763, MEDMNIST),
        ("ResNet-50 + 3D", 0.828, 0.745, MEDMNIST),
        ("ResNet-50 + ACS", 0.828, 0.758, MEDMNIST),
        ("auto-sklearn", 0.828, 0.802, MEDMNIST),
        ("AutoKeras", 0.804, 0.705, MEDMNIST),
    ),
}
"""Data set -> (method, AUC, accuracy at 0.5, source)."""

PAPER_AUC = 0.94
"""The AUC that Yue et al. (2021) name as exceeded on Cervigram and BreaKHis."""


def published_table(dataset: str) -> pd.DataFrame:
    """Columns method, auc, accuracy, source; empty where nothing comparable is published."""
    return pd.DataFrame(PUBLISHED.get(dataset, ()), columns=["method", "auc", "accuracy", "source"])
