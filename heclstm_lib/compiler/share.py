"""A network's share of an ensemble's mean score."""

from __future__ import annotations

from dataclasses import replace

from heclstm_lib.errors import PlanError
from heclstm_lib.models.folded import FoldedNetwork


def divide_score(network: FoldedNetwork, members: int) -> FoldedNetwork:
    """The same network with its score divided by `members`: their plans' sum is then the mean.

    Dividing the last weights costs no level, and the sum needs no more room in the modulus than
    one score: those of real networks add up to more than an open end's 2^5 holds. Noise of
    the last operations is not divided, which costs up to log2(members) bits against a mean of
    decrypted scores. Raises PlanError for fewer than one member.
    """
    if members < 1:
        raise PlanError(f"a score divided by {members}, expected the number of members, 1 or more.")
    return replace(
        network,
        spatial=network.spatial / members,
        temporal=network.temporal / members,
        bias=network.bias / members,
    )
