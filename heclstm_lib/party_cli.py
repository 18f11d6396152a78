"""`heclstm keygen | encrypt | evaluate | decrypt`: client and server as commands over files.

Client: signature.json, secret.bundle, sent/ (private). Server: plan.npz. What crosses:
public.bundle and requests/ one way, responses/ the other. `python -m heclstm_lib.party_cli` has
these four only, and starts in a second.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeAlias

from tqdm import tqdm

from heclstm_lib.batch.command import run_batch
from heclstm_lib.batch.report import BatchReport
from heclstm_lib.client_commands import run_decrypt, run_encrypt, run_keygen
from heclstm_lib.cluster.command import Places, run_on_dask, run_on_processes
from heclstm_lib.dispatch import run_command
from heclstm_lib.errors import ConfigError
from heclstm_lib.he.wire import refuse_secret
from heclstm_lib.storage import is_url, list_names

Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"

KEYGEN = """examples:
  heclstm keygen --signature signature.json
  heclstm keygen --signature signature.json --passphrase       asks for one
  heclstm keygen --signature signature.json --secret keys/secret.bundle --public out/public.bundle
"""
ENCRYPT = """examples:
  heclstm encrypt frames.npy --signature signature.json --secret secret.bundle --out requests
  heclstm encrypt frames.npy --signature signature.json --raw      frames in [0, 1]
  heclstm encrypt frames.npz --signature signature.json --ids names.txt --passphrase-file word.txt

FRAMES holds an array [n, T, C, H, W] of frames normalised as those of the training: n sequences of
T frames with C channels (numpy.save). Names stay here; the server sees random ids.
"""
EVALUATE = """examples:
  heclstm evaluate requests --plan plan.npz --public public.bundle --out responses
  heclstm evaluate requests --plan plan.npz --public public.bundle --workers 4 --memory-mb 6000
  heclstm evaluate requests --plan plan.npz --executor dask --workers 2      to try Dask here
  heclstm evaluate s3://ward/requests --plan s3://ward/plan.npz --public s3://ward/public.bundle \\
      --out s3://ward/responses --scheduler tls://scheduler:8786             docs/cluster.md

A run that was stopped goes on where it was: finished responses are kept. Exit code: 0 when every
request has its response, 3 when some failed (they are listed), 2 when nothing could be done or
the scheduler was lost.
"""
DECRYPT = """examples:
  heclstm decrypt responses --signature signature.json --secret secret.bundle --out scores.csv
  heclstm decrypt responses --signature signature.json --share shared.csv --share-error 2e-7

