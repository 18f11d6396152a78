"""What the client keeps of each request it sent: whose sequences they were, and their range check.

One private file a request, called by the request's checksum. None of it crosses to the server,
which sees random ids in place of names; a response is matched to it when it comes back.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from heclstm_lib.errors import WireError
from heclstm_lib.files import replacing
from heclstm_lib.he.secret_bundle import PRIVATE


@dataclass(frozen=True)
class Sent:
    """One request: the ids that crossed, the client's names, and how far each left the range.

    `distance` and `fraction` are those of `input_range.RangeCheck`, None where no range is known.
    """

    request: str
    ids: list[str]
    names: list[str]
    distance: list[float] | None = None
    fraction: list[float] | None = None


def write_sent(sent: Sent, folder: Path) -> None:
    """Keep what was sent, readable by its owner only, atomically."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    with replacing(_place(folder, sent.request), PRIVATE) as part:
        part.write_text(json.dumps(asdict(sent)), encoding="utf-8")


def find_sent(folder: Path, request: str, ids: list[str], name: str) -> Sent:
    """What was sent in the request that response `name` answers.

    Raises WireError if no such request was sent, or not with these ids in this order.
    """
    try:
        sent = Sent(**json.loads(_place(folder, request).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise WireError(
            f"{name}: answers request {request[:12]}, which is not among those kept in {folder}. "
            "Name the folder that heclstm encrypt wrote (--sent), or ask for the right response."
        ) from error
    if sent.ids != ids:
        raise WireError(
            f"{name}: its ids are not those of request {request[:12]}, which it claims to answer. "
            "Do not use it; evaluate the request again."
        )
    return sent


def _place(folder: Path, request: str) -> Path:
    return folder / f"{request}.json"
