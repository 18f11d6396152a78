"""What the client's commands do: make keys, encrypt files of frames, decrypt responses."""

from __future__ import annotations

import argparse
import csv
import getpass
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from tqdm import tqdm

from heclstm_lib.batch.folder import REQUEST, RESPONSE
from heclstm_lib.batch.report import SOME_FAILED
from heclstm_lib.errors import ConfigError, HeclstmError, SecretError, WireError
from heclstm_lib.files import replacing
from heclstm_lib.he.client import Client, random_ids
from heclstm_lib.he.flooding import flood_decrypted
from heclstm_lib.he.input_range import check_range
from heclstm_lib.he.keys import SecretKeys
from heclstm_lib.he.packing import Vector
from heclstm_lib.he.secret_bundle import PRIVATE, is_locked, load_secret, write_secret
from heclstm_lib.he.sent import Sent, find_sent, write_sent
from heclstm_lib.he.sequence_files import load_frames, load_names, normalise
from heclstm_lib.he.signature import Signature
from heclstm_lib.he.store import load_signature
from heclstm_lib.he.wire import message_checksum
from heclstm_lib.storage import (
    Location,
    find_size,
    is_url,
    join,
    list_names,
    local_copy,
    local_path,
    make_location,
    outgoing,
)

Row = dict[str, object]


def run_keygen(args: argparse.Namespace) -> int:
    """Make a client's keys: the secret bundle stays, the public bundle goes to the server."""
    signature = _read_signature(args.signature)
    if is_url(args.public):
        find_size(make_location(args.public))  # else keys would be made that nobody gets
    if args.secret.exists() and not args.force:
        raise SecretError(
            f"{args.secret} exists; without its key no result made for it can be read. Name "
            "another file (--secret), or replace it with --force."
        )
    passphrase = _new_passphrase(args)
    keys = SecretKeys(signature.params)
    private = write_secret(keys, args.secret, passphrase)
    with tqdm(total=2 + len(signature.rotations), desc="keys", unit="key") as bar:
        client = Client(signature, keys)
        with outgoing(args.public) as path:
            public = client.write_public_bundle(path, bar.update)
    lock = "locked with the passphrase" if passphrase else "not locked with a passphrase"
    print(f"{args.secret}: {private} bytes, permissions 0600, {lock}. Never copy it to a server.")
    print(f"{args.public}: {public} bytes, for the server.")
    return 0


def run_encrypt(args: argparse.Namespace) -> int:
    """Encrypt a file of frames into as many request files as the plan's batches need."""
    if is_url(args.out):
        list_names(make_location(args.out))  # does the store answer?
    client = _open_client(args)
    signature = client.signature
    frames = load_frames(args.frames, signature)
    names = load_names(args.ids, len(frames))
    size = signature.layout.sequences
    starts = range(0, len(frames), size)
    total, written = len(starts) * signature.inputs.count, 0
    with tqdm(total=total, desc="encrypting", unit="ciphertext") as bar:
        for number, start in enumerate(starts):
            part = slice(start, start + size)
            batch = np.asarray(frames[part], dtype=np.float64)
            if args.raw:
                batch = normalise(batch, signature)
            written += _encrypt_one(client, batch, names[part], number, args, bar)
    print(f"{args.out}: {len(starts)} request(s), {written} bytes, for the server.")
    print(f"{_sent(args)}: what they answer to; keep it here.")
    return 0


def _encrypt_one(
    client: Client, frames: Vector, names: list[str], number: int, args: argparse.Namespace,
    bar: tqdm,
) -> int:  # fmt: skip
    """One request, visible under its name only when what was sent is kept; its size in bytes."""
    ids = random_ids(len(frames))
    with outgoing(join(str(args.out), f"{number:05d}-{ids[0][:8]}{REQUEST}")) as hidden:
        size = client.encrypt_batch(frames, hidden, ids, bar.update, names)
        check = check_range(client.signature, frames)
        found = (None, None) if check is None else (check.distance, check.fraction)
        kept = [None if one is None else one.tolist() for one in found]
        write_sent(Sent(message_checksum(hidden), ids, names, *kept), _sent(args))
    return size


