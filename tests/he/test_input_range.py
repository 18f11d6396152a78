"""Frames outside the calibrated range: a warning before encryption that says how far."""

from __future__ import annotations

import dataclasses
import json
import warnings
from pathlib import Path

import numpy as np
import pytest
from networks import make_frames, make_network

from heclstm_lib.compiler.chain import choose_parameters
from heclstm_lib.compiler.network import plan_network
from heclstm_lib.errors import DataError, InputRangeWarning, PlanError, WireError
from heclstm_lib.he.client import Client
from heclstm_lib.he.input_range import check_range, measure_input_range
from heclstm_lib.he.sent import Sent, find_sent, write_sent
from heclstm_lib.he.sequence_files import load_frames, load_names, normalise
from heclstm_lib.he.store import load_signature, write_signature

NETWORK = make_network(frames=2, hidden=0, channels=2, channels_out=2, kernel_size=3, image_size=6)
PLAN = plan_network(NETWORK, choose_parameters(NETWORK, 8192), 8)
FRAMES = make_frames(NETWORK, 8)
SIGNATURE = dataclasses.replace(PLAN.signature, input_range=measure_input_range(FRAMES))


@pytest.fixture(scope="module")
def client() -> Client:
    return Client(SIGNATURE)


def test_range_is_by_channel() -> None:
    frames = np.zeros((3, 2, 2, 4, 4), dtype=np.float32)
    frames[1, 0, 0, 1, 2], frames[2, 1, 1, 3, 3] = -1.5, 0.25
    assert measure_input_range(frames) == ((-1.5, 0.0), (0.0, 0.25))


def test_frames_in_0_to_1_are_normalised_as_in_training(tmp_path: Path) -> None:
    signature = dataclasses.replace(SIGNATURE, normalisation=((0.5, 0.25), (0.25, 0.5)))
    frames = np.full((2, 2, 2, 6, 6), 0.75)
    assert np.unique(normalise(frames, signature)[:, :, 0]).tolist() == [1.0]
    assert np.unique(normalise(frames, signature)[:, :, 1]).tolist() == [1.0]
    with pytest.raises(DataError, match=r"reach from 7\.5 to 7.5, expected 0 to 1"):
        normalise(frames * 10, signature)
    with pytest.raises(DataError, match="the signature has no normalisation"):
        normalise(frames, SIGNATURE)
    write_signature(signature, path := tmp_path / "signature.json")
    assert load_signature(path) == signature
    for wrong in ([[0, 1]], [[0, 0], [0, 1]], [[0, float("nan")], [0, 1]], [[0, -1], [0, 1]]):
        path.write_text(json.dumps(dataclasses.asdict(signature) | {"normalisation": wrong}))
        with pytest.raises(PlanError, match=r"normalisation: .* expected a finite pair for each"):
            load_signature(path)


def test_edges_are_inside_and_what_is_beyond_is_measured() -> None:
    check = check_range(SIGNATURE, FRAMES)
    assert check is not None and check.outside == []
    (low, high), (_, other) = SIGNATURE.input_range or ()
    frames = FRAMES.copy()
    frames[2, 0, 0, :2, 0] = low - 0.5, high + 0.25
    frames[5, 1, 1, 0, 0] = np.nextafter(other, np.inf)
    check = check_range(SIGNATURE, frames)
    assert check is not None and check.outside == [2, 5]
    assert check.distance[2] == pytest.approx(0.5)
    assert check.fraction[2] == 2 / FRAMES[2].size
    assert 0 < check.distance[5] < 1e-12
    assert check_range(PLAN.signature, frames) is None


