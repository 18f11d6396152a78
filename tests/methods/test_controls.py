"""Controls: each has lost what it is to show the lack of."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score

from heclstm_lib.data.sequences import SequenceSet
from heclstm_lib.methods import controls
from heclstm_lib.methods.budget import MethodBudget
from heclstm_lib.methods.ours import OurFitted, fit_ours
from heclstm_lib.models.baselines import constant
from heclstm_lib.models.train import make_model, train_exact

Sets = dict[str, SequenceSet]


def with_frames(sequences: SequenceSet, frames: np.ndarray) -> SequenceSet:
    return dataclasses.replace(sequences, frames=np.ascontiguousarray(frames))


def test_an_unaltered_control_is_our_exact_twin(parts: Sets, quick: MethodBudget) -> None:
    network = make_model(quick.model, parts["train"], quick.seed)
    ours = fit_ours(network, parts, quick)
    twin = train_exact(parts, quick.model, quick.train, progress=False)
    for own, other in zip(ours.model.parameters(), twin.model.parameters(), strict=True):
        torch.testing.assert_close(own, other, rtol=0, atol=0)


@pytest.mark.parametrize(
    ("fit", "kept"),
    [
        (controls.fit_first, (0,)),
        (controls.fit_last, (2,)),
        (controls.fit_first_and_last, (0, 2)),
    ],
)
def test_frames_left_out_change_nothing(
    fit: Any, kept: tuple[int, ...], parts: Sets, quick: MethodBudget
) -> None:
    fitted: OurFitted = fit(parts, quick)
    test = parts["test"]
    scores = fitted.scores(test)
    for t in range(3):
        frames = test.frames.copy()
        frames[:, t] = 1 - frames[:, t]
        same = np.allclose(fitted.scores(with_frames(test, frames)), scores)
        assert same == (t not in kept), t


def test_shuffling_hangs_on_seed_and_name_alone(parts: Sets) -> None:
    test = parts["test"]
    frames = np.arange(3.0, dtype=np.float32)[None, :, None, None, None] * np.ones_like(test.frames)
    view = controls.shuffle_frames(7)
    orders = view(with_frames(test, frames)).frames[:, :, 0, 0, 0]
    assert (np.sort(orders, axis=1) == [0, 1, 2]).all()
    assert len({tuple(order) for order in orders}) > 3  # of six
    part = view(with_frames(test, frames).subset(np.array([9, 4])))
    np.testing.assert_array_equal(part.frames[:, :, 0, 0, 0], orders[[9, 4]])
    assert part.frame_labels[0] == tuple(f"t{int(t)}" for t in orders[9])
    other = controls.shuffle_frames(8)(with_frames(test, frames)).frames[:, :, 0, 0, 0]
    assert (other != orders).any()


def test_shuffled_order_sees_shuffled_frames_in_training_and_test(
    parts: Sets, quick: MethodBudget, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[SequenceSet] = []
    train_model = controls.fit_ours.__globals__["train_model"]

    def spy(network: Any, sets: Sets, *given: Any, **options: Any) -> Any:
        seen.extend([sets["train"], sets["val"]])
        return train_model(network, sets, *given, **options)

    monkeypatch.setitem(controls.fit_ours.__globals__, "train_model", spy)
    fitted = controls.fit_shuffled(parts, quick)
    view = controls.shuffle_frames(quick.seed)
    np.testing.assert_array_equal(seen[0].frames, view(parts["train"]).frames)
    np.testing.assert_array_equal(seen[1].frames, view(parts["val"]).frames)
    plain = dataclasses.replace(fitted, view=lambda sequences: sequences)
    np.testing.assert_array_equal(fitted.scores(parts["test"]), plain.scores(view(parts["test"])))


def test_mean_logit_knows_no_order(parts: Sets, quick: MethodBudget) -> None:
    fitted, test = controls.fit_mean_logit(parts, quick), parts["test"]
    turned = with_frames(test, test.frames[:, ::-1])
    np.testing.assert_allclose(fitted.scores(turned), fitted.scores(test), rtol=1e-5, atol=1e-6)
    assert torch.all(fitted.model.voting.weight_logit == 0)


def test_frozen_convolutions_keep_their_initial_weights(parts: Sets, quick: MethodBudget) -> None:
    fitted = controls.fit_frozen(parts, quick)
    start = make_model(quick.model, parts["train"], quick.seed)
    for own, initial in zip(
        fitted.model.blocks.parameters(), start.blocks.parameters(), strict=True
    ):
        torch.testing.assert_close(own, initial, rtol=0, atol=0)
    assert not torch.equal(fitted.model.voting.frame.weight, start.voting.frame.weight)


def test_regressions_and_the_best_frame(parts: Sets, quick: MethodBudget) -> None:
    prior = controls.regression(constant)(parts, quick)
    assert np.ptp(prior.scores(parts["test"])) == 0
    marked = {}
    rng = np.random.default_rng(0)
    for part, sequences in parts.items():
        frames = rng.random(sequences.frames.shape, dtype=np.float32)
        frames[:, 1] += 0.5 * sequences.labels[:, None, None, None]
        marked[part] = with_frames(sequences, frames)
    best = controls.fit_best_frame(marked, quick)
    assert best.notes["setting"].startswith("frame 2 of 3")
    assert roc_auc_score(marked["test"].labels, best.scores(marked["test"])) == 1.0
