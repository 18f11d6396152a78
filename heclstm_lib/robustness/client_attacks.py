"""What a clumsy or hostile client may send to the service, and what it must get for it."""

from __future__ import annotations

import json
import socket
import struct
import time
from collections.abc import Iterator

import numpy as np
import pyarrow

from heclstm_lib.he.keys import SecretKeys
from heclstm_lib.he.params import CkksParameters
from heclstm_lib.he.seal import api, from_bytes, load_context, to_bytes
from heclstm_lib.he.secret_bundle import write_secret
from heclstm_lib.he.wire import MAGIC
from heclstm_lib.robustness.client_target import (
    PATIENCE_S,
    Answer,
    Target,
    first_changed,
    sealed,
    split_message,
)
from heclstm_lib.service.sizes import input_sizes, request_sizes

Random = np.random.Generator
IDLE_S = 6
"""Seconds the attacked service lets a body stand: 50 clients in one process pause for over 1."""
SLOW_S = IDLE_S + 1.0


def no_token(target: Target, rng: Random) -> Answer:
    """A wrong token, at any address."""
    paths = ("plan", "jobs", f"jobs/{target.job}", f"jobs/{target.job}/result", "bundles")
    return target.ask("GET", paths[rng.integers(len(paths))], token=rng.bytes(16).hex())


def of_another(target: Target, rng: Random) -> Answer:
    """Another hospital's job or bundle."""
    kind = int(rng.integers(4))
    method, path = [
        ("GET", f"jobs/{target.job}"),
        ("GET", f"jobs/{target.job}/result"),
        ("DELETE", f"bundles/{target.bundle}"),
        ("POST", f"bundles/{target.bundle}/sequences"),
    ][kind]
    return target.ask(method, path, token=target.other_token)


def unknown(target: Target, rng: Random) -> Answer:
    """A bundle that does not exist, or a name that is none."""
    names = (rng.bytes(32).hex(), "..%2f..%2fservice.json", "%00", "x" * 3000)
    return target.ask("POST", f"bundles/{names[rng.integers(4)]}/sequences", content=b"x")


def cut(target: Target, rng: Random) -> Answer:
    """A request that ends early."""
    data = target.request.read_bytes()
    return target.submit(data[: rng.integers(len(data))])


def garbage(target: Target, rng: Random) -> Answer:
    """Random bytes of a right size, half of them after a right beginning."""
    data = rng.bytes(target.request.stat().st_size)
    return target.submit(data if rng.integers(2) else MAGIC + data[len(MAGIC) :])


def bit_flip(target: Target, rng: Random) -> Answer:
    """One bit of a good request flipped on the way."""
    data = bytearray(target.request.read_bytes())
    data[rng.integers(len(data))] ^= 1 << int(rng.integers(8))
    return target.submit(bytes(data))


def oversize(target: Target, rng: Random) -> Answer:
    """A body larger than any request, announced or not."""
    size = request_sizes(target.plan).most + 1 + int(rng.integers(1 << 20))
    blocks = (bytes(1 << 16) for _ in range(size // (1 << 16) + 1))
    return target.submit(bytes(size) if rng.integers(2) else blocks)


def slow(target: Target, rng: Random) -> Answer:
    """A body that stops in the middle."""

    def blocks() -> Iterator[bytes]:
        yield target.request.read_bytes()[: rng.integers(1, 1 << 16)]
        time.sleep(SLOW_S)
        yield b"x"

    return target.submit(blocks())


def wrong_level(target: Target, _rng: Random) -> Answer:
    """A ciphertext one level down."""
    return target.forge(first_changed(lambda data: _reworked(target, data, drop=True)))


def wrong_scale(target: Target, _rng: Random) -> Answer:
    """A ciphertext that claims twice the scale."""
    return target.forge(first_changed(lambda data: _reworked(target, data, factor=2.0)))


def _reworked(target: Target, data: bytes, drop: bool = False, factor: float = 1.0) -> bytes:
    context = load_context(target.plan.params)
    ciphertext = from_bytes("Ciphertext", data, context)
    ciphertext.scale *= factor
    if drop:
        lower = api.Ciphertext()
        api.Evaluator(context.seal).mod_switch_to_next(ciphertext, lower)
        ciphertext = lower
    return to_bytes(ciphertext)


def wrong_parameters(target: Target, _rng: Random) -> Answer:
    """Ciphertexts of other primes under this plan's header."""
    params = target.plan.params
    other = CkksParameters(
        params.poly_degree, params.levels, params.scale_bits, params.first_bits - 1,
        params.special_bits - 1,
    )  # fmt: skip
    keys = SecretKeys(other)
    return target.forge(lambda chunks: [keys.encrypt(np.zeros(other.slots)) for _ in chunks])


def another_plan(target: Target, rng: Random) -> Answer:
    """A request for another plan."""
    return target.forge(lambda chunks: chunks, plan=rng.bytes(32).hex())


def strange_header(target: Target, rng: Random) -> Answer:
    """A header field of another type or value."""
    found, chunks = split_message(target.request)
    field = sorted(found)[rng.integers(len(found))]
    values: list[object] = [None, -1, 1 << 70, "x", [], {}, [[[]]], True, 1e308, "\u202e" * 50]
    found[field] = values[rng.integers(len(values))]
    return target.submit(sealed(json.dumps(found).encode(), chunks))


def bomb(target: Target, rng: Random) -> Answer:
    """A ciphertext of allowed size that inflates to 128 MB."""
    content = rng.bytes(input_sizes(target.plan).least + 1000) + bytes(128 << 20)
    packed = bytes(pyarrow.Codec("zstd").compress(content, asbytes=True))
    data = struct.pack("<HBBBBHQ", 0xA15E, 16, 4, 1, 2, 0, 16 + len(packed)) + packed
    return target.forge(first_changed(lambda _: data))


def damaged_ciphertext(target: Target, rng: Random) -> Answer:
    """Bytes inside a ciphertext overwritten, the checksum made right again."""

    def change(data: bytes) -> bytes:
        start = int(rng.integers(16, len(data) - 16))
        return data[:start] + rng.bytes(16) + data[start + 16 :]

    return target.forge(first_changed(change))


def secret_bundle(target: Target, _rng: Random) -> Answer:
    """The secret bundle by mistake."""
    path = target.workdir / "secret.bundle"
    write_secret(SecretKeys(target.plan.params), path)
    data = path.read_bytes().ljust(target.request.stat().st_size, b"x")
    path.unlink()
    return target.submit(data)


def replay(target: Target, _rng: Random) -> Answer:
    """The good request once more."""
    return target.submit(target.request.read_bytes())


def no_http(target: Target, rng: Random) -> Answer:
    """Bytes that are no HTTP, or a request whose head never ends."""
    port = int(target.url.rsplit(":", 1)[1])
    with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_S) as link:
        link.sendall(
            rng.bytes(2000) if rng.integers(2) else b"GET / HTTP/1.1\r\nA: " + b"x" * 99999
        )
        link.shutdown(socket.SHUT_WR)
        return 400 if b" 400 " in (text := link.recv(4096)) or not text else 0, repr(text[:80])
