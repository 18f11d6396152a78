"""Flooding: its noise has the size the formulas say, and costs the precision they predict."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from networks import make_frames, make_network
from parties import Parties, make_parties

from heclstm_lib.errors import DataError, PlanError
from heclstm_lib.he.clear import evaluate_clear
from heclstm_lib.he.flooding import (
    GRID,
    Flooder,
    check_flooding,
    flood_decrypted,
    flood_error,
    flood_hiding_bits,
    flooded_zero,
    share_sigma,
)
from heclstm_lib.he.keys import SecretKeys
from heclstm_lib.he.memory import coefficients
from heclstm_lib.he.params import CkksParameters
from heclstm_lib.he.seal import from_bytes, load_context
from heclstm_lib.he.server import Server
from heclstm_lib.he.signature import OutputSpec
from heclstm_lib.he.simulate import evaluate_simulated
from heclstm_lib.he.wire import iter_chunks

PARAMS = CkksParameters(8192, 2, 40, 55, 56)


@pytest.fixture(scope="module")
def keys() -> SecretKeys:
    return SecretKeys(PARAMS)


@pytest.fixture(scope="module")
def parties(tmp_path_factory: pytest.TempPathFactory) -> Parties:
    network = make_network(frames=2, hidden=0, channels_out=4, kernel_size=3)
    return make_parties(network, 8192, 4, tmp_path_factory.mktemp("parties"))


def zero_slots(keys: SecretKeys, level: int, bits: int) -> np.ndarray:
    context = load_context(PARAMS)
    public = from_bytes("PublicKey", next(keys.evaluation_keys(())), context)
    return keys.decrypt(flooded_zero(context, public, level, PARAMS.scale, bits))


@pytest.mark.parametrize(("level", "bits"), [(0, 24), (0, 40), (2, 50)])
def test_a_flooded_zero_has_the_noise_of_the_formula(
    keys: SecretKeys, level: int, bits: int
) -> None:
    slots = zero_slots(keys, level, bits)
    assert slots.std() == pytest.approx(flood_error(PARAMS, PARAMS.scale, bits), rel=0.06)


def test_a_flooded_zero_has_no_bias(keys: SecretKeys) -> None:
    """The mean of the slots is coefficient 0; noise of 0 to 2^bits would have half that."""
    means = [zero_slots(keys, 0, 40).mean() for _ in range(64)]
    assert abs(np.mean(means)) * PARAMS.scale / 2**40 < 0.2


def test_without_flooding_a_zero_has_the_noise_of_a_rescaling(keys: SecretKeys) -> None:
    rescaled = np.sqrt(PARAMS.poly_degree / 2 * (1 + 2 * PARAMS.poly_degree / 3) / 12)
    assert zero_slots(keys, 0, 0).std() == pytest.approx(rescaled / PARAMS.scale, rel=0.15)


def errors(parties: Parties, flooder: Flooder | None, runs: int) -> np.ndarray:
    """What encryption added to the scores, over some runs."""
    frames = make_frames(parties.network, 4)
    parties.server._flood = flooder
    clear = evaluate_clear(parties.plan, frames)[:, 0]
    return np.array([parties.scores(frames) - clear for _ in range(runs)])


def flooder(parties: Parties, bits: int) -> Flooder:
    return Flooder(parties.plan, parties.server._context, parties.server.public_key, bits)


def bits(error: np.ndarray) -> float:
    return float(-np.log2(np.abs(error).mean()))


def test_a_fresh_zero_costs_less_than_a_bit(parties: Parties) -> None:
    """A tenth of a bit; over 24 runs the difference scatters by a sixth."""
    assert bits(errors(parties, flooder(parties, 0), 24)) > bits(errors(parties, None, 24)) - 1


def test_flooding_costs_what_is_predicted(parties: Parties) -> None:
    plan = parties.plan
    copies = plan.layout.slots // plan.layout.sequences
    scale = plan.ops[plan.results[0]].scale
    found = errors(parties, flooder(parties, 30), 10).std()
    assert found == pytest.approx(flood_error(plan.params, scale, 30, copies), rel=0.5)


def test_the_second_half_of_a_result_says_nothing(parties: Parties, tmp_path: Path) -> None:
    """Without flooding it is a function of request and model; with it, it is fresh each time."""
    parties.client.encrypt_batch(make_frames(parties.network, 4), tmp_path / "request")
    halves = {}
    for name, made in (("none", None), ("zero", flooder(parties, 0))):
        parties.server._flood = made
        for turn in range(2):
            parties.server.evaluate(tmp_path / "request", tmp_path / "response")
            data = next(iter_chunks(tmp_path / "response"))
            result = from_bytes("Ciphertext", data, parties.server._context)
            halves[name, turn] = coefficients(result)[1].copy()
    assert (halves["none", 0] == halves["none", 1]).all()
    assert (halves["zero", 0] != halves["zero", 1]).mean() > 0.99
    assert (halves["zero", 0] != halves["none", 0]).mean() > 0.99


def test_the_server_takes_the_bits(parties: Parties) -> None:
    server = Server(parties.plan, parties.folder / "bundle", flood_bits=12)
    assert repr(server._flood) == "Flooder(12 bits)"
    with pytest.raises(PlanError, match="flood_bits is 60, at level 0 there is room for 47"):
        Server(parties.plan, parties.folder / "bundle", flood_bits=60)


def test_what_cannot_be_hidden_is_refused(parties: Parties) -> None:
    with pytest.raises(PlanError, match="flood_bits is -1, expected 0"):
        check_flooding(parties.plan, -1)
    partial = replace(parties.plan, outputs=OutputSpec(((0, -1),)))
    with pytest.raises(PlanError, match="places that are no output"):
        check_flooding(partial, 8)


def test_hiding_grows_with_the_bits(parties: Parties) -> None:
    plan = parties.plan
    scale, error = plan.ops[plan.results[0]].scale, 2.0**-22
    found = [flood_hiding_bits(plan.params, scale, error, b) for b in (0, 12, 30, 40)]
    assert found[:2] == [0, 0]
    assert found[3] - found[2] == pytest.approx(10)


@pytest.mark.slow
def test_simulation_and_flooding_agree_with_an_lstm(tmp_path: Path) -> None:
    parties = make_parties(make_network(frames=1), 16384, 4, tmp_path)
    plan = parties.plan
    scale = plan.ops[plan.results[0]].scale
    error = float(evaluate_simulated(plan, make_frames(parties.network, 4)).errors.mean())
    assert bits(errors(parties, flooder(parties, 0), 16)) > bits(errors(parties, None, 16)) - 1
    assert flood_hiding_bits(plan.params, scale, error, 32) == pytest.approx(5.8, abs=1.5)
    added = flood_error(plan.params, scale, 32, plan.layout.slots // plan.layout.sequences)
    assert errors(parties, flooder(parties, 32), 6).std() == pytest.approx(added, rel=0.6)


@pytest.mark.parametrize(("queries", "shape"), [(1, (4000, 1)), (100, (500, 8))])
def test_shared_values_have_the_noise_of_the_formula(queries: int, shape: tuple[int, int]) -> None:
    values = np.linspace(-1, 1, 4000).reshape(shape)
    shared, sigma = flood_decrypted(values, 2.0**-40, bits=30, queries=queries)
    assert sigma == share_sigma(2.0**-40, 4000, 30, queries)
    assert sigma == pytest.approx(np.sqrt(12 * queries * 4000) * 2**15 * 2.0**-40)
    assert (shared - values).std() == pytest.approx(sigma, rel=0.06)
    steps = shared / 2.0 ** np.floor(np.log2(sigma / GRID))
    assert (steps == np.round(steps)).all()


@pytest.mark.parametrize("wrong", [{"error": 0.0}, {"bits": 0}, {"queries": 0}])
def test_noise_to_share_needs_positive_numbers(wrong: dict) -> None:
    with pytest.raises(DataError, match=r"noise to share results: .*expected all above 0"):
        flood_decrypted(np.ones(3), **({"error": 1e-6} | wrong))
