"""A hospital's side of the HTTP service: sends and fetches files, holds no key.

Bodies are read and written a block at a time. A full queue, a broken connection or a service that
restarts is waited for; sending a body twice is safe, the service knows it again.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx

from heclstm_lib.errors import ServiceError
from heclstm_lib.files import replacing
from heclstm_lib.he.wire import refuse_secret

BLOCK = 1 << 20
PAUSE_S, LONGEST_PAUSE_S = 0.05, 10.0

OnProgress = Callable[[int, int], object]
"""Gets how much is done and how much there is: bytes, or operations."""


class ServiceClient:
    """Talks to one service in the name of one hospital; use it as a context manager."""

    def __init__(
        self, url: str, token: str, *, patience_s: float = 600.0, timeout_s: float = 60.0,
        plain_http: bool = False,
    ) -> None:  # fmt: skip
        """`patience_s` is how long to try again when the service is busy or cannot be reached.

        Raises ServiceError for http:// to another machine, where the token would cross in clear,
        unless `plain_http`.
        """
        parts = urlsplit(url)
        near = parts.hostname in ("127.0.0.1", "::1", "localhost")
        if parts.scheme != "https" and not (parts.scheme == "http" and (near or plain_http)):
            raise ServiceError(f"{url}: expected an address with https:// (the token is secret).")
        self._patience_s = patience_s
        self._http = httpx.Client(
            base_url=f"{url.rstrip('/')}/v1/",
            headers={"Authorization": f"Bearer {token}"},
            timeout=timeout_s,
        )
        self._bundle: str | None = None

    def __repr__(self) -> str:
        return f"ServiceClient({self._http.base_url}, token hidden)"

    def __enter__(self) -> ServiceClient:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def plan(self) -> dict[str, Any]:
        """What the service says of its plan: digest, signature, sizes of messages."""
        return dict(self._ask("GET", "plan"))

    def fetch_signature(self, path: Path) -> None:
        """Write the plan's signature.json, all that encryption needs of the plan."""
        signature = self.plan()["signature"]
        with replacing(path) as part:
            part.write_text(json.dumps(signature), encoding="utf-8")

    def register_bundle(self, path: Path, on_progress: OnProgress | None = None) -> str:
        """Send a public bundle, wait until it is checked; its digest, used by `submit` from now.

        Raises ServiceError when the service refuses it, SecretError for a secret bundle.
        """
        refuse_secret(path)
        record = self._send("bundles", path, on_progress)
        if record["name"] != hash_file(path):
            raise ServiceError(f"{path.name}: the service got other bytes than were sent.")
        record = self._settled(f"bundles/{record['name']}", ("checking",), None)
        if record["state"] != "ready":
            raise ServiceError(f"{path.name} was refused: {record['reason']}", 422, "refused")
        self._bundle = record["name"]
        return self._bundle

    def submit(
        self, request: Path, bundle: str | None = None, on_progress: OnProgress | None = None
    ) -> str:
        """Send a request file for a bundle (default: the one registered last); the job's name."""
        refuse_secret(request)
        digest = bundle or self._bundle
        if digest is None:
            raise ServiceError("no bundle: call register_bundle first, or give its digest.")
        return str(self._send(f"bundles/{digest}/sequences", request, on_progress)["name"])

    def job(self, name: str) -> dict[str, Any]:
        """State and progress of a job."""
        return dict(self._ask("GET", f"jobs/{name}"))

    def wait(self, name: str, on_progress: OnProgress | None = None) -> dict[str, Any]:
        """Wait until a job is done; its last record. ServiceError when it failed."""
        record = self._settled(f"jobs/{name}", ("queued", "running"), on_progress)
        if record["state"] != "done":
            raise ServiceError(f"job {name[:12]} failed: {record['reason']}", 422, "job_failed")
        return record

    def fetch_result(self, name: str, path: Path) -> int:
        """Write a job's response to a file, whole or not at all; its size in bytes."""

        def fetch() -> int:
            with self._http.stream("GET", f"jobs/{name}/result") as answer:
                if answer.is_error:
                    answer.read()
                    raise _problem(answer)
                with replacing(path) as part, part.open("wb") as file:
                    for block in answer.iter_bytes(BLOCK):
                        file.write(block)
            return path.stat().st_size

        return int(self._patiently(fetch))

    def delete_job(self, name: str) -> None:
        """Have a job and its result deleted."""
        self._ask("DELETE", f"jobs/{name}")

    def delete_bundle(self, digest: str) -> None:
        """Have a bundle, its jobs and results deleted."""
        self._ask("DELETE", f"bundles/{digest}")

    def _settled(
        self, address: str, waiting: tuple[str, ...], see: OnProgress | None
    ) -> dict[str, Any]:
        pause = PAUSE_S
        while True:
            record = dict(self._ask("GET", address))
            if see is not None:
                see(record["done"], record["all"])
            if record["state"] not in waiting:
                return record
            time.sleep(pause)
            pause = min(1.3 * pause, LONGEST_PAUSE_S)

    def _send(self, address: str, path: Path, see: OnProgress | None) -> dict[str, Any]:
        size = str(path.stat().st_size)

        def send() -> Any:
            content = _blocks(path, see)
            headers = {"Content-Length": size, "Content-Type": "application/octet-stream"}
            return _checked(self._http.post(address, content=content, headers=headers))

        return dict(self._patiently(send))

    def _ask(self, method: str, address: str) -> Any:
        return self._patiently(lambda: _checked(self._http.request(method, address)))

    def _patiently(self, call: Callable[[], Any]) -> Any:
        """Call until it works, or fails for a reason that does not pass, or patience ends."""
        end, pause = time.monotonic() + self._patience_s, PAUSE_S
        while True:
            try:
                return call()
            except httpx.TransportError as error:
                failure = ServiceError(
                    f"{self._http.base_url}: no answer ({error}). Is the service running, and the "
                    "address right?",
                    0, "unreachable",
                )  # fmt: skip
            except ServiceError as error:
                if error.retry_s is None or error.status not in (408, 429, 503):
                    raise
                failure, pause = error, max(pause, float(error.retry_s))
            if time.monotonic() + pause > end:
                raise failure
            time.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE_S)


def hash_file(path: Path) -> str:
    """sha256 of a file as hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _blocks(path: Path, see: OnProgress | None) -> Iterator[bytes]:
    done, size = 0, path.stat().st_size
    with path.open("rb") as file:
        while block := file.read(BLOCK):
            yield block
            done += len(block)
            if see is not None:
                see(done, size)


def _checked(answer: httpx.Response) -> Any:
    if answer.is_error:
        raise _problem(answer)
    return answer.json() if answer.content else None


def _problem(answer: httpx.Response) -> ServiceError:
    """The error of an answer, in the service's words; a proxy's answer has none."""
    try:
        raw = answer.json()["error"]
        code, message = str(raw["code"]), str(raw["message"])
    except (ValueError, KeyError, TypeError):
        code, message = "http", f"{answer.reason_phrase or 'an error'}, not from the service itself"
    after = answer.headers.get("retry-after", "")
    retry = int(after) if after.isdigit() else None
    if answer.status_code == 503 and retry is None:
        retry = 1  # the connection limit, or a proxy whose service restarts
    return ServiceError(f"{answer.status_code}: {message}", answer.status_code, code, retry)
