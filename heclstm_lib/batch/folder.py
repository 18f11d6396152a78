"""What lies in the two folders of a batch: requests, responses, and what the responses answer.

`x.request` becomes `x.response`. A response is finished when its checksum holds and it says that
it answers this very request; everything else is made anew. `batch.json` beside the responses names
the plan and the public bundle they are made with.
"""

from __future__ import annotations

import glob
import json
import math
from dataclasses import dataclass
from pathlib import Path

from heclstm_lib.batch.claims import claim
from heclstm_lib.errors import BatchError, HeclstmError, PlanError
from heclstm_lib.files import replacing
from heclstm_lib.he.plan import Plan
from heclstm_lib.he.store import load_plan
from heclstm_lib.he.wire import message_checksum, read_header, refuse_secret

REQUEST, RESPONSE = ".request", ".response"
IDENTITY = "batch.json"


@dataclass(frozen=True)
class Job:
    """One request to evaluate; the plan's digest and number of results tell a finished response.

    `least_bytes` is less than any response takes on disk, `patience_s` the longest it may take;
    `flood_bits` is that of `he.Server`.
    """

    plan_path: Path
    bundle_path: Path
    request: Path
    response: Path
    plan_digest: str
    results: int
    least_bytes: int
    patience_s: float
    flood_bits: int | None = None

    @property
    def name(self) -> str:
        """The request's name without suffix."""
        return self.request.stem


def find_jobs(
    plan_path: Path, bundle_path: Path, requests: Path, responses: Path, patience_s: float
) -> list[Job]:
    """A job for each request of a folder, by name.

    Raises BatchError when a folder or file is missing or the responses' folder is another
    batch's, PlanError for a plan whose state the client would have to re-encrypt on the way.
    """
    plan = load_plan(plan_path)
    refuse_refreshes(plan, plan_path.name)
    if not bundle_path.is_file():
        raise BatchError(f"{bundle_path}: no such public bundle; register the client first.")
    refuse_secret(bundle_path)
    found = sorted(requests.glob(f"[!.]*{REQUEST}")) if requests.is_dir() else []
    if not found:
        raise BatchError(f"{requests}: no file *{REQUEST} there. Is this the right folder?")
    settle_folder(responses, plan.digest, message_checksum(bundle_path))
    least = least_response_bytes(plan)
    return [
        Job(
            plan_path, bundle_path, request, responses / f"{request.stem}{RESPONSE}",
            plan.digest, len(plan.results), least, patience_s,
        )
        for request in found
    ]  # fmt: skip


def refuse_refreshes(plan: Plan, name: str) -> None:
    """Raise PlanError for a plan whose state the client would have to re-encrypt on the way."""
    if plan.refreshes:
        raise PlanError(
            f"{name}: this plan has the client re-encrypt its state "
            f"{len(plan.refreshes)} time(s) a request; in a folder of files no client answers. "
            "Plan without refresh."
        )


def settle_folder(responses: Path, plan_digest: str, bundle_checksum: str) -> None:
    """Make the folder of responses this plan's and bundle's, once; BatchError if it is another's.

    Else two evaluations with different keys would replace each other's responses for ever.
    """
    wanted = {"plan": plan_digest, "bundle": bundle_checksum}
    path = responses / IDENTITY
    try:
        responses.mkdir(parents=True, exist_ok=True)
        with claim(path, math.inf):
            if not path.exists():
                with replacing(path) as part:
                    part.write_text(json.dumps(wanted), encoding="utf-8")
            text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise BatchError(
            f"{responses}: no responses can be written there ({error.strerror}). Free some space, "
            "get the permission, or choose another folder."
        ) from error
    check_identity(text, wanted, responses)


def check_identity(text: str, wanted: dict[str, str], responses: Path | str) -> None:
    """Raise BatchError unless the text of `batch.json` names the wanted plan and bundle."""
    try:
        found = json.loads(text)
        differing = [key for key in wanted if found[key] != wanted[key]]
    except (ValueError, KeyError, TypeError):
        raise BatchError(
            f"{responses}/{IDENTITY} does not say which plan and bundle the responses beside it "
            "belong to. Choose another folder, or delete that file if they may be replaced."
        ) from None
    if differing:
        raise BatchError(
            f"{responses} holds the responses of another {' and '.join(differing)} "
            f"({', '.join(str(found[key])[:12] for key in differing)}; this batch has "
            f"{', '.join(wanted[key][:12] for key in differing)}). Choose another folder."
        )


def least_response_bytes(plan: Plan) -> int:
    """What no response of a plan can be smaller than: random residues cannot be compressed."""
    residues = 2 * plan.params.poly_degree
    ops = [plan.ops[index] for index in plan.results]
    return sum(
        residues * (prime.bit_length() - 1) // 8
        for op in ops
        for prime in plan.params.primes[: op.level + 1]
    )


def is_finished(job: Job) -> bool:
    """Whether the job's response is there, whole, and answers the request as it is now."""
    try:
        header = read_header(job.response, "response", job.plan_digest, job.results)
        return bool(header.get("request") == message_checksum(job.request))
    except (HeclstmError, OSError):
        return False


def remove_leftovers(response: Path) -> None:
    """Remove what killed writers of a response left; only for the holder of its claim."""
    for leftover in response.parent.glob(f".{glob.escape(response.name)}.*"):
        leftover.unlink(missing_ok=True)
