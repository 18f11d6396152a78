"""The one door to TenSEAL's sealapi: contexts, bytes, and the mode `encrypt` of the interpreter.

No function here decrypts or makes keys. `api` does export the classes that would (KeyGenerator,
SecretKey, Encryptor, Decryptor); only `he.keys` uses them, which the server never imports, and
`he.refresh` the Encryptor, with the public key.
"""

from __future__ import annotations

import errno
import tempfile
from collections.abc import Callable, Mapping, Sequence
from copy import copy
from functools import lru_cache
from typing import Any

import numpy as np
import tenseal
from tenseal import sealapi as api

from heclstm_lib.errors import PlanError, WireError
from heclstm_lib.files import scratch_file
from heclstm_lib.he.encoded import EncodedPlaintexts, Key
from heclstm_lib.he.memory import coefficients, make_ciphertext
from heclstm_lib.he.modular import integer_weights, weighted_sums
from heclstm_lib.he.packing import Vector
from heclstm_lib.he.params import CkksParameters
from heclstm_lib.he.plan import Op, Plan
from heclstm_lib.he.seal_layout import plain_object

TENSEAL_VERSION: str = tenseal.__version__
Refreshes = Callable[[Any, Op], Any]
"""What returns a ciphertext re-encrypted at the level of an operation."""

SEAL_SIZE = slice(8, 16)
"""Where in a serialised SEAL object its whole length stands."""

SCALE_TOLERANCE = 1e-9
"""Relative difference up to which SEAL's running scale and the plan's are the same number."""


class Context:
    """A SEAL context at enforced 128-bit security, its encoder, and the id of each level."""

    def __init__(self, params: CkksParameters) -> None:
        self.params = params
        parms = api.EncryptionParameters(api.SCHEME_TYPE.CKKS)
        parms.set_poly_modulus_degree(params.poly_degree)
        made = api.CoeffModulus.Create(params.poly_degree, list(params.coeff_bits))
        if (found := tuple(modulus.value() for modulus in made)) != params.primes:
            raise PlanError(f"SEAL's primes {found} are not the plan's {params.primes}.")
        parms.set_coeff_modulus(made)
        self.seal = api.SEALContext(parms, True, api.SEC_LEVEL_TYPE.TC128)
        if not self.seal.parameters_set():
            raise PlanError(f"SEAL refuses {params}: {self.seal.parameters_error_message()}.")
        self.encoder = api.CKKSEncoder(self.seal)
        self.level_ids = self._level_ids()

    def _level_ids(self) -> list[Any]:
        ids, data = [], self.seal.first_context_data()
        while data:
            ids.append(data.parms_id())
            data = data.next_context_data()
        return ids[::-1]

    def encode(self, vector: Vector, level: int, scale: float) -> Any:
        """Plaintext of slot values [S], or of one value for all slots, at a level and scale."""
        plain = api.Plaintext()
        values = vector.tolist() if vector.ndim else float(vector)
        self.encoder.encode(values, self.level_ids[level], scale, plain)
        return plain


@lru_cache(maxsize=4)
def load_context(params: CkksParameters) -> Context:
    """The context of some parameters, made once a process (about a second at N=32768)."""
    return Context(params)


