"""Real encryption, from the client's frames through bytes to the client's scores."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from networks import make_frames, make_network
from parties import Parties, make_parties

from heclstm_lib.compiler.builder import Builder
from heclstm_lib.compiler.chain import choose_parameters
from heclstm_lib.compiler.network import plan_network
from heclstm_lib.errors import DataError, PlanError, WireError
from heclstm_lib.he.clear import evaluate_clear
from heclstm_lib.he.client import Client
from heclstm_lib.he.header import message_header
from heclstm_lib.he.keys import SecretKeys
from heclstm_lib.he.packing import Layout
from heclstm_lib.he.params import CkksParameters
from heclstm_lib.he.plan import Op, Plan
from heclstm_lib.he.seal import Context
from heclstm_lib.he.server import Server
from heclstm_lib.he.signature import InputSpec, OutputSpec
from heclstm_lib.he.simulate import evaluate_simulated
from heclstm_lib.he.wire import iter_chunks, write_message

SMALL = {"channels_out": 4, "kernel_size": 3}


@pytest.fixture(scope="module")
def without_lstm(tmp_path_factory: pytest.TempPathFactory) -> Parties:
    network = make_network(frames=3, hidden=0, **SMALL)
    return make_parties(network, 8192, 8, tmp_path_factory.mktemp("no-lstm"))


def assert_agrees(parties: Parties, count: int, bits: float) -> None:
    frames = make_frames(parties.network, count)
    error = np.abs(parties.scores(frames) - parties.network.scores(frames))
    assert -np.log2(error.mean()) >= bits


def test_without_lstm(without_lstm: Parties) -> None:
    assert_agrees(without_lstm, 8, bits=18)
    assert_agrees(without_lstm, 3, bits=18)  # a partial batch
    assert_agrees(without_lstm, 1, bits=18)


def test_one_sequence_steps_in_time_by_one_slot(tmp_path: Path) -> None:
    parties = make_parties(make_network(frames=2, hidden=0, **SMALL), 8192, 1, tmp_path)
    assert -1 in parties.plan.rotations
    assert_agrees(parties, 1, bits=18)


@pytest.mark.parametrize(
    ("sizes", "bits"),
    [({"frames": 1, "degree": 3, "hidden": 3}, 14), ({"frames": 2, "channels": 3}, 10)],
    ids=["cubic", "two frames"],
)
def test_with_lstm(tmp_path: Path, sizes: dict, bits: float) -> None:
    network = make_network(**{"channels_out": 2, "kernel_size": 3} | sizes)
    assert_agrees(make_parties(network, 16384, 64, tmp_path), 50, bits)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("sizes", "bits"),
    [
        ({"frames": 4, "hidden": 16, "channels_out": 8, "image_size": 28}, 17),
        ({"frames": 2, "hidden": 4, "degree": 3, "dense": (6,)}, 16),
    ],
    ids=["flagship", "cubic, two blocks"],
)
def test_at_full_size(tmp_path: Path, sizes: dict, bits: float) -> None:
    assert_agrees(make_parties(make_network(**sizes), 32768, 8, tmp_path), 8, bits)


@pytest.mark.parametrize(
    ("sizes", "poly_degree", "repeats"),
    [({"frames": 2, "hidden": 0}, 8192, 4), ({"frames": 1}, 16384, 2)],
    ids=["without LSTM", "quadratic"],
)
def test_predicted_error_is_the_real_one(
    tmp_path: Path, sizes: dict, poly_degree: int, repeats: int
) -> None:
    network = make_network(**{"channels_out": 2, "kernel_size": 3} | sizes)
    parties = make_parties(network, poly_degree, 64, tmp_path)
    deviations, errors = [], []
    for seed in range(repeats):
        frames = make_frames(network, 64, seed)
        simulation = evaluate_simulated(parties.plan, frames)
        error = parties.scores(frames) - evaluate_clear(parties.plan, frames)[:, 0]
        deviations.append(error / simulation.errors[:, 0])
        errors.append(error)
    assert -np.log2(np.abs(errors).mean()) > 18
    assert 0.5 < np.sqrt(np.mean(np.square(deviations))) < 2.0


@pytest.mark.parametrize("order", [("relinearise", "rescale"), ("rescale", "relinearise")])
def test_predicted_error_of_a_square_in_either_order(tmp_path: Path, order: tuple) -> None:
    """Rescaling three polynomials is seven bits less precise, and the simulation knows it."""
    params = CkksParameters(16384, 1, 40, 50, 60)
    builder = Builder(params, Layout(params.slots, 1, params.slots))
    value = builder.raw_square(builder.input((0,)))
    for step in order:
        value = getattr(builder, step)(value)
    plan = Plan(
        params, builder.layout, InputSpec(1, (1,), tuple(builder.patterns)), OutputSpec(((0,),)),
        tuple(builder.ops), (), (value.index,),
    )  # fmt: skip
    frames = np.random.default_rng(0).uniform(-0.01, 0.01, (params.slots, 1, 1))
    client = Client(plan.signature)
    client.write_public_bundle(tmp_path / "bundle")
    client.encrypt_batch(frames, tmp_path / "request")
    Server(plan, tmp_path / "bundle").evaluate(tmp_path / "request", tmp_path / "response")
    error = client.decrypt_outputs(tmp_path / "response") - evaluate_clear(plan, frames)
    predicted = evaluate_simulated(plan, frames).errors
    quiet = slice(16, None)  # key switching is noisy in the first slots
    assert 0.7 < np.std(error[quiet]) / predicted[quiet].mean() < 1.4


def test_server_reports_every_operation(without_lstm: Parties) -> None:
    seen: list[Op] = []
    without_lstm.client.encrypt_batch(make_frames(without_lstm.network, 2), path(without_lstm))
    without_lstm.server.evaluate(
        path(without_lstm), without_lstm.folder / "out", lambda op, _: seen.append(op)
    )
    assert tuple(seen) == without_lstm.plan.ops


def test_encryption_is_randomised(without_lstm: Parties) -> None:
    frames = make_frames(without_lstm.network, 1)
    files = [without_lstm.folder / name for name in ("one", "two")]
    for file in files:
        without_lstm.client.encrypt_batch(frames, file)
    first, second = (list(iter_chunks(file)) for file in files)
    assert not set(first) & set(second)


def path(parties: Parties) -> Path:
    return parties.folder / "request"


def test_another_hospitals_key_reads_only_noise(without_lstm: Parties, tmp_path: Path) -> None:
    frames = make_frames(without_lstm.network, 8)
    right = without_lstm.scores(frames)
    other = Client(without_lstm.plan.signature)
    wrong = other.decrypt_scores(without_lstm.folder / "response")
    assert np.median(np.abs(wrong - right)) > 10
    other.write_public_bundle(tmp_path / "bundle")
    server = Server(without_lstm.plan, tmp_path / "bundle")
    server.evaluate(path(without_lstm), tmp_path / "response")
    mixed = without_lstm.client.decrypt_scores(tmp_path / "response")
    assert np.median(np.abs(mixed - right)) > 10


def header(parties: Parties, kind: str, chunks: int, **more: object) -> dict:
    return message_header(parties.plan, kind, chunks, **more)


def test_server_refuses(without_lstm: Parties, tmp_path: Path) -> None:
    plan, server, folder = without_lstm.plan, without_lstm.server, without_lstm.folder
    other = plan_network(make_network(hidden=0, seed=9, **SMALL), plan.params, 8)
    with pytest.raises(WireError, match=r"bundle: plan is .*same plan"):
        Server(other, folder / "bundle")
    with pytest.raises(WireError, match="kind is 'public', expected 'request'"):
        server.evaluate(folder / "bundle", tmp_path / "out")
    without_lstm.client.encrypt_batch(make_frames(without_lstm.network, 1), path(without_lstm))
    taps = list(iter_chunks(path(without_lstm)))
    bad = tmp_path / "bad"
    write_message(bad, header(without_lstm, "request", 8, sequences=1), taps[1:])
    with pytest.raises(WireError, match="chunks is 8, expected 9"):
        server.evaluate(bad, tmp_path / "out")
    write_message(bad, header(without_lstm, "request", 9), taps)
    with pytest.raises(WireError, match="sequences is None"):
        server.evaluate(bad, tmp_path / "out")
    write_message(bad, header(without_lstm, "request", 9, sequences=1), taps)
    with pytest.raises(WireError, match="bad: ids: got None, expected one for each of 1 sequence"):
        server.evaluate(bad, tmp_path / "out")
    named = header(without_lstm, "request", 9, sequences=1, ids=["a"])
    write_message(bad, named, [b"no ciphertext"] * 9)
    with pytest.raises(WireError, match="Ciphertext: ends at 13 bytes"):
        server.evaluate(bad, tmp_path / "out")
    write_message(bad, named, [response(without_lstm)] * 9)
    with pytest.raises(WireError, match=r"input 0: level 0.*expected level 3"):
        server.evaluate(bad, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def response(parties: Parties) -> bytes:
    parties.scores(make_frames(parties.network, 1))
    return next(iter_chunks(parties.folder / "response"))


def test_server_refuses_keys_in_the_wrong_place(without_lstm: Parties, tmp_path: Path) -> None:
    chunks = list(iter_chunks(without_lstm.folder / "bundle"))
    swapped = [*chunks[:2], chunks[3], chunks[2], *chunks[4:]]
    bundle = tmp_path / "bundle"
    write_message(bundle, header(without_lstm, "public", len(chunks)), swapped)
    with pytest.raises(WireError, match=r"key in the place of rotation .* is for another one"):
        Server(without_lstm.plan, bundle)


def test_client_refuses(without_lstm: Parties, tmp_path: Path) -> None:
    data, bad = response(without_lstm), tmp_path / "bad"
    write_message(bad, header(without_lstm, "response", 2, sequences=1), [data, data])
    with pytest.raises(WireError, match="chunks is 2, expected 1"):
        without_lstm.client.decrypt_scores(bad)
    write_message(bad, header(without_lstm, "response", 1, sequences=9), [data])
    with pytest.raises(WireError, match="expected a number from 1 to 8"):
        without_lstm.client.decrypt_scores(bad)
    with pytest.raises(DataError, match="n from 1 to 8"):
        without_lstm.client.encrypt_batch(make_frames(without_lstm.network, 9), bad)
    assert [item.name for item in tmp_path.iterdir()] == ["bad"]


def test_insecure_parameters_get_no_key() -> None:
    params = CkksParameters(8192, 3, 40, 50, 60)
    with pytest.raises(PlanError, match="230 bits, but 128-bit security at N=8192 allows 218"):
        SecretKeys(params)
    with pytest.raises(PlanError, match="SEAL refuses"):
        Context(params)


def test_scales_of_another_version_are_noticed(without_lstm: Parties) -> None:
    """A plan whose scales are not SEAL's is stopped at the first operation that shows it."""
    network = without_lstm.network
    plan = plan_network(network, choose_parameters(network, 8192), 8)
    op = next(op for op in plan.ops if op.kind == "rescale")
    object.__setattr__(op, "scale", op.scale * (1 + 1e-6))
    client = Client(plan.signature)
    client.write_public_bundle(without_lstm.folder / "other-bundle")
    server = Server(plan, without_lstm.folder / "other-bundle")
    client.encrypt_batch(make_frames(network, 1), without_lstm.folder / "other")
    with pytest.raises(PlanError, match=r"\(rescale\): SEAL's scale .* not the planned"):
        server.evaluate(without_lstm.folder / "other", without_lstm.folder / "never")
