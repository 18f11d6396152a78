"""The server's side of a refresh: masks, and the exchange with the client amid an evaluation.

Where a plan has a `refresh`, the server hides the state under a random mask, makes the ciphertext
itself look fresh, and sends it; the client decrypts what is masked and encrypts it again at a
higher level (Client.refresh), which the server unmasks. The client learns nothing of the state
(`he.masking` says how little); the server learns nothing of anything, as it sees encryptions only.

This holds for parties that follow the protocol and no further: a server that sends something else
has the client re-encrypt what it likes, and a client may re-encrypt another state (Akavia, Gentry,
Halevi & Vald, ePrint 2022/282). Masks are drawn from the operating system's generator, used once,
and never leave the server.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from heclstm_lib.errors import WireError
from heclstm_lib.he.header import message_header, shared_terms
from heclstm_lib.he.masking import mask_bits
from heclstm_lib.he.memory import coefficients
from heclstm_lib.he.plan import Op, Plan
from heclstm_lib.he.residues import WideIntegers, add_mod, subtract_mod
from heclstm_lib.he.seal import Context, api, from_bytes, to_bytes
from heclstm_lib.he.signature import Refresh, Signature
from heclstm_lib.he.transform import to_ntt
from heclstm_lib.he.wire import iter_chunks, read_header, write_message

OnOp = Callable[[Op, Any], None]

MESSAGE_SUFFIX = ".refresh"
"""Messages are called like the response, this, and a number."""

Ask = Callable[[Path], Path]
"""Takes a message file to the client and returns the file of its reply."""


class Mask:
    """One random polynomial of `bits` bits a coefficient, added at one level, taken away at any."""

    def __init__(self, context: Context, bits: int) -> None:
        self._context = context
        self._numbers = WideIntegers.random(bits, context.params.poly_degree)

    def __repr__(self) -> str:
        return "Mask(hidden)"

    def add(self, ciphertext: Any) -> None:
        """Add the mask to a ciphertext, in place."""
        self._apply(ciphertext, add_mod)

    def remove(self, ciphertext: Any) -> None:
        """Subtract the mask from a ciphertext, in place."""
        self._apply(ciphertext, subtract_mod)

    def _apply(self, ciphertext: Any, combine: Callable[..., Any]) -> None:
        words = coefficients(ciphertext)[0]
        primes = self._context.params.primes[: len(words)]
        mask = to_ntt(self._context, self._numbers.residues(primes))
        for row, other, prime in zip(words, mask, primes, strict=True):
            row[:] = combine(row, other, prime)


class Masker:
    """Hides ciphertexts before they go to the client; holds the public key, no secret one."""

    def __init__(self, context: Context, public_key: Any) -> None:
        self._context = context
        self._evaluator = api.Evaluator(context.seal)
        self._encryptor = api.Encryptor(context.seal, public_key)

    def zero(self, level: int, scale: float) -> Any:
        """A fresh encryption of zero under the public key."""
        zero = api.Ciphertext()
        self._encryptor.encrypt_zero(self._context.level_ids[level], zero)
        zero.scale = scale
        return zero

    def rerandomised(self, ciphertext: Any) -> Any:
        """The same message in a ciphertext whose second half says nothing of where it was made.

        Without it that half, which no mask touches, would show what the model did to it.
        """
        fresh = api.Ciphertext()
        zero = self.zero(ciphertext.coeff_modulus_size() - 1, ciphertext.scale)
        self._evaluator.add(ciphertext, zero, fresh)
        return fresh

    def hide(self, ciphertext: Any, bits: int) -> tuple[Any, Mask]:
        """A masked and rerandomised copy, and its mask."""
        hidden, mask = self.rerandomised(ciphertext), Mask(self._context, bits)
        mask.add(hidden)
        return hidden, mask


class Refresher:
    """Has one evaluation's states refreshed: mask, message, the client's reply, unmask."""

    def __init__(
        self, plan: Plan, context: Context, public_key: Any, response: Path, ask: Ask, on_op: OnOp
    ) -> None:
        """Messages lie beside `response`; `on_op` sees the kinds "mask" and "wait" in between."""
        self._plan, self._context = plan, context
        self._masker = Masker(context, public_key)
        self._response, self._ask, self._on_op = response, ask, on_op
        self._number = 0

    def __call__(self, value: Any, op: Op) -> Any:
        """The value at `op.level`; WireError when the client's reply does not fit."""
        level = value.coeff_modulus_size() - 1
        bits = mask_bits(self._context.params, Refresh(level, op.level, op.scale))
        hidden, mask = self._masker.hide(value, bits)
        name = f"{self._response.name}{MESSAGE_SUFFIX}{self._number}"
        message = self._response.with_name(name)
        header = refresh_header("refresh", self._plan, self._number)
        write_message(message, header, [to_bytes(hidden)])
        self._on_op(replace(op, kind="mask"), hidden)
        reply = self._ask(message)
        self._on_op(replace(op, kind="wait"), None)
        wanted = shared_terms(self._plan) | {"number": self._number}
        read_header(reply, "refreshed", self._plan.digest, 1, wanted)
        result = load_at(next(iter_chunks(reply)), op.level, op.scale, self._context)
        mask.remove(result)
        self._number += 1
        return result


def refresh_header(kind: str, plan: Plan | Signature, number: int) -> dict[str, Any]:
    """Header of a state on its way to the client ("refresh") or back ("refreshed")."""
    return message_header(plan, kind, 1, number=number)


def load_at(data: bytes, level: int, scale: float, context: Context) -> Any:
    """A ciphertext of a message; WireError unless it has two parts, this level and this scale."""
    ciphertext = from_bytes("Ciphertext", data, context)
    found = (ciphertext.coeff_modulus_size() - 1, ciphertext.size(), ciphertext.scale)
    if found != (level, 2, scale):
        raise WireError(
            f"refresh: a ciphertext of level {found[0]}, size {found[1]}, scale {found[2]:.6g}; "
            f"expected level {level}, size 2, scale {scale:.6g}. Both sides must use the same plan "
            "and exchange the right file."
        )
    return ciphertext
