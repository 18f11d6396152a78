"""CryptoNets as published: an integer network under BFV, images in the slots, on SEAL.

One ciphertext a pixel holds that pixel of up to N images (Gilad-Bachrach et al., ICML 2016): every
layer is weighted sums by whole numbers and squares, and nothing rotates. Scores outgrow any one
plaintext modulus, so that they are computed modulo several primes and put together by the Chinese
remainder theorem, each modulus with keys and ciphertexts of its own. This module makes no key.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from heclstm_lib.errors import PlanError, WireError
from heclstm_lib.he.bfv_params import BfvParameters
from heclstm_lib.he.header import base_header
from heclstm_lib.he.memory import coefficients
from heclstm_lib.he.modular import weighted_sums
from heclstm_lib.he.seal import api, from_bytes, to_bytes
from heclstm_lib.he.wire import iter_chunks, read_count, read_header, write_message
from heclstm_lib.models.integer_cnn import IntegerCnn, Integers

CHUNK = 64
"""Squares summed up together, which bounds the memory."""


class BfvContext:
    """A SEAL context for one of the plaintext moduli at enforced 128-bit security."""

    def __init__(self, params: BfvParameters, number: int) -> None:
        self.params, self.modulus = params, params.plain_moduli[number]
        parms = api.EncryptionParameters(api.SCHEME_TYPE.BFV)
        parms.set_poly_modulus_degree(params.poly_degree)
        made = api.CoeffModulus.Create(params.poly_degree, list(params.coeff_bits))
        self.primes = [modulus.value() for modulus in made][:-1]
        parms.set_coeff_modulus(made)
        parms.set_plain_modulus(self.modulus)
        self.seal = api.SEALContext(parms, True, api.SEC_LEVEL_TYPE.TC128)
        if not self.seal.parameters_set():
            raise PlanError(f"SEAL refuses {params}: {self.seal.parameters_error_message()}.")
        self.encoder = api.BatchEncoder(self.seal)

    def encode(self, values: Sequence[int] | Integers) -> Any:
        """Plaintext of whole slot values, up to N of them, modulo this plaintext modulus."""
        slots = [int(value) % self.modulus for value in values]
        plain = api.Plaintext()
        self.encoder.encode(slots + [0] * (self.params.poly_degree - len(slots)), plain)
        return plain


@lru_cache(maxsize=16)
def load_bfv(params: BfvParameters, number: int) -> BfvContext:
    """The context of one plaintext modulus, made once a process."""
    return BfvContext(params, number)


def bfv_header(kind: str, params: BfvParameters, chunks: int) -> dict[str, Any]:
    """Header of a message of so many chunks."""
    return base_header(kind, params.digest, chunks)


class BfvServer:
    """Evaluates an integer network for one registered bundle of relinearisation keys."""

    def __init__(self, network: IntegerCnn, params: BfvParameters, bundle: Path) -> None:
        self.network, self.params = network, params
        read_header(bundle, "public", params.digest, len(params.plain_moduli))
        self._relin = list(iter_chunks(bundle))

    def evaluate(self, request: Path, response: Path) -> int:
        """Evaluate a request file into a response file; the response's size in bytes.

        Raises WireError for a request of other parameters.
        """
        moduli, pixels = len(self.params.plain_moduli), self.params.pixels
        header = read_header(request, "bfv request", self.params.digest, moduli * pixels)
        count = read_count(header, request, self.params.poly_degree)
        answer = bfv_header("bfv response", self.params, moduli * self.params.outputs)
        return write_message(response, answer | {"sequences": count}, self._results(request))

    def _results(self, request: Path) -> Iterator[bytes]:
        chunks = iter_chunks(request)
        for number, data in enumerate(self._relin):
            context: Any = load_bfv(self.params, number)
            relin = from_bytes("RelinKeys", data, context)
            images = [_fresh(next(chunks), context) for _ in range(self.params.pixels)]
            evaluation = _Evaluation(self.network, context, relin)
            yield from map(to_bytes, evaluation.run(images))


def _fresh(data: bytes, context: Any) -> Any:
    """An input ciphertext; WireError unless it is fresh."""
    value = from_bytes("Ciphertext", data, context)
    if (value.size(), value.coeff_modulus_size()) != (2, len(context.primes)):
        raise WireError("bfv request: a ciphertext is not fresh. Encrypt with these parameters.")
    return value


class _Evaluation:
    """The layers of one image batch modulo one plaintext modulus."""

    def __init__(self, network: IntegerCnn, context: BfvContext, relin: Any) -> None:
        self.network, self.context, self.relin = network, context, relin
        self.evaluator = api.Evaluator(context.seal)

    def run(self, images: list[Any]) -> list[Any]:
        """Outputs [K] at the lowest level, from pixels [C * H * W]."""
        layers = self.network.dense
        values = self._dense(self._convolution(images), *layers[0])
        for matrix, bias in layers[1:]:
            values = self._dense(enumerate(values), matrix, bias)
        last = self.context.seal.last_parms_id()
        for value in values:
            self.evaluator.mod_switch_to_inplace(value, last)
        return values

    def _convolution(self, images: list[Any]) -> Iterator[tuple[int, Any]]:
        """(feature number, argument of its square), position by position."""
        network, grid = self.network, self.network.grid
        channels, size = network.conv_weight.shape[1:3]
        side = network.image_size
        place = np.arange(channels * side * side).reshape(channels, side, side)
        weights = network.conv_weight.reshape(len(network.conv_weight), -1)
        for position in range(grid * grid):
            row, column = (network.stride * index for index in divmod(position, grid))
            taps = place[:, row : row + size, column : column + size].reshape(-1)
            sums = self._sums([images[tap] for tap in taps], weights)
            for channel, value in enumerate(sums):
                yield channel * grid**2 + position, self._add(value, network.conv_bias[channel])

    def _dense(self, arguments: Any, matrix: Integers, bias: Any) -> list[Any]:
        """matrix [R, V] times the squares of (feature number, value), plus bias [R]."""
        totals: list[Any] = [None] * len(matrix)
        columns: list[int] = []
        squares: list[Any] = []
        for feature, value in arguments:
            columns.append(feature)
            squares.append(self._square(value))
            if len(squares) == CHUNK:
                self._accumulate(totals, squares, matrix[:, columns])
                columns, squares = [], []
        if squares:
            self._accumulate(totals, squares, matrix[:, columns])
        for total, offset in zip(totals, bias, strict=True):
            self.evaluator.relinearize_inplace(total, self.relin)
            self._add(total, offset)
        return totals

    def _square(self, value: Any) -> Any:
        result = api.Ciphertext()
        self.evaluator.square(value, result)
        return result

    def _accumulate(self, totals: list[Any], values: list[Any], weights: Integers) -> None:
        rows = np.flatnonzero(weights.any(axis=1))
        for row, value in zip(rows, self._sums(values, weights[rows]), strict=True):
            if totals[row] is None:
                totals[row] = value
            else:
                self.evaluator.add_inplace(totals[row], value)

    def _sums(self, values: list[Any], weights: Integers) -> list[Any]:
        """Sums of ciphertexts [n] by whole weights [O, n]: exact, also modulo the plaintext's."""
        first, seal = values[0], self.context.seal
        results = []
        for _ in range(len(weights)):
            result = api.Ciphertext(seal, first.parms_id(), first.size())
            result.resize(seal, first.parms_id(), first.size())
            results.append(result)
        if results:
            views = [coefficients(value) for value in values]
            weighted_sums(views, weights, self.context.primes, list(map(coefficients, results)))
        return results

    def _add(self, value: Any, constant: int) -> Any:
        """Add a whole number to every slot, in place."""
        if constant % self.context.modulus:
            plain = self.context.encode([constant] * self.context.params.poly_degree)
            self.evaluator.add_plain_inplace(value, plain)
        return value