def rotation_element(step: int, poly_degree: int) -> int:
    """Galois element 3^step mod 2N of a rotation by `step` slots to the left."""
    return pow(3, step % (poly_degree // 2), 2 * poly_degree)


def to_bytes(thing: Any) -> bytes:
    """Serialise a SEAL object (sealapi saves only to files); OSError when the disk is full."""
    with scratch_file() as (file, path):
        try:
            thing.save(path)
        except RuntimeError as error:
            raise OSError(errno.EIO, f"{tempfile.gettempdir()} takes no more ({error})") from error
        data = file.read()
    stated = int.from_bytes(data[SEAL_SIZE], "little")
    if len(data) != stated:  # the last bytes are written when nobody looks for errors any more
        raise OSError(errno.EIO, f"{tempfile.gettempdir()} took {len(data)} of {stated} bytes")
    return data


def from_bytes(kind: str, data: bytes, context: Context) -> Any:
    """Load an untrusted "Ciphertext", "PublicKey", "RelinKeys" or "GaloisKeys" (one key).

    Its structure is checked first (`he.seal_layout`), then SEAL validates ids and residues. Raises
    WireError for bytes that are no such object under these parameters, and for a ciphertext that
    anyone can read.
    """
    plain = plain_object(kind, data, context.params)
    thing = getattr(api, kind)()
    with scratch_file() as (file, path):
        file.write(plain)
        file.flush()
        try:
            thing.load(context.seal, path)
        except (RuntimeError, ValueError, IndexError, OverflowError) as error:
            raise WireError(
                f"{len(data)} bytes are no {kind} for N={context.params.poly_degree} with "
                f"{context.params.levels} levels: {error}. Both sides must use the same plan."
            ) from error
    if kind == "Ciphertext" and thing.is_transparent():
        raise WireError("Ciphertext: it is no encryption, anyone can read it. Encrypt anew.")
    return thing


def first_coefficients(ciphertext: Any, count: int) -> Vector:
    """The first `count` stored coefficients of a ciphertext, modulo its first prime."""
    return np.array([ciphertext[index] for index in range(count)], dtype=np.float64)


class SealBackend:
    """Runs a plan's operations on ciphertexts; the model's plaintexts come encoded."""

    def __init__(
        self,
        context: Context,
        relin: Any,
        galois: Mapping[int, Any],
        encoded: EncodedPlaintexts | None = None,
    ) -> None:
        """`encoded` keeps the plaintexts (default: in memory, up to a quarter of what is free)."""
        self.context = context
        self._relin = relin
        self._galois = galois
        self._evaluator = api.Evaluator(context.seal)
        self._refresher: Refreshes | None = None
        self._encoded = EncodedPlaintexts(context) if encoded is None else encoded

    def forget(self) -> None:
        """Drop the encoded plaintexts (when the vectors behind the operations change)."""
        self._encoded.forget()

    def encode_plan(self, plan: Plan) -> None:
        """Encode every plaintext of a plan, so that no evaluation pays for it."""
        keys = [_key(op) for op in plan.ops if op.kind in ("add_plain", "multiply_plain")]
        self._encoded.prepare(keys, lambda index: plan.layout.expand(plan.constants[index]))

    def _plain(self, vector: Vector, op: Op) -> Any:
        return self._encoded.get(_key(op), vector)

    def _result(self, call: Any, op: Op, *args: Any) -> Any:
        """Run one evaluator call and hold its scale against the plan's."""
        result = api.Ciphertext()
        call(*args, result)
        _check_scale(result.scale, op)
        result.scale = op.scale  # same number up to rounding; SEAL compares to the last bit
        return result

    def add(self, left: Any, right: Any, op: Op) -> Any:
        return self._result(self._evaluator.add, op, left, right)

    def add_plain(self, value: Any, vector: Vector, op: Op) -> Any:
        return self._result(self._evaluator.add_plain, op, value, self._plain(vector, op))

    def negate(self, value: Any, op: Op) -> Any:
        return self._result(self._evaluator.negate, op, value)

    def multiply_plain(self, value: Any, vector: Vector, op: Op) -> Any:
        return self._result(self._evaluator.multiply_plain, op, value, self._plain(vector, op))

    def weighted_sums(self, values: Sequence[Any], matrix: Vector, ops: Sequence[Op]) -> list[Any]:
        scales = np.array([op.constant_scale for op in ops])
        level, size = ops[0].level, values[0].size()
        weights = integer_weights(matrix, scales[:, None])
        for op, row in zip(ops, weights, strict=True):
            _check_scale(values[0].scale * op.constant_scale, op)
            if not row.any():
                raise PlanError(f"layer '{op.layer}', operation {op.index}: all weights are zero.")
        results = [make_ciphertext(self.context, level, size, op.scale, values[0]) for op in ops]
        weighted_sums(
            [coefficients(value) for value in values],
            weights,
            self.context.params.primes[: level + 1],
            [coefficients(result) for result in results],
        )
        return results

    def multiply(self, left: Any, right: Any, op: Op) -> Any:
        return self._result(self._evaluator.multiply, op, left, right)

    def square(self, value: Any, op: Op) -> Any:
        return self._result(self._evaluator.square, op, value)

    def relinearise(self, value: Any, op: Op) -> Any:
        return self._result(self._evaluator.relinearize, op, value, self._relin)

    def rescale(self, value: Any, op: Op) -> Any:
        return self._result(self._evaluator.rescale_to_next, op, value)

    def mod_switch(self, value: Any, op: Op) -> Any:
        return self._result(
            self._evaluator.mod_switch_to, op, value, self.context.level_ids[op.level]
        )

    def refreshed_by(self, refresher: Refreshes) -> SealBackend:
        """This backend, with what has states re-encrypted by the client (`he.refresh`)."""
        other = copy(self)
        other._refresher = refresher
        return other

    def refresh(self, value: Any, op: Op) -> Any:
        if self._refresher is None:
            raise PlanError(
                f"layer '{op.layer}', operation {op.index}: this plan has its state re-encrypted "
                "by the client; evaluate it with `ask`, or plan without refresh."
            )
        return self._refresher(value, op)

    def rotate(self, value: Any, op: Op) -> Any:
        element = rotation_element(op.step, self.context.params.poly_degree)
        return self._result(self._evaluator.apply_galois, op, value, element, self._galois[op.step])


def _key(op: Op) -> Key:
    """The plaintext of an operation; an operation outside a plan may have no numbered constant."""
    return Key(-1 if op.constant is None else op.constant, op.level, op.constant_scale)


def _check_scale(scale: float, op: Op) -> None:
    if not np.isclose(scale, op.scale, rtol=SCALE_TOLERANCE, atol=0):
        raise PlanError(
            f"layer '{op.layer}', operation {op.index} ({op.kind}): SEAL's scale {scale!r} is not "
            f"the planned {op.scale!r}. The plan was made for other primes: plan again with this "
            "version."
        )
