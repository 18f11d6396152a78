"""Encoded plaintexts kept in memory, streamed from disk, or encoded anew: always the same words."""

from __future__ import annotations

import os
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from networks import make_frames, make_network
from parties import make_parties

from heclstm_lib.he import plaintext_file
from heclstm_lib.he.encoded import EncodedPlaintexts, Key
from heclstm_lib.he.memory import plaintext_coefficients
from heclstm_lib.he.packing import Vector
from heclstm_lib.he.params import CkksParameters
from heclstm_lib.he.seal import Context, load_context
from heclstm_lib.he.server import Server

PARAMS = CkksParameters(poly_degree=8192, levels=2, scale_bits=36, first_bits=45, special_bits=46)
VECTORS = np.random.default_rng(0).normal(size=(3, 4096))
KEYS = [Key(0, 2, 2.0**36), Key(1, 1, 2.0**35), Key(2, 2, 2.0**30), Key(0, 0, 2.0**20)]
BYTES = [8 * 8192 * (key.level + 1) for key in KEYS]


class Counting:
    """A context that counts the vectors it encodes; scalars are free."""

    def __init__(self, params: CkksParameters = PARAMS) -> None:
        self.context: Context = load_context(params)
        self.params = params
        self.count = 0

    def encode(self, vector: Vector, level: int, scale: float) -> Any:
        self.count += vector.ndim
        return self.context.encode(vector, level, scale)


def words(plaintext: Any) -> np.ndarray:
    return plaintext_coefficients(plaintext, PARAMS.poly_degree).copy()


def prepared(folder: Path | None, limit: int | None = None) -> tuple[EncodedPlaintexts, Counting]:
    counting = Counting()
    encoded = EncodedPlaintexts(counting, folder, limit)
    encoded.prepare(KEYS, VECTORS.__getitem__)
    return encoded, counting


def check(encoded: EncodedPlaintexts) -> None:
    """Every plaintext is the one SEAL encodes, at its level and scale, twice in turn."""
    context = load_context(PARAMS)
    for key in [*KEYS, *reversed(KEYS)]:
        found = encoded.get(key, VECTORS[key.constant])
        expected = context.encode(VECTORS[key.constant], key.level, key.scale)
        assert np.array_equal(words(found), words(expected))
        assert (found.scale, found.parms_id()) == (expected.scale, expected.parms_id())


def only_file(folder: Path) -> Path:
    (path,) = folder.glob(f"*{plaintext_file.SUFFIX}")
    return path


@pytest.mark.parametrize("limit", [None, 0, BYTES[0], BYTES[0] + BYTES[1]])
@pytest.mark.parametrize("on_disk", [False, True])
def test_every_mode_gives_seals_words(tmp_path: Path, limit: int | None, on_disk: bool) -> None:
    encoded, _ = prepared(tmp_path / "cache" if on_disk else None, limit)
    check(encoded)


def test_a_second_process_encodes_nothing(tmp_path: Path) -> None:
    _, first = prepared(tmp_path)
    again, second = prepared(tmp_path)
    check(again)
    assert (first.count, second.count) == (len(KEYS), 0)


def test_streaming_encodes_nothing_and_holds_one_plaintext_a_level(tmp_path: Path) -> None:
    encoded, counting = prepared(tmp_path, limit=0)
    before = counting.count
    first = encoded.get(KEYS[0], VECTORS[0])
    assert encoded.get(KEYS[2], VECTORS[2]) is first  # its memory is used again
    assert counting.count == before


def test_memory_alone_keeps_what_fits_and_encodes_the_rest_anew() -> None:
    encoded, counting = prepared(None, limit=BYTES[0])
    assert counting.count == 1
    for _ in range(2):
        encoded.get(KEYS[0], VECTORS[0])
        encoded.get(KEYS[1], VECTORS[1])
    assert counting.count == 3


def test_what_was_not_prepared_is_kept_on_first_use_until_forgotten() -> None:
    counting = Counting()
    encoded = EncodedPlaintexts(counting)
    assert encoded.get(KEYS[0], VECTORS[0]) is encoded.get(KEYS[0], VECTORS[0])
    encoded.forget()
    other = encoded.get(KEYS[0], VECTORS[1])
    assert counting.count == 2
    assert np.array_equal(words(other), words(counting.encode(VECTORS[1], *KEYS[0][1:])))


def test_a_key_outside_the_file_is_encoded(tmp_path: Path) -> None:
    encoded, counting = prepared(tmp_path)
    before = counting.count
    encoded.get(Key(1, 2, 2.0**36), VECTORS[1])
    assert counting.count == before + 1


@pytest.mark.parametrize("change", ["vector", "level", "scale", "order", "primes"])
def test_other_content_is_another_file(tmp_path: Path, change: str) -> None:
    prepared(tmp_path)
    keys, vectors, params = list(KEYS), VECTORS.copy(), PARAMS
    if change == "vector":
        vectors[2, -1] = np.nextafter(vectors[2, -1], 9)
    elif change == "order":
        keys.reverse()
    elif change == "primes":
        params = CkksParameters(8192, levels=2, scale_bits=37, first_bits=45, special_bits=46)
    else:
        keys[0] = keys[0]._replace(**{change: {"level": 1, "scale": 2.0**36 + 1}[change]})
    counting = Counting(params)
    EncodedPlaintexts(counting, tmp_path).prepare(keys, vectors.__getitem__)
    assert counting.count == len(KEYS)
    assert len(list(tmp_path.glob(f"*{plaintext_file.SUFFIX}"))) == 2


