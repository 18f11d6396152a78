"""Linear support vector machine on pooled features of all frames.

Gonzalez-Serrano, Navia-Vazquez and Amor-Martin, "Training support vector machines with
privacy-protected data", Pattern Recognition 72, 2017. The score w . x + b is linear, so encrypted
it costs one product by a plaintext and a sum.

Kept: the decision function; C chosen on validation patients. Left out: training on encrypted data
(ours trains in clear). Features are the frames averaged to at most 7 x 7 blocks. Scores are
margins, not log odds: their probabilities are Platt's, of validation patients.
"""

from __future__ import annotations

import numpy as np
from sklearn.metrics import roc_auc_score
from sklearn.svm import LinearSVC

from heclstm_lib.data.sequences import SequenceSet
from heclstm_lib.methods.budget import MethodBudget
from heclstm_lib.methods.features import ScoreFitted, Standardiser, pooled_frames
from heclstm_lib.methods.interface import Array
from heclstm_lib.models.score import linear_score


def fit(sets: dict[str, SequenceSet], budget: MethodBudget) -> ScoreFitted:
    """Fit on sets["train"], choosing C on sets["val"]."""
    raw = pooled_frames(sets["train"])
    standardiser = Standardiser.of(raw)
    val = standardiser.apply(pooled_frames(sets["val"]))
    weights, bias, strength, area = best_svm(
        standardiser.apply(raw), sets["train"].labels, val, sets["val"].labels, budget
    )
    notes = {"setting": f"C {strength:g}", "val_auc": area, "parameters": len(weights) + 1}
    return ScoreFitted(standardiser, linear_score(weights, bias), notes)


def best_svm(
    train: Array, labels: np.ndarray, val: Array, val_labels: np.ndarray, budget: MethodBudget
) -> tuple[Array, float, float, float]:
    """Weights [V], bias, C and validation AUC of the best C; features [n, V] standardised."""
    found = []
    for strength in budget.strengths:
        model = LinearSVC(
            C=strength,
            class_weight="balanced",
            dual="auto",
            max_iter=5000,
            random_state=budget.seed,
        ).fit(train, labels)
        area = float(roc_auc_score(val_labels, model.decision_function(val)))
        found.append((model.coef_[0], float(model.intercept_[0]), strength, area))
    return max(found, key=lambda entry: entry[3])
