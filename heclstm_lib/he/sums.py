"""Sums of many terms, found in the plan's chains of additions.

Ciphertext addition is exact modulo the primes, so its order is free: a worker may add up the
terms it has and send one partial sum instead of every term, and the result is the same to the bit.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from heclstm_lib.he.plan import Op


def find_sums(ops: Sequence[Op], outputs: Sequence[int]) -> dict[int, tuple[int, ...]]:
    """Value number of each sum of three or more terms -> its terms.

    The additions between are swallowed: each is used once, by an addition, at the very same
    level, size and scale, and is no output. A term that is added twice stands twice.

    >>> inputs = [Op(index, "input", (), "", 1, 2.0) for index in range(3)]
    >>> adds = [Op(3, "add", (0, 1), "", 1, 2.0), Op(4, "add", (3, 2), "", 1, 2.0)]
    >>> find_sums(inputs + adds, outputs=[4])
    {4: (0, 1, 2)}
    """
    uses = Counter(arg for op in ops for arg in op.args) + Counter(outputs)
    plain = [op.kind == "add" and all(_alike(op, ops[arg]) for arg in op.args) for op in ops]
    swallowed = {
        arg for op in ops if plain[op.index] for arg in op.args if plain[arg] and uses[arg] == 1
    }
    sums = {}
    for op in ops:
        if plain[op.index] and op.index not in swallowed:
            terms = _terms(ops, op, swallowed)
            if len(terms) > 2:
                sums[op.index] = terms
    return sums


def _alike(op: Op, arg: Op) -> bool:
    return (op.level, op.scale, op.size) == (arg.level, arg.scale, arg.size)


def _terms(ops: Sequence[Op], root: Op, swallowed: set[int]) -> tuple[int, ...]:
    terms: list[int] = []
    left = [*reversed(root.args)]
    while left:
        value = left.pop()
        if value in swallowed:
            left += reversed(ops[value].args)
        else:
            terms.append(value)
    return tuple(terms)
