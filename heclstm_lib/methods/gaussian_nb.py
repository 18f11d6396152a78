"""Gaussian naive Bayes on pooled features of all frames.

As evaluated on encrypted data by Gao, Cheng, He, Susilo and Li, "Privacy-preserving naive Bayes
classifiers secure against the substitution-then-comparison attack", Information Sciences 2018.

Kept: the log ratio of the class likelihoods, priors included, as a score. With Gaussian densities
it is a quadratic form, so encrypted it costs a square and a weighted sum. Changed: Gaussian
densities in place of counts of discrete features, no protocol for the comparison (the client
decrypts the score). The variance smoothing is chosen on validation patients.
"""

from __future__ import annotations

from sklearn.metrics import roc_auc_score
from sklearn.naive_bayes import GaussianNB

from heclstm_lib.data.sequences import SequenceSet
from heclstm_lib.methods.budget import MethodBudget
from heclstm_lib.methods.features import ScoreFitted, Standardiser, pooled_frames
from heclstm_lib.models.score import gaussian_score

SMOOTHINGS = (1e-3, 1e-2, 1e-1, 1.0)
"""Shares of the largest variance added to all variances."""


def fit(sets: dict[str, SequenceSet], budget: MethodBudget) -> ScoreFitted:
    """Fit on sets["train"], choosing the smoothing on sets["val"]."""
    del budget  # nothing random, nothing to train for long
    train = pooled_frames(sets["train"])
    standardiser = Standardiser.of(train)
    train, val = standardiser.apply(train), standardiser.apply(pooled_frames(sets["val"]))
    found = []
    for smoothing in SMOOTHINGS:
        model = GaussianNB(var_smoothing=smoothing).fit(train, sets["train"].labels)
        score = gaussian_score(model.theta_, model.var_, model.class_prior_)
        area = float(roc_auc_score(sets["val"].labels, score.outputs(val)))
        found.append((area, smoothing, score))
    area, smoothing, score = max(found, key=lambda entry: entry[0])
    notes = {
        "setting": f"smoothing {smoothing:g}",
        "val_auc": area,
        "parameters": 4 * train.shape[1] + 2,
    }
    return ScoreFitted(standardiser, score, notes)
