"""How much memory a process takes that evaluates a plan, from the plan alone."""

from __future__ import annotations

from collections import Counter

from heclstm_lib.he.backend import grouped, last_uses
from heclstm_lib.he.plan import Plan

BASE_BYTES = 350_000_000
"""Interpreter, libraries and SEAL's tables, before a key is loaded."""

KEY_MARGIN = 1.3
"""Keys are larger while they are loaded: what was read lies beside what it becomes."""


def evaluation_bytes(plan: Plan, held_plaintexts: bool = True) -> int:
    """Bytes of a process that evaluates one request at a time; an estimate from above.

    `heclstm capacity --validate` and `heclstm robustness cluster` hold it against what workers
    take.
    """
    plaintexts = plan.plaintext_bytes() if held_plaintexts else 0
    return BASE_BYTES + int(KEY_MARGIN * plan.key_bytes()) + working_bytes(plan) + plaintexts


def working_bytes(plan: Plan) -> int:
    """Bytes of SEAL's memory pool for ciphertexts, each dropped after its last use.

    The pool keeps freed memory for others of the same size, so that each size (a level, and the
    number of polynomials) costs the most that were alive at once. They live as in
    `he.backend.execute`.
    """
    ends = last_uses(plan)
    sizes: dict[int, int] = {}
    alive: Counter[int] = Counter()
    most: Counter[int] = Counter()
    for ops in grouped(plan.ops):
        for op in ops:
            size = sizes[op.index] = plan.params.ciphertext_bytes(op.level, op.size)
            alive[size] += 1
            most[size] = max(most[size], alive[size])
        for index in {*ops[0].args, *(op.index for op in ops)}:
            if ends.get(index, -1) <= ops[-1].index and index in sizes:
                alive[sizes.pop(index)] -= 1
    return sum(size * count for size, count in most.items())
