"""A batch by addresses: what a task carries, which requests there are, which are finished.

As in `batch.folder` `x.request` becomes `x.response`, and `batch.json` names plan and bundle. A
response is finished when its checksum holds and it says that it answers this very request. In an
object store there are no locks, so two evaluations of the same folder may do the same work twice.
Neither ever reads or leaves a wrong or half-written response: a response appears whole, each of
the two is right, and the later one replaces the earlier one.
"""

from __future__ import annotations

import json
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from heclstm_lib.batch.folder import (
    IDENTITY,
    REQUEST,
    RESPONSE,
    check_identity,
    least_response_bytes,
    refuse_refreshes,
    settle_folder,
)
from heclstm_lib.errors import BatchError, HeclstmError
from heclstm_lib.he.plan import Plan
from heclstm_lib.he.store import load_plan
from heclstm_lib.he.wire import DIGEST_BYTES, SECRET_MAGIC, read_header, refuse_secret_magic
from heclstm_lib.storage import (
    Location,
    base_name,
    create,
    find_size,
    join,
    list_names,
    local_copy,
    local_path,
    read_range,
)

LOOKS = 8
"""Small reads of a store at a time."""


@dataclass(frozen=True)
class RemoteJob:
    """One request to evaluate, as addresses and digests: all that crosses a scheduler.

    `plan_digest` is that of the plan, `bundle_digest` the checksum that the bundle carries; the
    other numbers are those of `batch.folder.Job`.
    """

    plan: Location
    bundle: Location
    request: Location
    response: Location
    plan_digest: str
    bundle_digest: str
    results: int
    least_bytes: int
    patience_s: float
    flood_bits: int | None = None

    @property
    def name(self) -> str:
        """The request's name without suffix."""
        return base_name(self.request).removesuffix(REQUEST)


def read_plan(location: Location) -> Plan:
    """Load a plan from a store; PlanError if it is none or the client takes part in it."""
    if find_size(location) is None:
        raise BatchError(f"{location}: no such plan.")
    with tempfile.TemporaryDirectory() as folder:
        plan = load_plan(local_copy(location, Path(folder)))
    refuse_refreshes(plan, base_name(location))
    return plan


def find_remote_jobs(
    plan: Plan,
    plan_location: Location,
    bundle: Location,
    requests: Location,
    responses: Location,
    patience_s: float,
    flood_bits: int | None = None,
) -> list[RemoteJob]:
    """A job for each request of a folder, by name; addresses are those of `make_location`.

    Raises BatchError when a folder or file is missing or the responses' folder is another
    batch's, SecretError when a secret bundle lies there, StorageError when a store cannot be read.
    """
    if find_size(bundle) is None:
        raise BatchError(f"{bundle}: no such public bundle; register the client first.")
    names = list_names(requests)
    found = [name for name in names if name.endswith(REQUEST) and not name.startswith(".")]
    if not found:
        raise BatchError(f"{requests}: no file *{REQUEST} there. Is this the right folder?")
    with ThreadPoolExecutor(LOOKS) as pool:
        list(pool.map(_refuse_secret, [bundle, *(join(requests, name) for name in names)]))
    digest = read_digest(bundle)
    _settle(responses, plan.digest, digest)
    least = least_response_bytes(plan)
    return [
        RemoteJob(
            plan_location, bundle, join(requests, name),
            join(responses, name.removesuffix(REQUEST) + RESPONSE),
            plan.digest, digest, len(plan.results), least, patience_s, flood_bits,
        )
        for name in found
    ]  # fmt: skip


def _refuse_secret(location: Location) -> None:
    size = find_size(location)
    if size is not None and size >= len(SECRET_MAGIC):
        refuse_secret_magic(read_range(location, 0, len(SECRET_MAGIC)), location)


def read_digest(message: Location) -> str:
    """The checksum that a message carries in its last bytes, as hexadecimal digits."""
    return read_range(message, -DIGEST_BYTES, None).hex()


def _settle(responses: Location, plan_digest: str, bundle_digest: str) -> None:
    """Make a folder of responses this plan's and bundle's, once; BatchError if it is another's."""
    local = local_path(responses)
    if local is not None:
        settle_folder(local, plan_digest, bundle_digest)
        return
    wanted = {"plan": plan_digest, "bundle": bundle_digest}
    place = join(responses, IDENTITY)
    create(place, json.dumps(wanted).encode())
    check_identity(read_range(place, None, None).decode(errors="replace"), wanted, responses)


def is_finished_remotely(job: RemoteJob) -> bool:
    """Whether the job's response is there, whole, and answers the request as it is now."""
    try:
        if find_size(job.response) is None:
            return False
        with tempfile.TemporaryDirectory() as folder:
            response = local_copy(job.response, Path(folder))
            header = read_header(response, "response", job.plan_digest, job.results)
        return bool(header.get("request") == read_digest(job.request))
    except (HeclstmError, OSError):
        return False


def finished_names(jobs: list[RemoteJob]) -> set[str]:
    """Names of the jobs that are finished; some are looked at side by side."""
    with ThreadPoolExecutor(LOOKS) as pool:
        done = pool.map(is_finished_remotely, jobs)
        return {job.name for job, finished in zip(jobs, done, strict=True) if finished}
