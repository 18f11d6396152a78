"""Refresh: exact masks that hide, messages that fit, plans that give the network's scores."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path

import numpy as np
import pytest
from networks import make_frames, make_network
from scipy.stats import kstest

from heclstm_lib.compiler.chain import choose_parameters
from heclstm_lib.compiler.network import plan_network
from heclstm_lib.compiler.refresh_plan import choose_refresh_parameters, plan_refresh
from heclstm_lib.errors import DepthBudgetExceeded, PlanError, WireError
from heclstm_lib.he.clear import evaluate_clear, layer_ranges
from heclstm_lib.he.client import Client
from heclstm_lib.he.keys import SecretKeys
from heclstm_lib.he.masking import BOUND_BITS, check_masks, hiding_bits, mask_bits
from heclstm_lib.he.memory import coefficients, plaintext_coefficients
from heclstm_lib.he.params import CkksParameters
from heclstm_lib.he.plan import Plan
from heclstm_lib.he.refresh import Mask, Masker, refresh_header
from heclstm_lib.he.residues import WideIntegers
from heclstm_lib.he.seal import api, from_bytes, load_context, to_bytes
from heclstm_lib.he.segments import refresh_summary, segment_rows, segments
from heclstm_lib.he.server import Server
from heclstm_lib.he.signature import Refresh
from heclstm_lib.he.simulate import evaluate_simulated
from heclstm_lib.he.transform import from_ntt
from heclstm_lib.he.wire import iter_chunks, write_message

PARAMS = CkksParameters(8192, 3, 30, 60, 60)
SENT = Refresh(sent_level=1, level=3, scale=2.0**30)


@pytest.fixture(scope="module")
def keys() -> SecretKeys:
    return SecretKeys(PARAMS)


@pytest.fixture(scope="module")
def masker(keys: SecretKeys) -> Masker:
    public = from_bytes("PublicKey", next(keys.evaluation_keys(())), load_context(PARAMS))
    return Masker(load_context(PARAMS), public)


def encrypted(keys: SecretKeys, slots: np.ndarray, level: int) -> object:
    """A fresh ciphertext lowered to a level."""
    context, lowered = load_context(PARAMS), api.Ciphertext()
    fresh = from_bytes("Ciphertext", keys.encrypt(slots), context)
    api.Evaluator(context.seal).mod_switch_to(fresh, context.level_ids[level], lowered)
    return lowered


def decrypted(keys: SecretKeys, ciphertext: object) -> np.ndarray:
    """The polynomial that a key holder sees, in fractions of the modulus from -1/2 to 1/2."""
    plain = api.Plaintext()
    keys._decryptor.decrypt(ciphertext, plain)
    known = from_ntt(load_context(PARAMS), plaintext_coefficients(plain, PARAMS.poly_degree))
    primes = PARAMS.primes[: len(known)]
    numbers = WideIntegers.from_residues(known, primes)
    places = np.cumprod([1.0, *map(float, primes[:-1])])
    total = sum(p * d.astype(float) for p, d in zip(places, numbers.digits, strict=True))
    return np.asarray(total / math.prod(primes) - 0.5)


def test_the_widest_mask_that_cannot_wrap() -> None:
    bits = mask_bits(PARAMS, SENT)
    half = math.prod(PARAMS.primes[:2]) // 2
    largest = int(SENT.scale * 2**BOUND_BITS)
    assert 2 ** (bits - 1) + largest <= half < 2**bits + largest


def test_hiding_bits_are_the_bound_over_all_refreshes() -> None:
    bits = mask_bits(PARAMS, SENT)
    one = hiding_bits(PARAMS, [SENT])
    assert one == pytest.approx(bits - 30 - BOUND_BITS - np.log2(8192) / 2)
    assert hiding_bits(PARAMS, [SENT] * 4) == pytest.approx(one - 2)
    assert hiding_bits(PARAMS, []) == math.inf


def test_a_mask_that_hides_too_little_is_refused() -> None:
    check_masks(PARAMS, [SENT])
    narrow = dataclasses.replace(PARAMS, first_bits=48)
    with pytest.raises(PlanError, match=r"hide the state by 3\d\.\d bits, at least 40"):
        check_masks(narrow, [SENT])
    with pytest.raises(PlanError, match=r"has no room in the \d+ bits of level 1") as found:
        mask_bits(PARAMS, Refresh(1, 3, 2.0**89))
    assert "refresh" not in str(found.value)  # flooding a result asks for the same room
    with pytest.raises(PlanError, match="from level 1 to 1"):
        check_masks(PARAMS, [Refresh(1, 1, 2.0**30)])


def test_masks_change_no_bit(keys: SecretKeys) -> None:
    value = encrypted(keys, np.linspace(-1, 1, PARAMS.slots), 2)
    before = coefficients(value).copy()
    mask = Mask(load_context(PARAMS), 100)
    mask.add(value)
    assert not np.array_equal(coefficients(value)[0], before[0])
    mask.remove(value)
    np.testing.assert_array_equal(coefficients(value), before)
    assert repr(mask) == "Mask(hidden)"


@pytest.mark.parametrize("value", [0.0, 1.0, -60.0])
def test_a_refreshed_state_is_the_state(keys: SecretKeys, masker: Masker, value: float) -> None:
    slots = np.full(PARAMS.slots, value)
    slots[1::2] /= 3
    sent, mask = masker.hide(encrypted(keys, slots, 1), mask_bits(PARAMS, SENT))
    fresh = from_bytes("Ciphertext", keys.reencrypt(sent, 3), load_context(PARAMS))
    assert fresh.coeff_modulus_size() == 4 and fresh.scale == sent.scale
    mask.remove(fresh)
    np.testing.assert_allclose(keys.decrypt(fresh), slots, atol=3e-4)


def test_what_the_client_sees_does_not_depend_on_the_state(
    keys: SecretKeys, masker: Masker
) -> None:
    """Uniform over the mask's interval for a state of zeros and for the largest state."""
    bits = mask_bits(PARAMS, SENT)
    width = 2.0**bits / math.prod(PARAMS.primes[:2])
    rng = np.random.default_rng(3)
    for slots in (np.zeros(PARAMS.slots), rng.choice([-64.0, 64.0], PARAMS.slots)):
        ciphertext = encrypted(keys, slots, 1)
        masked = (masker.hide(ciphertext, bits)[0] for _ in range(2))  # one in 10^4 is unlucky
        seen = [decrypted(keys, one) / width + 0.5 for one in masked]
        assert max(kstest(one, "uniform").pvalue for one in seen) > 1e-4
        assert kstest(decrypted(keys, ciphertext) / width + 0.5, "uniform").pvalue < 1e-9


