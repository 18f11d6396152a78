"""Linear and quadratic scores: every layout computes them, in clear, simulated and encrypted."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from sklearn.naive_bayes import GaussianNB

from heclstm_lib.compiler.forms import forms
from heclstm_lib.compiler.score import plan_score
from heclstm_lib.errors import PlanError
from heclstm_lib.he.clear import evaluate_clear
from heclstm_lib.he.client import Client
from heclstm_lib.he.server import Server
from heclstm_lib.he.simulate import evaluate_simulated
from heclstm_lib.models.score import FoldedScore, gaussian_score, linear_score

V = 21


def make_score(quadratic: bool, seed: int = 0) -> FoldedScore:
    rng = np.random.default_rng(seed)
    square = rng.normal(0, 0.1, V) if quadratic else np.zeros(V)
    return FoldedScore(rng.normal(0, 0.3, V), square, 0.75)


def make_features(count: int) -> np.ndarray:
    return np.random.default_rng(1).normal(size=(count, 1, V))


@pytest.mark.parametrize("quadratic", [False, True])
@pytest.mark.parametrize("sequences", [1, 8, 512, 4096])
@pytest.mark.parametrize("degree", [8192, 16384])
def test_every_layout_gives_the_score(quadratic: bool, sequences: int, degree: int) -> None:
    score, values = make_score(quadratic), make_features(min(sequences, 5))
    expected = score.outputs(values[:, 0])
    for form in forms(score, degree):
        plan = form.compile(sequences)
        np.testing.assert_allclose(evaluate_clear(plan, values)[:, 0], expected, atol=1e-9)
        assert plan.depth == form.params.levels
        simulation = evaluate_simulated(plan, values)
        np.testing.assert_allclose(simulation.outputs[:, 0], expected, atol=1e-9)
        assert simulation.precision_bits > 14
        relinearised = sum(op.kind == "relinearise" for op in plan.ops)
        assert relinearised == int(quadratic)


@pytest.mark.parametrize("quadratic", [False, True])
@pytest.mark.parametrize("sequences", [4, 512])
def test_encrypted_scores_agree(quadratic: bool, sequences: int, tmp_path: Path) -> None:
    score, values = make_score(quadratic), make_features(4)
    plan = next(iter(forms(score, 8192))).compile(sequences)
    client = Client(plan.signature)
    client.write_public_bundle(tmp_path / "bundle")
    client.encrypt_batch(values, tmp_path / "request")
    Server(plan, tmp_path / "bundle").evaluate(tmp_path / "request", tmp_path / "response")
    found = client.decrypt_scores(tmp_path / "response")
    assert np.abs(found - score.outputs(values[:, 0])).max() < 2**-12


def test_a_ciphertext_without_squares_joins_the_others() -> None:
    score = make_score(True)
    square = np.where(np.arange(V) < 4, score.square, 0.0)
    score = FoldedScore(score.linear, square, score.bias)
    values = make_features(3)
    for form in forms(score, 8192):  # four features a ciphertext: five hold no square
        plan = form.compile(1024)
        expected = score.outputs(values[:, 0])
        np.testing.assert_allclose(evaluate_clear(plan, values)[:, 0], expected, atol=1e-9)


def test_naive_bayes_is_a_quadratic_form() -> None:
    rng = np.random.default_rng(0)
    labels = np.arange(60) % 2
    features = rng.normal(labels[:, None], 1 + labels[:, None], (60, 5))
    model = GaussianNB().fit(features, labels)
    score = gaussian_score(model.theta_, model.var_, model.class_prior_)
    log = model.predict_joint_log_proba(features)
    np.testing.assert_allclose(score.outputs(features), log[:, 1] - log[:, 0], rtol=1e-9)
    np.testing.assert_allclose(score.divided(8).outputs(features) * 8, log[:, 1] - log[:, 0])


def test_scores_that_cannot_be_evaluated_are_refused() -> None:
    with pytest.raises(PlanError, match="all weights are zero"):
        linear_score(np.zeros(3), 1.0)
    with pytest.raises(PlanError, match="must be positive"):
        gaussian_score(np.zeros((2, 1)), np.array([[1.0], [0.0]]), np.array([0.5, 0.5]))
    with pytest.raises(PlanError, match="one length"):
        FoldedScore(np.ones(2), np.ones(3), 0.0)


def test_a_score_too_large_for_its_modulus_is_seen_in_simulation() -> None:
    score = linear_score(np.full(V, 1e4), 0.0)
    plan = plan_score(score, next(iter(forms(score, 8192))).params, 4)
    with pytest.raises(PlanError, match="overflows"):
        evaluate_simulated(plan, np.ones((2, 1, V)))