The table has a row a sequence: name, score, outside (how far its frames leave the range of values
the model was calibrated on, in standard deviations of the training frames; 0: inside),
outside_fraction (share of its values outside), id. Exit code 3: some responses were refused; they
are listed. Decrypted scores must not be published as they are (docs/security.md): --share writes a
second table with noise that hides the key, as much as the error of a score makes it need.
"""


def add_party_parsers(commands: Commands) -> None:
    """Register the four commands."""
    _add_keygen(commands)
    _add_encrypt(commands)
    _add_evaluate(commands)
    _add_decrypt(commands)


def _add(
    commands: Commands,
    name: str,
    summary: str,
    examples: str,
) -> argparse.ArgumentParser:
    return commands.add_parser(
        name,
        help=summary,
        description=f"{summary[0].upper()}{summary[1:]}.",
        epilog=examples,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


def _add_client_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--signature", type=Path, required=True, help="the plan's signature.json, from the server"
    )
    parser.add_argument(
        "--secret", type=Path, default=Path("secret.bundle"), help="default: secret.bundle"
    )
    parser.add_argument(
        "--passphrase-file", type=Path, help="file whose first line is the secret's passphrase"
    )


def _add_sent(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--sent",
        type=Path,
        help="private folder: what each request answers to (default: sent, beside the secret)",
    )


def _add_keygen(commands: Commands) -> None:
    parser = _add(commands, "keygen", "client: make a secret and a public bundle", KEYGEN)
    _add_client_arguments(parser)
    parser.add_argument(
        "--public", type=Path, default=Path("public.bundle"), help="default: public.bundle"
    )
    parser.add_argument("--passphrase", action="store_true", help="ask for a passphrase")
    parser.add_argument("--force", action="store_true", help="replace an existing secret bundle")
    parser.set_defaults(run=run_keygen)


def _add_encrypt(commands: Commands) -> None:
    parser = _add(commands, "encrypt", "client: encrypt sequences into request files", ENCRYPT)
    parser.add_argument("frames", type=Path, metavar="FRAMES", help=".npy or .npz file")
    _add_client_arguments(parser)
    parser.add_argument(
        "--raw", action="store_true", help="FRAMES are in [0, 1]: normalise them as in training"
    )
    parser.add_argument("--ids", type=Path, help="names of the sequences, one a line, kept here")
    parser.add_argument(
        "--out", type=Path, default=Path("requests"), help="folder (default: requests)"
    )
    _add_sent(parser)
    parser.set_defaults(run=run_encrypt)


def _add_evaluate(commands: Commands) -> None:
    parser = _add(commands, "evaluate", "server: evaluate request files, encrypted", EVALUATE)
    parser.add_argument("requests", metavar="REQUESTS", help="folder or URL of *.request")
    parser.add_argument("--plan", required=True, help="the model's plan (.npz), path or URL")
    parser.add_argument(
        "--public", default="public.bundle", help="path or URL (default: public.bundle)"
    )
    parser.add_argument("--out", default="responses", help="folder or URL (default: responses)")
    parser.add_argument("--workers", type=int, default=1, help="processes (default: 1)")
    parser.add_argument("--memory-mb", type=int, help="address space of a worker, at most")
    parser.add_argument(
        "--executor", choices=("processes", "dask"), help="default: processes on this machine"
    )
    parser.add_argument(
        "--scheduler", metavar="ADDRESS", help="of a Dask cluster, e.g. tcp://host:8786"
    )
    parser.add_argument(
        "--flood-bits",
        type=flood_bits,
        default=0,
        metavar="BITS",
        help="hide the model in the results: 0 (default) adds a fresh encryption of zero, more "
        "also noise of so many bits, at the cost of precision; off: neither (docs/security.md)",
    )
    parser.set_defaults(run=run_evaluate)


def _add_decrypt(commands: Commands) -> None:
    parser = _add(commands, "decrypt", "client: decrypt response files into a table", DECRYPT)
    parser.add_argument("responses", type=Path, metavar="RESPONSES", help="folder of *.response")
    _add_client_arguments(parser)
    parser.add_argument(
        "--out", type=Path, default=Path("scores.csv"), help="table (default: scores.csv)"
    )
    parser.add_argument("--share", type=Path, help="also a table of scores with noise, to share")
    parser.add_argument("--share-error", type=float, help="the encryption's error of a score")
    parser.add_argument("--share-bits", type=float, default=30.0, help="security (default: 30)")
    parser.add_argument(
        "--share-queries", type=int, default=1, help="results ever to be shared (default: 1)"
    )
    _add_sent(parser)
    parser.set_defaults(run=run_decrypt)


def flood_bits(text: str) -> int | None:
    """The value of --flood-bits: a number, None for "off"."""
    if text == "off":
        return None
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"expected a number of bits or off, got {text!r}.")
    return int(text)


def run_evaluate(args: argparse.Namespace) -> int:
    """Evaluate a folder of requests; refuses to start where a secret bundle lies."""
    for option in ("workers", "memory_mb"):
        value = getattr(args, option)
        if value is not None and value < 1:
            name = option.replace("_", "-")
            raise ConfigError(f"--{name}: expected at least 1, got {value}.")
    if args.scheduler and args.executor == "processes":
        raise ConfigError("--scheduler is for --executor dask.")
    texts = (args.plan, args.public, args.requests, args.out)
    plain = not (args.scheduler or args.executor == "dask" or any(map(is_url, texts)))
    evaluate = _evaluate_files if plain else _evaluate_places
    with tqdm(desc="evaluating", unit="request") as bar:
        report = evaluate(args, bar)
    print(report.text())
    return report.exit_code


def _evaluate_files(args: argparse.Namespace, bar: tqdm) -> BatchReport:
    """A batch of local files on local processes."""
    plan, public, requests, out = map(Path, (args.plan, args.public, args.requests, args.out))
    folder = sorted(requests.iterdir()) if requests.is_dir() else []
    for path in (plan, public, *folder):
        if path.is_file():
            refuse_secret(path)
    bar.total = sum(path.suffix == ".request" for path in folder)
    memory = args.memory_mb << 20 if args.memory_mb else None
    return run_batch(
        plan, public, requests, out, args.workers, memory,
        flood_bits=args.flood_bits, on_result=lambda _result: bar.update(),
    )  # fmt: skip


def _evaluate_places(args: argparse.Namespace, bar: tqdm) -> BatchReport:
    """A batch whose files lie in a store, or whose workers are Dask's."""
    places = Places.of(args.plan, args.public, args.requests, args.out)
    bar.total = sum(name.endswith(".request") for name in list_names(places.requests))
    shared: dict[str, Any] = {
        "workers": args.workers, "memory_mb": args.memory_mb, "flood_bits": args.flood_bits,
        "on_result": lambda _result: bar.update(),
    }  # fmt: skip
    if args.scheduler or args.executor == "dask":
        return run_on_dask(places, args.scheduler, **shared)
    return run_on_processes(places, **shared)


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point of the four commands alone; returns the exit code."""
    parser = argparse.ArgumentParser(prog="heclstm", description=__doc__)
    add_party_parsers(parser.add_subparsers(dest="command", required=True, metavar="COMMAND"))
    return run_command(parser.parse_args(arguments), "heclstm")


if __name__ == "__main__":
    sys.exit(main())
