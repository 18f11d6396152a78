"""The embedded set: the same bytes everywhere, and hard for whatever ignores order."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from heclstm_lib.config import DataConfig
from heclstm_lib.data.manifest import load_manifest
from heclstm_lib.data.sequences import SequenceSet, load_sequences
from heclstm_lib.data.splits import load_split
from heclstm_lib.data.synthetic import (
    GENERATOR_VERSION,
    default_digest,
    generator_parameters,
    make_labels,
    make_sequence,
)


@pytest.fixture(scope="module")
def embedded() -> SequenceSet:
    return load_sequences("embedded", DataConfig(colour="gray"))


def test_manifest_names_version_parameters_and_digest() -> None:
    generator = load_manifest("embedded").generator
    assert generator is not None
    assert generator.version == GENERATOR_VERSION
    assert generator.parameters == generator_parameters()
    assert generator.digest == default_digest()


def test_shape_range_and_balance() -> None:
    found = load_sequences("embedded", DataConfig(frames=3, image_size=32, sequences=50))
    assert found.frames.shape == (50, 3, 3, 32, 32)
    assert found.frames.min() >= 0 and found.frames.max() <= 1
    assert found.labels.sum() == 25
    assert found.patient_ids[0] == "E0001" and found.lengths.tolist() == [3] * 50


def test_a_shorter_set_is_a_prefix(embedded: SequenceSet) -> None:
    short = load_sequences("embedded", DataConfig(colour="gray", sequences=12))
    np.testing.assert_array_equal(short.frames, embedded.frames[:12])
    np.testing.assert_array_equal(short.labels, embedded.labels[:12])


def test_a_frame_depends_on_its_time_and_not_on_t() -> None:
    three, five = (make_sequence(3, 1, frames=t, size=28, seed=1) for t in (3, 5))
    np.testing.assert_array_equal(three, five[::2])
    np.testing.assert_array_equal(make_sequence(3, 1, frames=1, size=28, seed=1)[0], five[-1])


def test_seed_and_label_change_the_picture() -> None:
    one = make_sequence(0, 1, frames=2, size=28, seed=1)
    assert (one != make_sequence(0, 1, frames=2, size=28, seed=2)).any()
    assert (one != make_sequence(0, 0, frames=2, size=28, seed=1)).any()
    assert (make_labels(40, 1) != make_labels(40, 2)).any()


def _auc(features: np.ndarray, labels: np.ndarray, patients: tuple[str, ...], c: float) -> float:
    """Mean AUC over the five committed folds of a logistic regression, trained on train + val."""
    scores = []
    for fold in range(5):
        table = load_split("embedded", fold, patients)
        test = np.array([table[p] == "test" for p in patients])
        model = make_pipeline(StandardScaler(), LogisticRegression(C=c, max_iter=500))
        model.fit(features[~test], labels[~test])
        scores.append(roc_auc_score(labels[test], model.decision_function(features[test])))
    return float(np.mean(scores))


def test_single_frame_and_mean_colour_do_not_solve_it_but_order_does(
    embedded: SequenceSet,
) -> None:
    x, y, patients = embedded.frames, embedded.labels, embedded.patient_ids
    flat = x.reshape(len(y), x.shape[1], -1)
    single = [_auc(flat[:, t], y, patients, 3e-4) for t in range(x.shape[1])]
    mean_image = _auc(flat.mean(axis=1), y, patients, 3e-4)
    colour_auc = roc_auc_score(y, x.mean(axis=(1, 2, 3, 4)))
    mean_colour = max(colour_auc, 1 - colour_auc)
    pooled = x[:, :, 0, 2:26, 2:26].reshape(len(y), 4, 8, 3, 8, 3).mean(axis=(3, 5))
    change = _auc((pooled[:, -1] - pooled[:, 0]).reshape(len(y), -1), y, patients, 3e-3)
    assert max(single) < 0.70, single
    assert mean_image < 0.60
    assert mean_colour < 0.60
    assert change > 0.90, change


def test_mean_colour_of_every_frame_does_not_solve_it_in_colour() -> None:
    found = load_sequences("embedded", DataConfig(colour="rgb"))
    course = found.frames.mean(axis=(3, 4)).reshape(len(found), -1)
    assert _auc(course, found.labels, found.patient_ids, 1.0) < 0.70
