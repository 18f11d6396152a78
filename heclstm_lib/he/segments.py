"""A plan with refreshes seen as what lies between them: the segments, their levels and messages."""

from __future__ import annotations

from typing import Any

from heclstm_lib.he.masking import hiding_bits, mask_bits
from heclstm_lib.he.plan import Op, Plan


def segments(plan: Plan) -> list[list[Op]]:
    """Operations between refreshes, which are the last of their segment."""
    parts: list[list[Op]] = [[]]
    for op in plan.ops:
        parts[-1].append(op)
        if op.kind == "refresh":
            parts.append([])
    return parts


def segment_rows(plan: Plan) -> list[dict[str, Any]]:
    """One row a segment: levels, key switches, and the bytes of the refresh at its end."""
    rows = []
    for number, ops in enumerate(segments(plan)):
        work = [op for op in ops if op.kind != "refresh"]
        sent, returned = message_bytes(plan, ops[-1]) if ops[-1].kind == "refresh" else (0, 0)
        rows.append(
            {
                "segment": number,
                "layers": f"{work[0].layer} to {work[-1].layer}",
                "level_in": max(plan.working_level(op) for op in work),
                "level_out": min(op.level for op in work),
                "rotate": sum(op.kind == "rotate" for op in work),
                "relinearise": sum(op.kind == "relinearise" for op in work),
                "sent_bytes": sent,
                "returned_bytes": returned,
            }
        )
    return rows


def message_bytes(plan: Plan, op: Op) -> tuple[int, int]:
    """Bytes of a state on its way to the client, and back as a fresh seeded ciphertext."""
    params = plan.params
    return params.ciphertext_bytes(plan.working_level(op)), params.ciphertext_bytes(op.level, 1)


def refresh_summary(plan: Plan) -> dict[str, Any]:
    """Round trips of a batch, bytes both ways, and how well the masks hide; zeros without."""
    sizes = [sum(message_bytes(plan, op)) for op in plan.ops if op.kind == "refresh"]
    return {
        "round_trips": len(sizes),
        "refresh_bytes_per_batch": sum(sizes),
        "mask_bits": min((mask_bits(plan.params, one) for one in plan.refreshes), default=0),
        "hiding_bits": hiding_bits(plan.params, plan.refreshes) if sizes else 0.0,
    }
