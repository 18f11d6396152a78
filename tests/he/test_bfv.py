"""CryptoNets under BFV: what is decrypted is exactly the integer network."""

from __future__ import annotations

import itertools
from dataclasses import replace
from math import prod
from pathlib import Path

import numpy as np
import pytest

from heclstm_lib.errors import DataError, PlanError, WireError
from heclstm_lib.evaluation.bfv_run import evaluate_bfv
from heclstm_lib.he.bfv import BfvServer
from heclstm_lib.he.bfv_keys import BfvClient
from heclstm_lib.he.bfv_params import choose_bfv
from heclstm_lib.he.params import bit_budget
from heclstm_lib.models.cnn import FoldedCnn
from heclstm_lib.models.integer_cnn import IntegerCnn, quantise_cnn

MEAN, STD = np.array([0.5]), np.array([0.25])


def make_cnn(seed: int = 0, side: int = 6) -> FoldedCnn:
    rng = np.random.default_rng(seed)
    grid = (side - 3) // 2 + 1
    sizes = (2 * grid * grid, 3, 1)
    dense = tuple(
        (rng.normal(0, 1 / np.sqrt(n), (m, n)), rng.normal(0, 0.1, m))
        for n, m in itertools.pairwise(sizes)
    )
    return FoldedCnn(side, 2, rng.normal(0, 0.3, (2, 1, 3, 3)), rng.normal(0, 0.1, 2), dense)


def make_integer() -> IntegerCnn:
    return quantise_cnn(make_cnn(), MEAN, STD)


def make_images(count: int) -> np.ndarray:
    return np.random.default_rng(1).random((count, 1, 6, 6))


def test_rounding_keeps_the_score_and_more_bits_keep_more() -> None:
    images = make_images(20)
    wanted = make_cnn().outputs((images - 0.5) / 0.25)[:, 0]
    errors = []
    for bits in (4, 6, 10, 14):
        network = quantise_cnn(make_cnn(), MEAN, STD, bits, bits)
        found = network.scores(network.exact(network.quantised(images)))
        errors.append(float(np.abs(found - wanted).max()))
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] < 0.01 * np.abs(wanted).max()


def test_exact_is_exact_beyond_machine_words() -> None:
    network = quantise_cnn(make_cnn(), MEAN, STD, 16, 16)
    images = network.quantised(make_images(2))
    found = network.exact(images)
    for image, row in zip(images.tolist(), found.tolist(), strict=True):
        assert row == plain_outputs(network, image)
    assert max(abs(row[0]) for row in found.tolist()) > 2**64


def plain_outputs(network: IntegerCnn, image: list[list[list[int]]]) -> list[int]:
    """The same network in loops over Python integers."""
    side = range(0, 4, 2)
    values = [
        sum(int(w[0, i, j]) * image[0][y + i][x + j] for i in range(3) for j in range(3)) + int(b)
        for w, b in zip(network.conv_weight, network.conv_bias, strict=True)
        for y in side
        for x in side
    ]
    for matrix, bias in network.dense:
        squares = [value**2 for value in values]
        values = [
            sum(int(w) * square for w, square in zip(row, squares, strict=True)) + int(b)
            for row, b in zip(matrix, bias, strict=True)
        ]
    return values


def test_no_output_exceeds_the_bound_and_the_moduli_hold_it() -> None:
    network = make_integer()
    extreme = np.random.default_rng(2).integers(0, 2, (200, 1, 6, 6)) * network.levels
    assert max(abs(int(row[0])) for row in network.exact(extreme)) <= network.bound()
    params = choose_bfv(network)
    assert prod(params.plain_moduli) > 2 * network.bound() + 1
    assert params.total_bits <= bit_budget(params.poly_degree)
    assert all(modulus % (2 * params.poly_degree) == 1 for modulus in params.plain_moduli)


def test_decrypted_outputs_are_the_integer_networks(tmp_path: Path) -> None:
    network = make_integer()
    images = network.quantised(make_images(3))
    run, params = evaluate_bfv(network, images, tmp_path)
    assert run.values.tolist() == network.exact(images).tolist()
    assert run.budget_bits > 0
    assert run.request_bytes > 36 * len(params.plain_moduli) * 100_000
    assert evaluate_bfv(network, images, tmp_path)[0] == run  # kept, not run again
    assert [path.name for path in tmp_path.iterdir()] == ["bfv.json"]
    other = network.quantised(1 - make_images(3))
    assert evaluate_bfv(network, other, tmp_path)[0].outputs != run.outputs


def test_wrong_inputs_are_refused(tmp_path: Path) -> None:
    network = make_integer()
    params = choose_bfv(network)
    client = BfvClient(params)
    assert "hidden" in repr(client)
    with pytest.raises(DataError, match="36 pixels"):
        client.encrypt_batch(np.zeros((1, 1, 4, 4), dtype=np.int64), tmp_path / "request")
    client.write_bundle(tmp_path / "bundle")
    with pytest.raises(WireError, match="expected"):
        BfvServer(network, replace(params, pixels=37), tmp_path / "bundle")


def test_networks_that_do_not_fit_are_refused() -> None:
    network = make_cnn()
    dead = replace(network, conv_weight=network.conv_weight * np.array([0, 1])[:, None, None, None])
    with pytest.raises(PlanError, match="1 of 2 rows"):
        quantise_cnn(dead, MEAN, STD)
    with pytest.raises(PlanError, match="weight bits"):
        quantise_cnn(network, MEAN, STD, weight_bits=1)
    deep = make_integer()
    with pytest.raises(PlanError, match="squares in a row"):
        choose_bfv(replace(deep, dense=deep.dense * 3))
