"""A variant of ours: HE-CLSTM with an LSTM in both directions, exact twin.

Everything else is our exact network: blocks, weighted unit, voting, training. Its HE-friendly twin,
encrypted, is the row `bi_lstm` of the ablation grid.
"""

from __future__ import annotations

import dataclasses

import torch

from heclstm_lib.data.sequences import SequenceSet
from heclstm_lib.methods.budget import MethodBudget
from heclstm_lib.methods.ours import OurFitted, fit_ours
from heclstm_lib.models.convlstm import ConvLSTM


def fit(sets: dict[str, SequenceSet], budget: MethodBudget) -> OurFitted:
    """Train as our exact twin is trained."""
    _, frames, channels, _, size = sets["train"].frames.shape
    model = dataclasses.replace(budget.model, recurrence="bi_lstm", lstm=True)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(budget.seed)
        network = ConvLSTM(model, channels, size, frames, "exact")
    return fit_ours(network, sets, budget)
