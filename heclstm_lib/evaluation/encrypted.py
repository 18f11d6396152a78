"""Encrypted evaluation of test sequences, batch by batch, through client and servers."""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Executor, Future, wait
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from tqdm import tqdm

from heclstm_lib.errors import PlanError
from heclstm_lib.evaluation.correspondence import PAUSE_S, open_messages, reply_path
from heclstm_lib.evaluation.fanout import evaluate_request
from heclstm_lib.files import replacing
from heclstm_lib.he.client import Client
from heclstm_lib.he.packing import Vector
from heclstm_lib.he.store import load_signature


@dataclass(frozen=True)
class EncryptedRun:
    """Decrypted scores [n], one row a batch, one row a (batch, layer, kind, level).

    In a batch's row `refresh_s` is the client's time for re-encryptions on the way, `round_trips`
    their number, `refresh_bytes` their bytes both ways.
    """

    scores: Vector
    batches: pd.DataFrame
    operations: pd.DataFrame
    key_s: float
    bundle_bytes: int


def evaluate_encrypted(
    plan_path: Path,
    frames: Vector,
    work: Path,
    executor: Executor,
    in_flight: int,
    cache: Path | None = None,
) -> EncryptedRun:
    """Run the whole protocol on normalised frames [n, T, C, H, W] and decrypt the scores [n].

    A client makes keys, writes its public bundle, encrypts batch after batch; the executor's
    servers evaluate at most `in_flight` of them at a time; the client decrypts. Finished batches
    are kept in `work`: a run that was stopped goes on with the batches it lacks, under new keys.
    `cache` is a folder for the encoded model, which the servers share.

    The servers load the plan; the client only `signature.json` beside it, so no weight.
    """
    signature = load_signature(plan_path.with_name("signature.json"))
    done = _Finished(work / "finished", signature.digest, frames)
    size = signature.layout.sequences
    starts = [s for s in range(0, len(frames), size) if s not in done.records]
    if starts:
        folder = Path(tempfile.mkdtemp(prefix="protocol-", dir=_made(work)))
        try:
            begin = time.perf_counter()
            client = Client(signature)
            bundle = folder / "public.bundle"
            bundle_bytes = client.write_public_bundle(bundle)
            shared = {"key_s": time.perf_counter() - begin, "bundle_bytes": bundle_bytes}
            jobs = ((start, frames[start : start + size]) for start in starts)
            exchange = _Exchange(client, plan_path, bundle, executor, cache)
            for record in tqdm(
                exchange.run(jobs, in_flight), total=len(starts), desc="encrypted batches"
            ):
                done.add(record | shared)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
    return done.collect(len(frames))


class _Exchange:
    """Keeps a bounded number of requests under way between the client and the servers."""

    def __init__(
        self, client: Client, plan_path: Path, bundle: Path, executor: Executor, cache: Path | None
    ) -> None:
        self.client, self.executor, self.cache = client, executor, cache
        self.plan_path, self.bundle = plan_path, bundle

    def run(self, jobs: Iterator[tuple[int, Vector]], in_flight: int) -> Iterator[dict[str, Any]]:
        pending: dict[Future[dict[str, Any]], dict[str, Any]] = {}
        for start, frames in jobs:
            if len(pending) >= in_flight:
                yield from self._finished(pending)
            record = self._encrypt(start, frames)
            future = self.executor.submit(
                evaluate_request, self.plan_path, self.bundle, *self._files(start), self.cache
            )
            pending[future] = record
        while pending:
            yield from self._finished(pending)

    def _files(self, start: int) -> tuple[Path, Path]:
        """Request and response of the batch that begins at sequence `start`."""
        return (
            self.bundle.with_name(f"request-{start}"),
            self.bundle.with_name(f"response-{start}"),
        )

    def _encrypt(self, start: int, frames: Vector) -> dict[str, Any]:
        request, _ = self._files(start)
        begin = time.perf_counter()
        size = self.client.encrypt_batch(frames, request)
        seconds = time.perf_counter() - begin
        record = {"batch": start, "sequences": len(frames), "refresh_s": 0.0}
        return record | {"encrypt_s": seconds, "request_bytes": size}

    def _finished(self, pending: dict[Future[Any], dict[str, Any]]) -> Iterator[dict[str, Any]]:
        for future in self._wait(pending):
            record = pending.pop(future) | future.result()
            request, response = self._files(record["batch"])
            begin = time.perf_counter()
            scores = self.client.decrypt_scores(response)
            record |= {"decrypt_s": time.perf_counter() - begin, "scores": scores.tolist()}
            response.unlink()
            request.unlink()
            yield record

    def _wait(self, pending: dict[Future[Any], dict[str, Any]]) -> set[Future[Any]]:
        """Batches that are done; until one is, the servers' refreshes are answered."""
        pause = PAUSE_S if self.client.signature.refreshes else None
        while not (done := wait(pending, pause, return_when=FIRST_COMPLETED).done):
            for message in open_messages(self.bundle.parent):
                begin = time.perf_counter()
                self.client.refresh(message, reply_path(message))
                self._charge(message, pending, time.perf_counter() - begin)
        return done

    def _charge(
        self, message: Path, pending: dict[Future[Any], dict[str, Any]], seconds: float
    ) -> None:
        """Add the client's seconds to the batch that a message belongs to."""
        for record in pending.values():
            _, response = self._files(record["batch"])
            if message.stem == response.name:
                record["refresh_s"] += seconds


class _Finished:
    """Finished batches as JSON files, valid for one plan and one set of frames."""

    def __init__(self, folder: Path, plan_digest: str, frames: Vector) -> None:
        self.folder = _made(folder)
        self.identity = [plan_digest, hash_frames(frames)]
        self.records: dict[int, dict[str, Any]] = {}
        for path in folder.glob("batch-*.json"):
            record = json.loads(path.read_text(encoding="utf-8"))
            if record["identity"] == self.identity:
                self.records[record["batch"]] = record

    def add(self, record: dict[str, Any]) -> None:
        path = self.folder / f"batch-{record['batch']}.json"
        record |= {"identity": self.identity}
        with replacing(path) as part:
            part.write_text(json.dumps(record), encoding="utf-8")
        self.records[record["batch"]] = record

    def collect(self, count: int) -> EncryptedRun:
        records = [self.records[start] for start in sorted(self.records)]
        scores = np.concatenate([record["scores"] for record in records])
        if len(scores) != count:
            raise PlanError(f"{len(scores)} decrypted scores for {count} sequences; run again.")
        plain = (
            "batch",
            "sequences",
            "encrypt_s",
            "load_s",
            "server_s",
            "server_cpu_s",
            "refresh_s",
            "decrypt_s",
            "round_trips",
        )
        sizes = ("request_bytes", "refresh_bytes", "response_bytes")
        batches = pd.DataFrame(records)[[*plain, *sizes]]
        operations = pd.DataFrame(
            [{"batch": r["batch"]} | row for r in records for row in r["operations"]]
        )
        return EncryptedRun(
            scores, batches, operations, records[-1]["key_s"], records[-1]["bundle_bytes"]
        )


def hash_frames(frames: Vector) -> str:
    """sha256 of the frames' bytes, to tell whether finished batches belong to them."""
    return hashlib.sha256(np.ascontiguousarray(frames).tobytes()).hexdigest()


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder
