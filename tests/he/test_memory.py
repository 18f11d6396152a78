"""Views of SEAL's memory: what they show, what writing does, how long they live."""

from __future__ import annotations

import gc
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from heclstm_lib.errors import PlanError
from heclstm_lib.he import memory
from heclstm_lib.he.keys import SecretKeys
from heclstm_lib.he.params import CkksParameters
from heclstm_lib.he.seal import Context, api, from_bytes, load_context

PARAMS = CkksParameters(poly_degree=8192, levels=3, scale_bits=36, first_bits=45, special_bits=46)


@pytest.fixture(scope="module")
def context() -> Context:
    return load_context(PARAMS)


@pytest.fixture(scope="module")
def keys() -> SecretKeys:
    return SecretKeys(PARAMS)


def encrypt(context: Context, keys: SecretKeys, slots: np.ndarray) -> Any:
    return from_bytes("Ciphertext", keys.encrypt(slots), context)


def test_a_view_shows_every_residue(context: Context, keys: SecretKeys) -> None:
    ciphertext = encrypt(context, keys, np.arange(4096) / 4096)
    view = memory.coefficients(ciphertext)
    assert view.shape == (2, 4, 8192)
    assert view.flags.writeable and not view.flags.owndata
    flat = view.reshape(-1)
    for index in np.random.default_rng(0).integers(0, flat.size, 200):
        assert int(flat[index]) == ciphertext[int(index)]
    assert (view < np.array(PARAMS.primes[:4], dtype=np.uint64)[None, :, None]).all()


def test_size_and_level_follow_the_ciphertext(context: Context, keys: SecretKeys) -> None:
    evaluator, squared, lower = api.Evaluator(context.seal), api.Ciphertext(), api.Ciphertext()
    evaluator.square(encrypt(context, keys, np.ones(4096)), squared)
    evaluator.rescale_to_next(squared, lower)
    assert memory.coefficients(squared).shape == (3, 4, 8192)
    assert memory.coefficients(lower).shape == (3, 3, 8192)


def test_writing_changes_the_ciphertext(context: Context, keys: SecretKeys) -> None:
    slots = np.linspace(-1, 1, 4096)
    ciphertext = encrypt(context, keys, slots)
    view = memory.coefficients(ciphertext)
    primes = np.array(PARAMS.primes[:4], dtype=np.uint64)[None, :, None]
    view[:] = (view + view) % primes
    assert np.allclose(keys.decrypt(ciphertext), 2 * slots, atol=1e-4)


def test_a_made_ciphertext_is_as_good_as_seals(context: Context, keys: SecretKeys) -> None:
    slots = np.linspace(-1, 1, 4096)
    source = encrypt(context, keys, slots)
    made = memory.make_ciphertext(context, 3, 2, source.scale, source)
    assert not memory.coefficients(made).any()
    memory.coefficients(made)[:] = memory.coefficients(source)
    evaluator, product, lower = api.Evaluator(context.seal), api.Ciphertext(), api.Ciphertext()
    evaluator.multiply(made, source, product)
    evaluator.rescale_to_next(product, lower)
    assert np.allclose(keys.decrypt(lower), slots**2, atol=1e-4)


@pytest.mark.parametrize(("level", "size"), [(0, 2), (1, 3), (2, 2)])
def test_a_made_ciphertext_has_the_asked_shape(context: Context, level: int, size: int) -> None:
    made = memory.make_ciphertext(context, level, size, 2.0**30, api.Ciphertext())
    assert memory.coefficients(made).shape == (size, level + 1, 8192)
    assert (made.scale, made.is_ntt_form()) == (2.0**30, True)
    assert made.parms_id() == context.level_ids[level]


def test_a_view_keeps_its_ciphertext_alive(context: Context, keys: SecretKeys) -> None:
    view = memory.coefficients(encrypt(context, keys, np.ones(4096)))
    before = view.copy()
    gc.collect()
    for _ in range(4):  # would take the freed memory
        encrypt(context, keys, np.zeros(4096))
    assert np.array_equal(view, before)


def test_plaintexts_can_be_copied_word_by_word(context: Context) -> None:
    slots = np.linspace(-1, 1, 4096)
    source = context.encode(slots, 2, 2.0**36)
    target = context.encode(np.zeros(4096), 2, 2.0**36)
    view = memory.plaintext_coefficients(source, 8192)
    assert view.shape == (3, 8192)
    memory.plaintext_coefficients(target, 8192)[:] = view
    assert np.allclose(context.encoder.decode_double(target), slots, atol=1e-6)


def test_a_plaintext_of_another_degree_is_refused(context: Context) -> None:
    with pytest.raises(PlanError, match="N=16384"):
        memory.plaintext_coefficients(context.encode(np.ones(4096), 2, 2.0**36), 16384)
    with pytest.raises(PlanError, match="NTT form False"):
        memory.plaintext_coefficients(api.Plaintext(), 8192)


class Stranger:
    """Answers as a ciphertext does, and lies in memory as anything but."""

    __slots__ = ("anything",)
    scale = 1.0

    def __init__(self) -> None:
        self.anything = SimpleNamespace()

    def size(self) -> int:
        return 2

    coeff_modulus_size = poly_modulus_degree = is_ntt_form = size

    def parms_id(self) -> list[int]:
        return [1, 2, 3, 4]


def test_an_unknown_layout_is_refused_before_any_pointer_is_followed() -> None:
    with pytest.raises(PlanError, match=r"Stranger of TenSEAL .*word \d"):
        memory.coefficients(Stranger())


def test_every_metadata_word_is_held_against_the_accessors(
    context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = memory.make_ciphertext(context, 1, 2, 2.0**30, api.Ciphertext())
    true = list(memory._object_words(made, 15))
    for index in (0, 1, 2, 3, 4, 5, 6, 7, 8, 12, 13, 14):
        wrong = list(true)
        wrong[index] = 5 if index != 14 else 12345
        monkeypatch.setattr(memory, "_object_words", lambda *_, w=wrong: w)
        with pytest.raises(PlanError, match="does not lie in memory"):
            memory.coefficients(made)


def test_a_pointer_to_other_coefficients_is_refused(
    context: Context, keys: SecretKeys, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = (encrypt(context, keys, np.ones(4096)) for _ in range(2))
    words = list(memory._object_words(one, 15))
    words[14] = memory._object_words(other, 15)[14]
    monkeypatch.setattr(memory, "_object_words", lambda *_: words)
    with pytest.raises(PlanError, match="first and last coefficient"):
        memory.coefficients(one)