def run_decrypt(args: argparse.Namespace) -> int:
    """Decrypt a folder of responses into one table; exit code 3 when some could not be."""
    if args.share and not args.share_error:
        raise ConfigError("--share needs --share-error, the encryption's error of a score.")
    client = _open_client(args)
    found = _find_responses(args.responses)
    if not found:
        raise WireError(f"{args.responses}: no file *.response there. Is this the right folder?")
    rows: list[Row] = []
    failures: list[str] = []
    for location in tqdm(found, desc="decrypting", unit="response"):
        try:
            with tempfile.TemporaryDirectory() as folder:
                path = local_copy(location, Path(folder))
                rows += _decrypt_one(client, path, _sent(args))
        except HeclstmError as error:
            failures.append(str(error))
    if rows:
        _write_table(rows, args.out)
        if args.share:
            _write_shared(rows, args)
        outside = sum(bool(row["outside"]) for row in rows)
        print(f"{args.out}: {len(rows)} sequence(s), {outside} outside the calibrated range.")
    else:
        print(f"{args.out}: not written, no response could be decrypted.")
    for failure in failures:
        print(f"failed: {failure}", file=sys.stderr)
    return SOME_FAILED if failures else 0


def _find_responses(text: str) -> list[Location]:
    """The responses of a folder, by name."""
    folder = make_location(text)
    local = local_path(folder)
    if local is None:
        names = list_names(folder)
    else:
        names = sorted(path.name for path in local.iterdir()) if local.is_dir() else []
    return [
        join(folder, one) for one in names if one.endswith(RESPONSE) and not one.startswith(".")
    ]


def _decrypt_one(client: Client, path: Path, sent_folder: Path) -> list[Row]:
    request, ids = client.read_response(path)
    sent = find_sent(sent_folder, request, ids, path.name)
    outputs = client.decrypt_outputs(path)
    single = outputs.shape[1] == 1
    rows: list[Row] = []
    for number, name in enumerate(sent.names):
        scores = {"score" if single else f"output_{k}": v for k, v in enumerate(outputs[number])}
        reach = {
            "outside": "" if sent.distance is None else sent.distance[number],
            "outside_fraction": "" if sent.fraction is None else sent.fraction[number],
        }
        rows.append({"name": name} | scores | reach | {"id": ids[number]})
    return rows


def _write_shared(rows: Sequence[Row], args: argparse.Namespace) -> None:
    """The scores with the noise that lets others see them (`he.flooding`)."""
    columns = [key for key in rows[0] if key.startswith(("score", "output_"))]
    values = np.array([[row[key] for key in columns] for row in rows], dtype=np.float64)
    shared, sigma = flood_decrypted(values, args.share_error, args.share_bits, args.share_queries)
    table: list[Row] = [
        {"name": row["name"]} | dict(zip(columns, numbers, strict=True))
        for row, numbers in zip(rows, shared.tolist(), strict=True)
    ]
    _write_table(table, args.share, 0o644)
    print(f"{args.share}: scores to share, with noise of standard deviation {sigma:.3g}.")


def _write_table(rows: Sequence[Row], path: Path, mode: int = PRIVATE) -> None:
    """A CSV file for the client alone: decrypted values must not leave it."""
    with replacing(path, mode) as part, part.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, rows[0].keys())
        writer.writeheader()
        writer.writerows(rows)


def _open_client(args: argparse.Namespace) -> Client:
    signature = _read_signature(args.signature)
    passphrase = _passphrase(args) if is_locked(args.secret) else None
    return Client(signature, load_secret(args.secret, signature, passphrase))


def _read_signature(text: str) -> Signature:
    with tempfile.TemporaryDirectory() as folder:
        return load_signature(local_copy(make_location(text), Path(folder)))


def _sent(args: argparse.Namespace) -> Path:
    return Path(args.sent or args.secret.with_name("sent"))


def _new_passphrase(args: argparse.Namespace) -> str | None:
    if args.passphrase_file:
        return _read_passphrase(args.passphrase_file)
    if not args.passphrase:
        return None
    first = getpass.getpass("passphrase for the new secret bundle: ")
    if getpass.getpass("again: ") != first:
        raise SecretError("the two passphrases differ; nothing was written. Try again.")
    return first


def _passphrase(args: argparse.Namespace) -> str | None:
    if args.passphrase_file:
        return _read_passphrase(args.passphrase_file)
    return getpass.getpass(f"passphrase of {args.secret}: ") if sys.stdin.isatty() else None


def _read_passphrase(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").rstrip("\r\n")
    except (OSError, ValueError):
        raise SecretError(f"{path}: no passphrase can be read there.") from None