def test_a_narrow_mask_would_show_the_state(keys: SecretKeys, masker: Masker) -> None:
    """The statistics above can fail: a mask as wide as the state does not hide it."""
    slots = np.full(PARAMS.slots, 64.0)
    seen = decrypted(keys, masker.hide(encrypted(keys, slots, 1), 30)[0])
    scaled = seen * math.prod(PARAMS.primes[:2]) / 2.0**30
    assert kstest(scaled + 0.5, "uniform").pvalue < 1e-9 and abs(scaled[0]) > 32


def test_the_half_a_mask_leaves_alone_is_made_fresh(keys: SecretKeys, masker: Masker) -> None:
    value = encrypted(keys, np.ones(PARAMS.slots), 1)
    first, second = (coefficients(masker.hide(value, 70)[0])[1].copy() for _ in range(2))
    assert np.mean(first == second) < 1e-3 and np.mean(first == coefficients(value)[1]) < 1e-3


SIZES = [
    {"frames": 3, "hidden": 4},
    {"frames": 2, "hidden": 3, "degree": 3},
    {"frames": 2, "hidden": 2, "channels": 2, "kernel_size": 3, "dense": (8,)},
    {"frames": 5, "hidden": 5},
]


@pytest.mark.parametrize("sizes", SIZES)
@pytest.mark.parametrize("sequences", [1, 4])
def test_the_plan_gives_the_networks_scores(sizes: dict, sequences: int) -> None:
    network = make_network(**sizes)
    plan = plan_refresh(network, choose_refresh_parameters(network, 16384), sequences)
    frames = make_frames(network, sequences)
    np.testing.assert_allclose(
        evaluate_clear(plan, frames)[:, 0], network.scores(frames), atol=1e-9
    )
    assert len(plan.refreshes) == network.frames - 1
    assert evaluate_simulated(plan, frames).precision_bits > 12
    assert hiding_bits(plan.params, plan.refreshes) > 40


