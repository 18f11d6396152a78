"""Baselines: what each sees, and that only training and validation patients shape it."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from heclstm_lib.data.sequences import SequenceSet
from heclstm_lib.models.baselines import (
    baseline_scores,
    constant,
    frame_count,
    frame_image,
    mean_colour,
    mean_image,
)

NAMES = ["class prior", "number of frames", "mean colour", "mean image", "best single frame"]


def make_set(count: int = 40, seed: int = 0, **values: np.ndarray) -> SequenceSet:
    """Noise without any signal: T = 3, C = 2, 16 x 16, classes in turn."""
    rng = np.random.default_rng(seed)
    ids = tuple(f"s{seed}-{i}" for i in range(count))
    made = SequenceSet(
        name="noise",
        frames=rng.random((count, 3, 2, 16, 16), dtype=np.float32),
        labels=np.arange(count) % 2,
        patient_ids=ids,
        sequence_ids=ids,
        frame_labels=(("a", "b", "c"),) * count,
        lengths=rng.integers(1, 6, count),
        skipped=(),
        missing=(),
        digest="",
        scores=np.full(count, np.nan),
    )
    return dataclasses.replace(made, **values)


@pytest.fixture(scope="module")
def noise() -> dict[str, SequenceSet]:
    return {part: make_set(seed=seed) for seed, part in enumerate(("train", "val", "test"))}


def change(part: SequenceSet, **values: np.ndarray) -> SequenceSet:
    return dataclasses.replace(part, **values)


def test_features(noise: dict[str, SequenceSet]) -> None:
    part = noise["train"]
    frames = part.frames.astype(np.float64)
    assert np.ptp(constant(part)) == 0 and constant(part).shape == (40, 1)
    np.testing.assert_array_equal(frame_count(part)[:, 0], part.lengths)
    np.testing.assert_allclose(mean_colour(part), frames.mean(axis=(1, 3, 4)))
    assert mean_image(part).shape == frame_image(1)(part).shape == (40, 2 * 7 * 7)


def test_pooled_images_are_block_means() -> None:
    frames = np.random.default_rng(1).random((4, 2, 1, 14, 14), dtype=np.float32)
    part = make_set(4, frames=frames)
    blocks = frames[:, 1].astype(np.float64).reshape(4, 1, 7, 2, 7, 2).mean(axis=(3, 5))
    np.testing.assert_allclose(frame_image(1)(part), blocks.reshape(4, -1))
    both = frames.mean(axis=1, dtype=np.float64).reshape(4, 1, 7, 2, 7, 2).mean(axis=(3, 5))
    np.testing.assert_allclose(mean_image(part), both.reshape(4, -1))
    uneven = make_set(4)  # 16 pixels over 7 blocks: constant images stay constant
    flat = change(uneven, frames=np.full_like(uneven.frames, 0.5))
    np.testing.assert_allclose(mean_image(flat), 0.5)


def test_mean_image_does_not_see_the_order(noise: dict[str, SequenceSet]) -> None:
    part = noise["train"]
    turned = change(part, frames=part.frames[:, ::-1])
    np.testing.assert_allclose(mean_image(part), mean_image(turned))


def test_names_and_sizes(noise: dict[str, SequenceSet]) -> None:
    scores = baseline_scores(noise)
    assert list(scores) == NAMES
    assert all(val.shape == test.shape == (40,) for val, test in scores.values())


def test_class_prior_knows_nothing(noise: dict[str, SequenceSet]) -> None:
    val, test = baseline_scores(noise)["class prior"]
    assert roc_auc_score(noise["val"].labels, val) == 0.5
    assert roc_auc_score(noise["test"].labels, test) == 0.5


def test_test_labels_change_nothing_and_test_frames_nothing_else(
    noise: dict[str, SequenceSet],
) -> None:
    before = baseline_scores(noise)
    test = noise["test"]
    relabelled = baseline_scores(noise | {"test": change(test, labels=1 - test.labels)})
    reframed = baseline_scores(noise | {"test": change(test, frames=1 - test.frames)})
    for name in NAMES:
        np.testing.assert_array_equal(before[name][0], relabelled[name][0])
        np.testing.assert_array_equal(before[name][1], relabelled[name][1])
        np.testing.assert_array_equal(before[name][0], reframed[name][0])
    assert not np.allclose(before["mean image"][1], reframed["mean image"][1])


def test_training_labels_turn_the_scores(noise: dict[str, SequenceSet]) -> None:
    train = noise["train"]
    turned = baseline_scores(noise | {"train": change(train, labels=1 - train.labels)})
    before = baseline_scores(noise)
    assert np.corrcoef(before["mean image"][1], turned["mean image"][1])[0, 1] < -0.5


def test_a_bias_of_the_collection_is_found(noise: dict[str, SequenceSet]) -> None:
    biased = {
        part: change(sequences, lengths=2 + 3 * sequences.labels)
        for part, sequences in noise.items()
    }
    scores = baseline_scores(biased)
    labels = noise["test"].labels
    assert roc_auc_score(labels, scores["number of frames"][1]) == 1.0
    assert roc_auc_score(labels, scores["mean colour"][1]) < 0.8


def test_best_single_frame_is_the_informative_one(noise: dict[str, SequenceSet]) -> None:
    informative = {}
    for part, sequences in noise.items():
        frames = sequences.frames.copy()
        frames[:, 1] += 0.5 * sequences.labels[:, None, None, None]
        informative[part] = change(sequences, frames=frames)
    scores = baseline_scores(informative)
    assert roc_auc_score(noise["test"].labels, scores["best single frame"][1]) == 1.0
