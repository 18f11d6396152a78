"""Noise of another key is told by its magnitude."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest
from networks import make_frames, make_network
from parties import make_parties

from heclstm_lib.errors import ImplausibleWarning
from heclstm_lib.he.client import Client
from heclstm_lib.he.plausible import warn_implausible


def test_another_key_is_noticed(tmp_path: Path) -> None:
    network = make_network(frames=2, hidden=0, channels_out=2, kernel_size=3)
    parties = make_parties(network, 8192, 8, tmp_path)
    stranger = Client(parties.plan.signature)
    frames = make_frames(network, 8)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        parties.scores(frames)
    stranger.encrypt_batch(frames, tmp_path / "request")
    parties.server.evaluate(tmp_path / "request", tmp_path / "response")
    for reader in (stranger, parties.client):  # each misses 8 outputs with chance 8^-8 at most
        with pytest.warns(ImplausibleWarning, match=r"of 8 sequence.*most likely noise. Were the"):
            reader.decrypt_scores(tmp_path / "response")


@pytest.mark.parametrize(("value", "found"), [(64.0, 0), (-64.5, 1), (np.nan, 1), (np.inf, 1)])
def test_the_limit_is_inside(value: float, found: int) -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        warn_implausible(np.array([[0.0, value], [1.0, 2.0]]), 64.0)
    assert len(caught) == found
