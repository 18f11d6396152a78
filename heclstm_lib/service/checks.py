"""What a worker does with untrusted bytes: sizes, then SEAL's own validity checks, chunk by chunk.

SEAL's `load` holds every residue against its prime and every size against the parameters
(valcheck.h); it runs here, in a process whose death takes nothing along.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from heclstm_lib.errors import WireError
from heclstm_lib.he.header import shared_terms
from heclstm_lib.he.plan import Plan
from heclstm_lib.he.seal import from_bytes, load_context
from heclstm_lib.he.server import load_fresh, load_galois_key, read_request_ids
from heclstm_lib.he.wire import locate_chunks, read_chunk, read_header
from heclstm_lib.service.sizes import SizeRange, compressed, input_sizes, key_sizes

OnStep = Callable[[], object]


def check_bundle(plan: Plan, path: Path, on_step: OnStep) -> None:
    """Raise WireError unless a file is a public bundle for the plan; one key in memory at a time.

    Whether all keys belong to one secret key cannot be seen without it.
    """
    context, steps = load_context(plan.params), plan.rotations
    read_header(path, "public", plan.digest, 2 + len(steps), shared_terms(plan))
    for number, data in enumerate(_sized_chunks(path, key_sizes(plan), "key")):
        if number == 0:
            from_bytes("PublicKey", data, context)
        elif number == 1:
            _check_relin(from_bytes("RelinKeys", data, context))
        else:
            load_galois_key(data, steps[number - 2], context)
        on_step()


def check_request(plan: Plan, path: Path, on_step: OnStep) -> int:
    """Raise WireError unless every input of a request is one for the plan; number of sequences."""
    context, ids = load_context(plan.params), read_request_ids(path, plan)
    sizes = [input_sizes(plan)] * plan.inputs.count
    for number, data in enumerate(_sized_chunks(path, sizes, "input")):
        load_fresh(data, number, context)
        on_step()
    return len(ids)


def _sized_chunks(path: Path, sizes: Sequence[SizeRange], what: str) -> Iterator[bytes]:
    """The chunks of a message; WireError for one that is too large before it is read."""
    for number, (place, size) in enumerate(zip(locate_chunks(path), sizes, strict=True)):
        length, most = place[1], compressed(size.most)
        if not size.least <= length <= most:
            raise WireError(
                f"{what} {number}: {length} bytes, expected {size.least} to {most}. "
                "Make it anew from this plan's signature."
            )
        yield read_chunk(path, place)


def _check_relin(keys: object) -> None:
    if not keys.has_key(2):  # type: ignore[attr-defined]
        raise WireError(
            "public bundle: key 1 does not relinearise products. Make the bundle anew from this "
            "plan's signature."
        )
