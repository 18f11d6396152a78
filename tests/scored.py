"""Tables of scored sequences, one patient each."""

from __future__ import annotations

import numpy as np
import pandas as pd


def make_rows(scores: list[float], labels: list[int], threshold: float = 0.0) -> pd.DataFrame:
    """patient_id, label, score, threshold of sequences of patients p0, p1, ..."""
    return pd.DataFrame(
        {
            "patient_id": [f"p{i}" for i in range(len(scores))],
            "label": np.asarray(labels, dtype=np.int64),
            "score": np.asarray(scores, dtype=np.float64),
            "threshold": threshold,
        }
    )