@pytest.mark.parametrize("place", ["first word", "last word", "checksums", "end", "longer"])
@pytest.mark.parametrize("limit", [None, 0])
def test_a_damaged_file_is_noticed_and_made_anew(
    tmp_path: Path, place: str, limit: int | None
) -> None:
    prepared(tmp_path)
    path = only_file(tmp_path)
    data = bytearray(path.read_bytes())
    at = {"first word": 3, "last word": sum(BYTES) - 2, "checksums": sum(BYTES) + 1, "end": -1}
    if place == "longer":
        data += b"x"
    else:
        data[at[place]] ^= 4
    path.write_bytes(data)
    with pytest.warns(RuntimeWarning, match="damaged"):
        encoded, _ = prepared(tmp_path, limit)
        check(encoded)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check(prepared(tmp_path, limit)[0])  # written again, and read without a word
        _, counting = prepared(tmp_path, limit)
    assert counting.count == 0


def test_a_truncated_file_is_noticed(tmp_path: Path) -> None:
    prepared(tmp_path)
    path = only_file(tmp_path)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.warns(RuntimeWarning, match=r"bytes, expected .* is damaged"):
        encoded, _ = prepared(tmp_path)
    check(encoded)


@pytest.mark.parametrize("limit", [None, 0])
def test_a_full_disk_costs_only_time(
    tmp_path: Path, limit: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_path: Path, _key: str, plaintexts: Any) -> None:
        next(iter(plaintexts))
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(plaintext_file, "write_plaintexts", full)
    with pytest.warns(RuntimeWarning, match="No space left on device"):
        encoded, _ = prepared(tmp_path, limit)
    check(encoded)


def test_a_model_larger_than_the_folder_may_be_is_not_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plaintext_file, "FOLDER_LIMIT", 1000)
    with pytest.warns(RuntimeWarning, match="bytes are needed, 1,000 are free"):
        check(prepared(tmp_path)[0])
    assert [path.name for path in tmp_path.iterdir()] == ["lock"]


def test_the_cache_folder_may_be_unusable(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    with pytest.warns(RuntimeWarning, match="cannot be kept"):
        check(prepared(tmp_path / "file")[0])


def test_a_writer_that_fails_leaves_no_part_behind(tmp_path: Path) -> None:
    def failing() -> Any:
        yield np.arange(4, dtype=np.uint64)
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space"):
        plaintext_file.write_plaintexts(tmp_path / "a.plaintexts", "a", failing())
    assert not list(tmp_path.iterdir())


def test_the_files_used_longest_ago_make_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def store(key: str) -> plaintext_file.PlaintextFile:
        return plaintext_file.stored_plaintexts(tmp_path, key, [4], [np.arange(4, dtype="<u8")])

    size = plaintext_file.file_bytes([4])
    monkeypatch.setattr(plaintext_file, "FOLDER_LIMIT", 2 * size)
    leftover = tmp_path / f".c{plaintext_file.SUFFIX}.abcdef"
    leftover.write_text("of a writer that was killed")
    old = store("a")
    store("b")
    for name, when in (("b", 1), ("a", 2)):
        path = tmp_path / f"{name}{plaintext_file.SUFFIX}"
        assert path.stat().st_size == size
        os.utime(path, (when, when))
    store("c")
    names = {path.stem for path in tmp_path.glob(f"*{plaintext_file.SUFFIX}")}
    assert names == {"a", "c"}  # b was used before a
    assert not leftover.exists()
    (tmp_path / f"a{plaintext_file.SUFFIX}").unlink()
    assert old.words(0).tolist() == [0, 1, 2, 3]  # who has it open goes on reading


def test_two_workers_at_once_write_one_file(tmp_path: Path) -> None:
    code = (
        "import sys; sys.path[:0] = sys.argv[2:]; import test_encoded as t; "
        "from pathlib import Path; encoded, counting = t.prepared(Path(sys.argv[1])); "
        "t.check(encoded); print(counting.count)"
    )
    here = Path(__file__).parent
    command = [
        sys.executable,
        "-W",
        "error",
        "-c",
        code,
        str(tmp_path),
        str(here),
        str(here.parent),
    ]
    workers = [
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    outputs = [worker.communicate(timeout=120) for worker in workers]
    assert sorted(out.strip() for out, _ in outputs) == ["0", str(len(KEYS))], outputs
    only_file(tmp_path)


def test_a_server_started_again_encodes_nothing_and_answers_alike(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = make_network(hidden=0)
    parties = make_parties(network, 16384, 2, tmp_path)
    frames = make_frames(network, 2)
    expected = parties.scores(frames)
    Server(parties.plan, tmp_path / "bundle", cache=tmp_path / "cache")
    encode = Context.encode

    def scalars_only(context: Context, vector: Vector, level: int, scale: float) -> Any:
        assert vector.ndim == 0
        return encode(context, vector, level, scale)

    monkeypatch.setattr(Context, "encode", scalars_only)
    parties.server = Server(parties.plan, tmp_path / "bundle", cache=tmp_path / "cache")
    monkeypatch.undo()  # the client encodes its frames
    np.testing.assert_allclose(parties.scores(frames), expected, atol=1e-4)
