"""Pretraining without labels and distillation: what they change, and what they must not see."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from heclstm_lib.config import ModelConfig, TrainConfig
from heclstm_lib.data.sequences import SequenceSet
from heclstm_lib.models.checkpoint import state_digest
from heclstm_lib.models.normalise import fit_normaliser, predict
from heclstm_lib.models.pretrain import pretrain, pretrained
from heclstm_lib.models.train import TrainResult, make_model, train_exact, train_polynomial

Sets = dict[str, SequenceSet]


@pytest.mark.parametrize(
    "changes", [{}, {"recurrence": "bi_lstm"}, {"recurrence": "sru"}, {"lstm": False}]
)
def test_both_decoders_learn_and_the_network_can_be_trained_on(
    changes: dict[str, object], sets: Sets, tiny: ModelConfig, short: TrainConfig
) -> None:
    config = dataclasses.replace(short, pretrain_epochs=12, augment=False)
    model = make_model(dataclasses.replace(tiny, **changes), sets["train"], 0)
    frames = torch.from_numpy(fit_normaliser(sets["train"]).apply(sets["train"].frames))
    trained, losses = pretrain(model, frames, config)
    assert len(losses) == 12 and losses[-1] < 0.7 * losses[0]
    assert state_digest(trained) != state_digest(model)  # the caller's own stays
    quick = dataclasses.replace(config, epochs=1, polynomial_epochs=1)
    exact = train_exact(sets, model.config, quick, progress=False)
    train_polynomial(exact.model, sets, quick, progress=False)


def test_pretraining_reads_training_frames_and_no_label(
    sets: Sets, tiny: ModelConfig, short: TrainConfig
) -> None:
    config = dataclasses.replace(short, pretrain_epochs=2)
    model = make_model(tiny, sets["train"], 0)
    train = sets["train"]
    blind = dataclasses.replace(train, labels=1 - train.labels)
    before = torch.get_rng_state()
    once = pretrained(model, train, config)
    assert state_digest(once) == state_digest(pretrained(model, blind, config))
    assert torch.equal(torch.get_rng_state(), before)
    assert pretrained(model, train, short) is model
    start = train_exact(sets, tiny, dataclasses.replace(config, epochs=1), progress=False)
    plain = train_exact(sets, tiny, dataclasses.replace(short, epochs=1), progress=False)
    assert state_digest(start.model) != state_digest(plain.model)


@pytest.mark.parametrize("recurrence", ["lstm", "bi_lstm", "sru"])
def test_a_state_that_foretells_a_frame_has_not_seen_it(
    recurrence: str, sets: Sets, tiny: ModelConfig
) -> None:
    model = make_model(dataclasses.replace(tiny, recurrence=recurrence), sets["train"], 0)
    a = torch.randn(3, 4, model.weighted.project.in_features)
    changed = a.clone()
    changed[:, 2:] += 1.0
    with torch.no_grad():
        before, after = model.past_states(a), model.past_states(changed)
        both = model.states(a), model.states(changed)
    assert before is not None and after is not None
    assert torch.allclose(before[:, :2], after[:, :2]) and not torch.allclose(before, after)
    assert torch.allclose(both[0][:, :2], both[1][:, :2]) == (recurrence != "bi_lstm")


def test_the_share_of_distillation(sets: Sets, short: TrainConfig, exact: TrainResult) -> None:
    def twin(share: float, given: Sets = sets) -> TrainResult:
        train = dataclasses.replace(short, distillation=share)
        return train_polynomial(exact.model, given, train, progress=False)

    flipped = sets | {"train": dataclasses.replace(sets["train"], labels=1 - sets["train"].labels)}
    assert state_digest(twin(1.0).model) == state_digest(twin(1.0, flipped).model)  # no label
    assert state_digest(twin(0.0).model) != state_digest(twin(0.0, flipped).model)
    assert state_digest(twin(0.5).model) != state_digest(twin(0.0).model)


def test_a_taught_twin_comes_closer_to_its_teacher(
    sets: Sets, short: TrainConfig, exact: TrainResult
) -> None:
    long = dataclasses.replace(short, polynomial_epochs=25, patience=25, augment=False)
    normaliser, train = fit_normaliser(sets["train"]), sets["train"]
    wanted = predict(exact.model, normaliser, train)[0]
    gap = {}
    for share in (0.0, 1.0):
        config = dataclasses.replace(long, distillation=share)
        result = train_polynomial(exact.model, sets, config, progress=False)
        gap[share] = np.abs(predict(result.model, normaliser, train)[0] - wanted).mean()
    assert gap[1.0] < gap[0.0]
