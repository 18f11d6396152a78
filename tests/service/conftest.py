"""A hospital and a running service, made once."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest
from networks import make_network
from services import Hospital, make_service

from heclstm_lib.compiler.chain import choose_parameters
from heclstm_lib.compiler.network import plan_network
from heclstm_lib.he.client import Client
from heclstm_lib.he.store import write_plan, write_signature
from heclstm_lib.robustness.service_process import ServiceProcess


@pytest.fixture(scope="session")
def hospital(tmp_path_factory: pytest.TempPathFactory) -> Hospital:
    network = make_network(frames=3, hidden=0, channels_out=4, kernel_size=3)
    plan = plan_network(network, choose_parameters(network, 8192), 8)
    folder = tmp_path_factory.mktemp("hospital")
    write_plan(plan, folder / "plan.npz")
    write_signature(plan.signature, folder / "signature.json")
    client = Client(plan.signature)
    client.write_public_bundle(folder / "public.bundle")
    return Hospital(network, plan, client, folder)


@pytest.fixture(scope="session")
def service(
    hospital: Hospital, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ServiceProcess]:
    running = make_service(hospital, tmp_path_factory.mktemp("service"))
    running.start()
    yield running
    assert running.stop() in (0, -signal.SIGTERM)
