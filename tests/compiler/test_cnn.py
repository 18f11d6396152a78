"""A small CNN: every layout computes its logits."""

from __future__ import annotations

import numpy as np
import pytest

from heclstm_lib.compiler.chain import choose_chain
from heclstm_lib.compiler.cnn import cnn_depth, plan_cnn
from heclstm_lib.errors import PlanError
from heclstm_lib.he.clear import evaluate_clear
from heclstm_lib.he.simulate import evaluate_simulated
from heclstm_lib.models.cnn import FoldedCnn


def make_cnn(channels: int, widths: tuple[int, ...], seed: int = 0) -> FoldedCnn:
    rng = np.random.default_rng(seed)
    sizes = (channels * 16, *widths)
    dense = tuple(
        (rng.normal(0, 1 / np.sqrt(before), (after, before)), rng.normal(0, 0.1, after))
        for before, after in zip(sizes, widths, strict=False)
    )
    return FoldedCnn(
        12, 3, rng.normal(0, 0.3, (channels, 1, 3, 3)), rng.normal(0, 0.1, channels), dense
    )


@pytest.mark.parametrize("widths", [(6, 3), (5,), (8, 4, 10)])
@pytest.mark.parametrize("images", [1, 16, 512, 4096])
@pytest.mark.parametrize("together", [1, 4])
def test_every_layout_gives_the_logits(widths: tuple[int, ...], images: int, together: int) -> None:
    network = make_cnn(2, widths)
    params = choose_chain(cnn_depth(network), 16384)
    if together > 1 and images * 32 * together > params.slots:
        with pytest.raises(PlanError, match=r"do not fit a feature axis"):
            plan_cnn(network, params, images, together)
        return
    plan = plan_cnn(network, params, images, together)
    if images == 1:
        assert plan.inputs.count == -(-9 // together)
    frames = np.random.default_rng(1).normal(size=(min(images, 3), 1, 1, 12, 12))
    expected = network.outputs(frames[:, 0])
    np.testing.assert_allclose(evaluate_clear(plan, frames), expected, atol=1e-9)
    assert plan.depth == params.levels
    assert evaluate_simulated(plan, frames).precision_bits > 12