def test_the_client_warns_before_it_encrypts(client: Client, tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        client.encrypt_batch(FRAMES, tmp_path / "inside")
    frames = FRAMES * np.linspace(1, 2, 8)[:, None, None, None, None]
    said = r"sequence\(s\) leave the range.*: h \(by .*\), .* in standard deviations of the train"
    with pytest.warns(InputRangeWarning, match=said):
        client.encrypt_batch(frames, tmp_path / "outside", list("abcdefgh"))
    with pytest.warns(InputRangeWarning, match=r"Mr\. Hyde \(by .*and \d more"):
        names = [*"ABCDEFG", "Mr. Hyde"]
        client.encrypt_batch(frames * 9, tmp_path / "far", list("abcdefgh"), names=names)
    assert b"Hyde" not in (tmp_path / "far").read_bytes()
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # a caller may stop there: nothing is written
        with pytest.raises(InputRangeWarning):
            client.encrypt_batch(frames, tmp_path / "never")
    assert not (tmp_path / "never").exists()


def test_ids_are_checked_or_drawn(client: Client, tmp_path: Path) -> None:
    with pytest.raises(WireError, match="request: ids: 'a' stands there twice"):
        client.encrypt_batch(FRAMES[:2], tmp_path / "request", ["a", "a"])
    with pytest.raises(DataError, match="n from 1 to 8"):
        client.encrypt_batch(FRAMES[:0], tmp_path / "request", [])
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "wrong", [[[0, 1]], [[0, 1], [2, 1]], [[0, 1], [0, float("inf")]], [[0, 1], [0]], [3, 4], []]
)
def test_unreadable_ranges(tmp_path: Path, wrong: list) -> None:
    path = tmp_path / "signature.json"
    write_signature(SIGNATURE, path)
    assert load_signature(path) == SIGNATURE
    raw = json.loads(path.read_text()) | {"input_range": wrong}
    del raw["sha256"]  # else it would be refused as damaged
    path.write_text(json.dumps(raw))
    with pytest.raises(PlanError, match=r"input_range|no plan's signature"):
        load_signature(path)
    del raw["input_range"]
    path.write_text(json.dumps(raw))
    assert load_signature(path).input_range is None


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            np.zeros((3, 2, 2, 6, 5)),
            r"got an array of shape \(3, 2, 2, 6, 5\), expected .*6, 6",
        ),
        (np.zeros((0, 2, 2, 6, 6)), "got an array of shape"),
        (np.zeros(3), "got an array of shape"),
        (np.full((1, 2, 2, 6, 6), "x"), "got values of type <U1, expected numbers"),
        (np.full((1, 2, 2, 6, 6), None), "no frames can be read"),
        (b"no array at all", "no frames can be read"),
        (b"", "no frames can be read"),
        (None, "no frames can be read"),
        ({"a": np.zeros(1), "b": np.zeros(1)}, "holds a, b; expected one array"),
    ],
    ids=range(9),
)
def test_files_that_hold_no_frames(tmp_path: Path, content: object, message: str) -> None:
    path = tmp_path / ("frames.npz" if isinstance(content, dict) else "frames.npy")
    if isinstance(content, np.ndarray):
        np.save(path, content, allow_pickle=True)
    elif isinstance(content, dict):
        np.savez(path, **content)
    elif isinstance(content, bytes):
        path.write_bytes(content)
    with pytest.raises(DataError, match=message):
        load_frames(path, SIGNATURE)


@pytest.mark.parametrize("arrays", [{"frames": FRAMES, "labels": np.ones(8)}, {"any": FRAMES}])
def test_archives_of_frames(tmp_path: Path, arrays: dict) -> None:
    np.savez_compressed(tmp_path / "f.npz", **arrays)
    np.testing.assert_array_equal(load_frames(tmp_path / "f.npz", SIGNATURE), FRAMES)


@pytest.mark.parametrize("text", ["a\nb", "a\nb\nb", "a\n\nc", "a\nb\nc\nd"])
def test_names(tmp_path: Path, text: str) -> None:
    path = tmp_path / "names.txt"
    path.write_text(text)
    with pytest.raises(DataError, match=r"names.txt: got \d lines, .*each of 3 sequence"):
        load_names(path, 3)
    path.write_text("a\nb c\nd\n")
    assert load_names(path, 3) == ["a", "b c", "d"]
    assert load_names(None, 3) == ["0", "1", "2"]
    path.unlink()
    with pytest.raises(DataError, match="no names can be read"):
        load_names(path, 3)


def test_responses_are_matched_to_what_was_sent(tmp_path: Path) -> None:
    sent = Sent("a" * 64, ["x", "y"], ["Ada", "Ben"], [0.0, 1.5], [0.0, 0.25])
    write_sent(sent, tmp_path / "sent")
    assert find_sent(tmp_path / "sent", "a" * 64, ["x", "y"], "r") == sent
    with pytest.raises(WireError, match="r: its ids are not those of request aaaaaaaaaaaa"):
        find_sent(tmp_path / "sent", "a" * 64, ["y", "x"], "r")
    with pytest.raises(WireError, match="r: answers request bbbbbbbbbbbb, which is not among"):
        find_sent(tmp_path / "sent", "b" * 64, ["x", "y"], "r")
