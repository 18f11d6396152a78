"""A batch whose files lie in a store: the same responses, resumed, never another batch's."""

from __future__ import annotations

import dataclasses
import gc
import pickle
from concurrent.futures import Executor, Future
from pathlib import Path
from typing import Any

import pytest
from stores import Store, put

from heclstm_lib.batch.command import run_batch
from heclstm_lib.batch.report import BatchReport
from heclstm_lib.cluster import cache, task
from heclstm_lib.cluster.cache import fetch_bundle
from heclstm_lib.cluster.command import Places, run_on_processes, run_places
from heclstm_lib.cluster.jobs import find_remote_jobs, read_digest, read_plan
from heclstm_lib.compiler.chain import choose_parameters
from heclstm_lib.compiler.network import plan_network
from heclstm_lib.errors import BatchError, IntegrityError, SecretError
from heclstm_lib.he.footprint import BASE_BYTES, evaluation_bytes, working_bytes
from heclstm_lib.he.secret_bundle import write_secret
from heclstm_lib.he.server import Server
from heclstm_lib.robustness.response_folder import digests
from heclstm_lib.robustness.small_case import SmallCase, make_small_case, small_network
from heclstm_lib.storage import create, download, join, list_names, read_range, remove, upload

NAMES = tuple(f"{number:02d}" for number in range(4))


class Inline(Executor):
    """Runs a task at once in this process."""

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        future.set_result(fn(*args, **kwargs))
        return future


def evaluate(places: Places, **options: Any) -> BatchReport:
    return run_places(places, read_plan(places.plan), Inline(), **options)


def fetched(places: Places, folder: Path) -> dict[str, str]:
    for name in list_names(places.responses):
        download(join(places.responses, name), folder / name)
    return digests(folder)


