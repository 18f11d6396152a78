"""Whether a signature from a file holds numbers where numbers belong, of a size they can have.

A client gets it from the server; what is wrong should be said here and not by a library, hours
later.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator

from heclstm_lib.errors import PlanError
from heclstm_lib.he.signature import Signature

MOST_DEGREE, LEAST_BITS, MOST_BITS, MOST_LEVELS = 1 << 17, 2, 60, 200


def check_types(signature: Signature) -> None:
    """Raise PlanError that names the first field of a signature that cannot be what it is."""
    for name, right in _checks(signature):
        if not right:
            raise PlanError(
                f"signature: {name} is not what a plan has there. The file was altered or made by "
                "another version; get it again, or run the conversion notebook (03) again."
            )


def _checks(signature: Signature) -> Iterator[tuple[str, bool]]:
    params, layout, inputs = signature.params, signature.layout, signature.inputs
    yield "poly_degree", _within([params.poly_degree], 2, MOST_DEGREE)
    yield "levels", _within([params.levels], 0, MOST_LEVELS)
    for name in ("scale_bits", "first_bits", "special_bits"):
        yield name, _within([getattr(params, name)], LEAST_BITS, MOST_BITS)
    yield "layout", _within(vars(layout).values(), 1, MOST_DEGREE)
    end = [params.end_bits]
    yield "end_bits", _within(end, 0, 0) or _within(end, LEAST_BITS, MOST_BITS)
    yield "inputs.frames", _within([inputs.frames], 1, layout.frames)
    yield "inputs.shape", len(inputs.shape) > 0 and _within(inputs.shape, 1, 1 << 20)
    yield "inputs.patterns", _all_within([*inputs.patterns], math.prod(inputs.shape))
    yield "outputs.places", _all_within([*signature.outputs.places], MOST_DEGREE)
    slots = layout.slots
    yield "rotations", _within(signature.rotations, 1 - slots, slots - 1)
    steps = signature.rotations
    yield "rotations", len(set(steps)) == len(steps) and 0 not in steps
    for one in signature.refreshes:
        yield "refreshes", _within([one.sent_level, one.level], 0, params.levels)
        yield "refreshes", type(one.scale) is float and 0 < one.scale < math.inf
    digest = signature.digest
    yield "digest", isinstance(digest, str) and bool(re.fullmatch("[0-9a-f]{64}", digest))


def _within(values: Iterable[object], least: int, most: int) -> bool:
    """Whether all are whole numbers (and no truth values) in a range."""
    return all(type(one) is int and least <= one <= most for one in values)


def _all_within(rows: list[tuple[int, ...]], beyond: int) -> bool:
    return len(rows) > 0 and all(row and _within(row, -1, beyond - 1) for row in rows)
