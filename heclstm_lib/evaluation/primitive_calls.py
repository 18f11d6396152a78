"""The calls whose time is a primitive's cost: the backend's own, on one ciphertext per level."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from heclstm_lib.he.keys import SecretKeys
from heclstm_lib.he.memory import coefficients, make_ciphertext
from heclstm_lib.he.params import CkksParameters
from heclstm_lib.he.plan import KINDS, Op
from heclstm_lib.he.seal import SealBackend, from_bytes, load_context

MEASURED: dict[str, int | None] = {
    **{
        kind: int(kind in ("rescale", "mod_switch"))
        for kind in KINDS
        if kind not in ("input", "refresh")
    },
    **{"encode": 0, "transfer": 0, "load": None},
}
"""Primitive -> the lowest level it is measured at; None: at the top level only."""

SUM_ROWS, SUM_ARGUMENTS = 16, 25
"""Shape of the weighted sums that give its price; wider ones cost less an argument."""

SUM_VALUES = 32
"""Different ciphertexts in a weighted sum that is timed; more arguments repeat them."""

Call = tuple[Callable[[], Any], int]
"""A call, and how many units of its primitive it does."""


class PrimitiveCalls:
    """Keys and one fresh ciphertext; `calls` makes what is timed at a level."""

    def __init__(self, params: CkksParameters) -> None:
        self.params, self.context = params, load_context(params)
        keys = SecretKeys(params)
        _, relin, galois = keys.evaluation_keys((1,))
        self.vector = np.random.default_rng(0).normal(size=params.slots)
        self.bytes = keys.encrypt(self.vector)
        self.fresh = self._load()
        self.backend = SealBackend(
            self.context,
            from_bytes("RelinKeys", relin, self.context),
            {1: from_bytes("GaloisKeys", galois, self.context)},
        )

    def _load(self) -> Any:
        return from_bytes("Ciphertext", self.bytes, self.context)

    def _op(self, kind: str, level: int, **changes: Any) -> Op:
        """An operation at the working scale, with a `constant` that is only its own."""
        scale = self.params.scale
        place = list(MEASURED).index(kind) + level * len(MEASURED)
        values: dict[str, Any] = {"scale": scale, "constant": place, "constant_scale": scale}
        return Op(place, kind, (), "bench", level, **(values | changes))

    def calls(self, level: int) -> dict[str, Call]:
        """A call of each primitive that exists at `level`, with the units it does."""
        value = self.value(level)
        calls = self._moves(value, level) | self._sums(value, level)
        if level > 0:
            calls |= self._drops(value, level)
        else:  # a product of two values at the working scale would outgrow the first prime
            value = self.backend.rescale(self.value(1), self._rescaled(self.params.scale, 0))
        calls |= self._products(value, level)
        if level == self.params.levels:
            calls["load"] = self._load
        units = {"weighted_sum": SUM_ARGUMENTS * SUM_ROWS}
        return {kind: (call, units.get(kind, 1)) for kind, call in calls.items()}

    def _moves(self, value: Any, level: int) -> dict[str, Callable[[], Any]]:
        """What turns bytes and numbers into SEAL's objects."""
        context, scale = self.context, self.params.scale
        target = make_ciphertext(context, level, 2, scale, like=value)

        def transfer() -> None:
            data = coefficients(value).tobytes()
            words = np.frombuffer(data, dtype=np.uint64)
            coefficients(target)[...] = words.reshape(2, level + 1, -1)

        return {
            "encode": lambda: context.encode(self.vector, level, scale),
            "transfer": transfer,
        }

    def _sums(self, value: Any, level: int) -> dict[str, Callable[[], Any]]:
        backend, op = self.backend, self._op
        return {
            "add": lambda: backend.add(value, value, op("add", level)),
            "add_plain": lambda: backend.add_plain(value, self.vector, op("add_plain", level)),
            "negate": lambda: backend.negate(value, op("negate", level)),
            "rotate": lambda: backend.rotate(value, op("rotate", level, step=1)),
            "relinearise": self._relinearise(level),
        }

    def _relinearise(self, level: int) -> Callable[[], Any]:
        """Of three polynomials, as they come from a product that was rescaled to this level."""
        above = min(level + 1, self.params.levels)
        product = self._op("square", above, scale=self.params.scale**2, size=3)
        triple = self.backend.square(self.value(above), product)
        if above > level:
            scale = self.params.scale**2 / self.params.primes[above]
            triple = self.backend.rescale(triple, self._op("rescale", level, scale=scale))
        return lambda: self.backend.relinearise(
            triple, self._op("relinearise", level, scale=triple.scale)
        )

    def _rescaled(self, scale: float, level: int) -> Op:
        """What a rescaling of a scale down to a level makes."""
        return self._op("rescale", level, scale=scale / self.params.primes[level + 1])

    def _drops(self, value: Any, level: int) -> dict[str, Callable[[], Any]]:
        backend, square = self.backend, self.params.scale**2
        product = backend.multiply_plain(
            value, self.vector, self._op("multiply_plain", level, scale=square)
        )
        down, rescaled = self._op("mod_switch", level - 1), self._rescaled(square, level - 1)
        return {
            "mod_switch": lambda: backend.mod_switch(value, down),
            "rescale": lambda: backend.rescale(product, rescaled),
        }

    def weighted_sums(self, value: Any, level: int, rows: int, arguments: int) -> Callable[[], Any]:
        """A call of `rows` weighted sums of as many arguments at once, of values like `value`."""
        add = self._op("add", level, scale=value.scale)
        copies = [self.backend.add(value, value, add) for _ in range(min(arguments, SUM_VALUES))]
        values = [copies[place % len(copies)] for place in range(arguments)]
        weights = np.random.default_rng(0).normal(size=(rows, arguments))
        scale = value.scale * self.params.scale
        sums = [self._op("weighted_sum", level, scale=scale) for _ in weights]
        return lambda: self.backend.weighted_sums(values, weights, sums)

    def value(self, level: int) -> Any:
        """A ciphertext at a level."""
        return self.backend.mod_switch(self.fresh, self._op("mod_switch", level))

    def _products(self, value: Any, level: int) -> dict[str, Callable[[], Any]]:
        backend, square = self.backend, value.scale**2
        squared, multiplied = (
            self._op(kind, level, scale=square, size=3) for kind in ("square", "multiply")
        )
        product = self._op("multiply_plain", level, scale=value.scale * self.params.scale)
        return {
            "multiply_plain": lambda: backend.multiply_plain(value, self.vector, product),
            "weighted_sum": self.weighted_sums(value, level, SUM_ROWS, SUM_ARGUMENTS),
            "multiply": lambda: backend.multiply(value, value, multiplied),
            "square": lambda: backend.square(value, squared),
        }