def test_gates_of_both_signs() -> None:
    network = make_network(frames=3, hidden=4)
    for signs in ((1, -1, 1, 1), (-1, 1, 1, -1), (1, 1, -1, 1), (-1, -1, -1, -1)):
        gates = tuple(
            dataclasses.replace(gate, sign=float(sign))
            for gate, sign in zip(network.gates, signs, strict=True)
        )
        signed = dataclasses.replace(network, gates=gates)
        plan = plan_refresh(signed, choose_refresh_parameters(signed, 16384), 1)
        frames = make_frames(signed, 1)
        expected = signed.scores(frames)
        np.testing.assert_allclose(evaluate_clear(plan, frames)[:, 0], expected, atol=1e-9)


def test_levels_do_not_grow_with_frames() -> None:
    short, long = (make_network(frames=frames, hidden=4) for frames in (2, 16))
    params = choose_refresh_parameters(short, 16384)
    assert params == choose_refresh_parameters(long, 16384)
    assert (params.levels, params.total_bits) == (7, 428)
    plans = [plan_refresh(network, params, 1) for network in (short, long)]
    assert [len(plan.refreshes) for plan in plans] == [1, 15]
    steps = [sum(op.layer.startswith("lstm.t") for op in plan.ops) for plan in plans]
    assert steps[1] - steps[0] == 14 * (
        steps[0] - sum(op.layer == "lstm.t0" for op in plans[0].ops)
    )


def test_networks_without_a_state_are_refused() -> None:
    for network in (make_network(hidden=0), make_network(recurrence="sru")):
        with pytest.raises(
            PlanError, match="only an LSTM that reads one way has a state to refresh"
        ):
            plan_refresh(network, PARAMS, 1)
    with pytest.raises(DepthBudgetExceeded, match="needs 7 levels"):
        choose_refresh_parameters(make_network(), 8192)


def test_a_state_beyond_the_bound_is_noticed() -> None:
    network = make_network(frames=2, hidden=4)
    network = dataclasses.replace(network, gate_bias=network.gate_bias * 12)
    plan = plan_refresh(network, choose_refresh_parameters(network, 16384), 1)
    frames = make_frames(network, 1)
    assert layer_ranges(plan, frames)["lstm.state0"] > 64
    with pytest.raises(PlanError, match="exceeds the 64 that masks are made for"):
        evaluate_simulated(plan, frames)


@pytest.fixture(scope="module")
def parties(tmp_path_factory: pytest.TempPathFactory) -> tuple[Plan, Client, Server, Path]:
    network = make_network(frames=3, hidden=2, kernel_size=3, image_size=6)
    plan = plan_refresh(network, choose_refresh_parameters(network, 16384), 2)
    folder = tmp_path_factory.mktemp("refresh")
    client = Client(plan.signature)
    client.write_public_bundle(folder / "bundle")
    client.encrypt_batch(make_frames(network, 2), folder / "request")
    return plan, client, Server(plan, folder / "bundle"), folder


