"""Batches over worker processes; keys and plan are loaded once per worker."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from heclstm_lib.errors import HeclstmError
from heclstm_lib.evaluation.correspondence import Correspondent
from heclstm_lib.evaluation.cost import OpTimer
from heclstm_lib.he.server import Server
from heclstm_lib.he.store import load_plan

_servers: dict[tuple[str, str], Server] = {}


def evaluate_request(
    plan_path: Path, bundle_path: Path, request: Path, response: Path, cache: Path | None = None
) -> dict[str, Any]:
    """Task of a worker: evaluate one request file; returns seconds, bytes and operation rows.

    `cache` is a folder for the encoded model, as in Server. `load_s` is what the worker spent on
    keys and encoding the model (about 0 after its first task). Seconds are without the wait for the
    client's refreshes, if the plan has any.
    """
    begin = time.perf_counter()
    server = _server(plan_path, bundle_path, cache)
    load_s = time.perf_counter() - begin
    timer, ask = OpTimer(server.plan), Correspondent()
    wall, cpu = time.perf_counter(), time.process_time()
    try:
        size = server.evaluate(request, response, timer.record, ask)
    finally:
        ask.clear()
    return {
        "load_s": load_s,
        "server_s": time.perf_counter() - wall - ask.waited_s,
        "server_cpu_s": time.process_time() - cpu,
        "response_bytes": size,
        "round_trips": ask.round_trips,
        "refresh_bytes": ask.refresh_bytes,
        "operations": [row for row in timer.rows() if row["kind"] != "wait"],
    }


def _server(plan_path: Path, bundle_path: Path, cache: Path | None) -> Server:
    """The worker's server; another plan or bundle replaces it, since its keys fill gigabytes."""
    key = (str(plan_path), str(bundle_path))
    if key not in _servers:
        _servers.clear()
        if not bundle_path.exists():
            raise HeclstmError(
                f"{bundle_path}: the public bundle is gone; register the client again."
            )
        _servers[key] = Server(load_plan(plan_path), bundle_path, cache)
    return _servers[key]