@pytest.fixture(scope="session")
def right(made: SmallCase, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Digests of the responses of plain local processes."""
    out = tmp_path_factory.mktemp("right")
    assert run_batch(made.plan, made.bundle, made.requests, out).exit_code == 0
    return digests(out)


def test_a_batch_in_s3_is_that_on_disk_and_resumes(
    made: SmallCase, bucket: str, store: Store, tmp_path: Path, right: dict[str, str], cached: Path
) -> None:
    places = put(made, bucket)
    store.counts.clear()
    assert evaluate(places).evaluated == NAMES
    assert fetched(places, tmp_path / "first") == right
    assert sorted(path.suffix for path in cached.glob("[!.]*")) == [".bundle", ".npz"]
    assert store.counts["PUT", "00.response"] == 1
    remove(join(places.responses, "01.response"))
    bad = tmp_path / "bad"
    data = bytearray((tmp_path / "first" / "02.response").read_bytes())
    data[-1] ^= 1
    bad.write_bytes(data)
    upload(bad, join(places.responses, "02.response"))
    upload(made.requests / "00.request", join(places.requests, "03.request"))
    report = evaluate(places)
    assert (report.evaluated, report.finished) == (("01", "02", "03"), ("00",))
    again = fetched(places, tmp_path / "second")
    assert again == right | {"03.response": right["00.response"]}


def test_local_processes_take_urls(
    made: SmallCase, bucket: str, tmp_path: Path, right: dict[str, str]
) -> None:
    places = put(made, bucket)
    assert run_on_processes(places, workers=2, flood_bits=None).evaluated == NAMES
    assert fetched(places, tmp_path / "out") == right


def test_two_batches_do_not_share_a_folder(made: SmallCase, bucket: str) -> None:
    places = put(made, bucket)
    create(join(places.responses, "batch.json"), b'{"plan": "other", "bundle": "other"}')
    with pytest.raises(BatchError, match="holds the responses of another plan and bundle"):
        evaluate(places)
    for missing, said in (("bundle", "no such public bundle"), ("requests", r"no file \*.request")):
        other = Places(**(vars(places) | {missing: join(bucket, "nothing")}))
        with pytest.raises(BatchError, match=said):
            evaluate(other)


def test_a_secret_bundle_in_the_store_is_refused(
    made: SmallCase, bucket: str, tmp_path: Path
) -> None:
    places = put(made, bucket)
    write_secret(made.client._keys, tmp_path / "secret.bundle", None)
    upload(tmp_path / "secret.bundle", join(places.requests, "notes.txt"))
    with pytest.raises(SecretError, match="is a secret bundle"):
        evaluate(places)


def test_a_damaged_cache_is_fetched_again_and_another_bundle_refused(
    made: SmallCase, bucket: str, store: Store
) -> None:
    places = put(made, bucket)
    digest = read_digest(places.bundle)
    path = fetch_bundle(places.bundle, digest)
    store.counts.clear()
    assert fetch_bundle(places.bundle, digest) == path
    assert not store.counts["GET", "public.bundle"]
    data = bytearray(path.read_bytes())
    data[1000] ^= 1
    path.write_bytes(data)
    assert fetch_bundle(places.bundle, digest).read_bytes() == made.bundle.read_bytes()
    assert store.counts["GET", "public.bundle"] == 1
    with pytest.raises(IntegrityError, match="it was replaced since the batch began"):
        fetch_bundle(places.bundle, "0" * 64)


def test_only_files_of_the_cache_make_room(
    made: SmallCase, bucket: str, cached: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cached.mkdir()
    ours = [cached / f"{'0' * 64}.bundle", cached / f"{'a' * 64}.npz"]
    foreign = [cached / name for name in ("notes.txt", "thesis.bundle", f"{'0' * 63}.npz", "x.npz")]
    for path in (*ours, *foreign):
        path.write_bytes(b"some bytes")
    (cached / f"{'b' * 64}.npz").mkdir()
    monkeypatch.setattr(cache, "FOLDER_LIMIT", 0)
    places = put(made, bucket)
    path = fetch_bundle(places.bundle, read_digest(places.bundle))
    assert path.is_file() and all(one.is_file() for one in foreign)
    assert not any(one.exists() for one in ours)


def test_keys_that_do_not_fit_stop_all(made: SmallCase, bucket: str, tmp_path: Path) -> None:
    other = make_small_case(tmp_path / "other", requests=1, seed=5)
    places = put(made, bucket)
    upload(other.bundle, places.bundle)
    report = evaluate(places)
    assert report.exit_code == 3
    assert "plan is" in report.failed[0].reason
    assert report.failed[1].reason.startswith("not tried: ")


def test_an_old_set_of_keys_is_gone_before_the_next_is_loaded(
    made: SmallCase, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Though errors that the store's client caught hold the frames that used it."""
    alive: list[int] = []

    class Counted(Server):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            alive.append(sum(isinstance(one, Server) for one in gc.get_objects()) - 1)
            super().__init__(*args, **kwargs)

    monkeypatch.setattr(task, "Server", Counted)
    monkeypatch.setattr(task, "_idle", {})
    gc.collect()
    before = sum(isinstance(one, Server) for one in gc.get_objects())
    places = put(made, bucket)
    gc.disable()  # it would run at its own time
    try:
        for number, flood_bits in enumerate((0, None, 0)):
            own = dataclasses.replace(places, responses=join(bucket, f"out-{number}"))
            assert evaluate(own, flood_bits=flood_bits).evaluated == NAMES
    finally:
        gc.enable()
    assert alive == [before] * 3


def test_a_task_carries_addresses_and_digests_only(made: SmallCase, bucket: str) -> None:
    places = put(made, bucket)
    plan = read_plan(places.plan)
    jobs = find_remote_jobs(plan, places.plan, places.bundle, places.requests, places.responses, 60)
    assert len(pickle.dumps(jobs[0])) < 1500
    assert read_range(join(places.responses, "batch.json"), None, None)


def test_memory_of_an_evaluation(made: SmallCase) -> None:
    plan = read_plan(str(made.plan))
    sizes = [plan.params.ciphertext_bytes(op.level, op.size) for op in plan.ops]
    assert max(sizes) <= working_bytes(plan) <= sum(sizes)
    without = evaluation_bytes(plan, held_plaintexts=False)
    assert without > BASE_BYTES + plan.key_bytes() + working_bytes(plan)
    assert evaluation_bytes(plan) - without == plan.plaintext_bytes()


def test_freed_memory_serves_its_own_size_only() -> None:
    """An input at level 2, dropped, leaves its memory to other ciphertexts of level 2 alone."""
    network = small_network(0)
    plan = plan_network(network, choose_parameters(network, 8192), 2)
    sizes = {plan.params.ciphertext_bytes(op.level, op.size) for op in plan.ops}
    assert working_bytes(plan) >= sum(sizes)  # each size was alive at least once