def test_whole_protocol(parties: tuple[Plan, Client, Server, Path]) -> None:
    plan, client, server, folder = parties
    network = make_network(frames=3, hidden=2, kernel_size=3, image_size=6)
    messages, kinds = [], []

    def ask(message: Path) -> Path:
        messages.append(message)
        client.refresh(message, reply := message.with_name(f"{message.name}.reply"))
        return reply

    response = folder / "response"
    size = server.evaluate(
        folder / "request", response, lambda op, _value: kinds.append(op.kind), ask
    )
    assert size == response.stat().st_size
    expected = network.scores(make_frames(network, 2))
    assert -np.log2(np.abs(client.decrypt_scores(response) - expected).mean()) > 15
    assert [path.name for path in messages] == ["response.refresh0", "response.refresh1"]
    assert [kinds.count(kind) for kind in ("mask", "wait", "refresh")] == [2, 2, 2]
    sent = from_bytes("Ciphertext", next(iter_chunks(messages[0])), load_context(plan.params))
    assert sent.coeff_modulus_size() == 2
    values = client._keys.decrypt(sent)
    assert np.abs(values).min() > 1e3  # masks in every slot, states are about 1


def test_a_refresh_needs_the_client(parties: tuple[Plan, Client, Server, Path]) -> None:
    _, _, server, folder = parties
    with pytest.raises(PlanError, match="re-encrypted by the client; evaluate it with `ask`"):
        server.evaluate(folder / "request", folder / "response")


def test_messages_that_do_not_fit(parties: tuple[Plan, Client, Server, Path]) -> None:
    plan, client, server, folder = parties
    header = refresh_header("refresh", plan, 2)
    top = to_bytes(from_bytes("Ciphertext", next(iter_chunks(folder / "request")),
                              load_context(plan.params)))  # fmt: skip
    write_message(folder / "m", header, [top])
    with pytest.raises(WireError, match="refresh number 2, the plan has 2"):
        client.refresh(folder / "m", folder / "r")
    write_message(folder / "m", header | {"number": 0}, [top])
    with pytest.raises(WireError, match=r"a ciphertext of level 7.* expected level 1"):
        client.refresh(folder / "m", folder / "r")
    write_message(folder / "m", header | {"kind": "response"}, [top])
    with pytest.raises(WireError, match="kind is 'response', expected 'refresh'"):
        client.refresh(folder / "m", folder / "r")
    with pytest.raises(WireError, match="kind is 'refresh', expected 'refreshed'"):
        server.evaluate(folder / "request", folder / "response", ask=lambda message: message)


def test_segments_lie_between_refreshes() -> None:
    network = make_network(frames=4, hidden=4)
    plan = plan_refresh(network, choose_refresh_parameters(network, 16384), 1)
    rows, parts = segment_rows(plan), segments(plan)
    assert sum(map(len, parts)) == len(plan.ops)
    assert [part[-1].kind == "refresh" for part in parts] == [True, True, True, False]
    assert [(row["level_in"], row["level_out"]) for row in rows] == [(7, 1), (5, 1), (5, 1), (5, 0)]
    assert rows[1]["rotate"] == rows[2]["rotate"] and rows[1]["relinearise"] == 3
    summary = refresh_summary(plan)
    assert summary["round_trips"] == 3 and summary["mask_bits"] == 103
    sent, returned = 8 * 16384 * 2 * 2, 8 * 16384 * 6
    assert (rows[0]["sent_bytes"], rows[0]["returned_bytes"]) == (sent, returned)
    assert summary["refresh_bytes_per_batch"] == 3 * (sent + returned)
    sru = make_network(recurrence="sru")
    assert refresh_summary(plan_network(sru, choose_parameters(sru, 16384), 1)) == {
        "round_trips": 0, "refresh_bytes_per_batch": 0, "mask_bits": 0, "hiding_bits": 0.0,
    }  # fmt: skip
