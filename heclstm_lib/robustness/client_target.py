"""A service under attack: HTTP calls without the Python client's care, and forged messages."""

from __future__ import annotations

import hashlib
import json
import struct
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx

from heclstm_lib.he.client import Client
from heclstm_lib.he.packing import Vector
from heclstm_lib.he.plan import Plan
from heclstm_lib.he.wire import MAGIC, iter_chunks

PATIENCE_S = 60.0
Answer = tuple[int, str]
"""HTTP status and message; for a job that was taken, 200 and its last state and reason."""


@dataclass(frozen=True)
class Target:
    """A service with a registered bundle, and one good request with its frames."""

    url: str
    token: str
    other_token: str
    plan: Plan
    client: Client
    bundle: str
    request: Path
    frames: Vector
    job: str
    seed: int
    workdir: Path

    def ask(
        self,
        method: str,
        path: str,
        token: str | None = None,
        content: bytes | Iterator[bytes] | None = None,
    ) -> Answer:
        """One HTTP call."""
        headers = {"Authorization": f"Bearer {self.token if token is None else token}"}
        url = f"{self.url}/v1/{path}"
        answer = httpx.request(method, url, headers=headers, timeout=PATIENCE_S, content=content)
        return answer.status_code, answer.text

    def submit(self, content: bytes | Iterator[bytes]) -> Answer:
        """Send a body as a request; when it is taken, wait for what becomes of the job."""
        path = f"bundles/{self.bundle}/sequences"
        status, text = self.ask("POST", path, content=content)
        end = time.monotonic() + PATIENCE_S
        while status in (200, 202) and time.monotonic() < end:
            job = json.loads(text)
            if job["state"] in ("done", "failed"):
                if job["name"] != self.job:
                    self.ask("DELETE", f"jobs/{job['name']}")
                return 200, f"{job['state']} {job['reason']}"
            time.sleep(0.02)
            status, text = self.ask("GET", f"jobs/{job['name']}")
        return status, text

    def forge(self, change: Callable[[list[bytes]], list[bytes]], **header: object) -> Answer:
        """Submit the good request with other chunks or header fields, and a right checksum."""
        found, chunks = split_message(self.request)
        return self.submit(sealed(json.dumps(found | header).encode(), change(chunks)))


def split_message(path: Path) -> tuple[dict[str, object], list[bytes]]:
    """Header and chunks of a message."""
    data = path.read_bytes()
    (length,) = struct.unpack_from("<I", data, len(MAGIC))
    start = len(MAGIC) + 4
    return json.loads(data[start : start + length]), list(iter_chunks(path))


def sealed(header: bytes, chunks: list[bytes]) -> bytes:
    """The bytes of a message with a right checksum over whatever it holds."""
    parts = [MAGIC, struct.pack("<I", len(header)), header]
    for chunk in chunks:
        parts += [struct.pack("<Q", len(chunk)), chunk]
    body = b"".join(parts)
    return body + hashlib.sha256(body).digest()


def first_changed(change: Callable[[bytes], bytes]) -> Callable[[list[bytes]], list[bytes]]:
    """What changes only the first chunk."""
    return lambda chunks: [change(chunks[0]), *chunks[1:]]
