"""`heclstm keygen | encrypt | evaluate | decrypt`: client and server as commands over files.

Client: signature.json, secret.bundle, sent/ (private). Server: plan.npz. What crosses, through
folders or an object store: public.bundle and requests/ one way, responses/ the other.
`python -m heclstm_lib.party_cli` has these four only, and starts in a second.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from heclstm_lib.client_commands import run_decrypt, run_encrypt, run_keygen
from heclstm_lib.dispatch import run_command
from heclstm_lib.evaluate_cli import Commands, add_evaluate_parser
from heclstm_lib.storage import is_url

KEYGEN = """examples:
  heclstm keygen --signature signature.json
  heclstm keygen --signature signature.json --passphrase       asks for one
  heclstm keygen --signature signature.json --secret keys/secret.bundle --public out/public.bundle
  heclstm keygen --signature s3://ward/signature.json --public s3://ward/public.bundle
"""
ENCRYPT = """examples:
  heclstm encrypt frames.npy --signature signature.json --secret secret.bundle --out requests
  heclstm encrypt frames.npy --signature signature.json --raw      frames in [0, 1]
  heclstm encrypt frames.npz --signature signature.json --ids names.txt --passphrase-file word.txt
  heclstm encrypt frames.npy --signature signature.json --out s3://ward/requests

FRAMES holds an array [n, T, C, H, W] of frames normalised as those of the training: n sequences of
T frames with C channels (numpy.save). Names stay here; the server sees random ids.
"""
DECRYPT = """examples:
  heclstm decrypt responses --signature signature.json --secret secret.bundle --out scores.csv
  heclstm decrypt responses --signature signature.json --share shared.csv --share-error 2e-7
  heclstm decrypt s3://ward/responses --signature signature.json

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
    add_evaluate_parser(commands)
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
        "--signature", required=True, help="the plan's signature.json of the server, path or URL"
    )
    parser.add_argument(
        "--secret", type=own_path, default=Path("secret.bundle"), help="default: secret.bundle"
    )
    parser.add_argument(
        "--passphrase-file", type=own_path, help="file that holds the secret's passphrase alone"
    )


def _add_sent(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--sent",
        type=own_path,
        help="private folder: what each request answers to (default: sent, beside the secret)",
    )


def _add_keygen(commands: Commands) -> None:
    parser = _add(commands, "keygen", "client: make a secret and a public bundle", KEYGEN)
    _add_client_arguments(parser)
    parser.add_argument(
        "--public", default="public.bundle", help="path or URL (default: public.bundle)"
    )
    parser.add_argument("--passphrase", action="store_true", help="ask for a passphrase")
    parser.add_argument("--force", action="store_true", help="replace an existing secret bundle")
    parser.set_defaults(run=run_keygen)


def _add_encrypt(commands: Commands) -> None:
    parser = _add(commands, "encrypt", "client: encrypt sequences into request files", ENCRYPT)
    parser.add_argument("frames", type=own_path, metavar="FRAMES", help=".npy or .npz file")
    _add_client_arguments(parser)
    parser.add_argument(
        "--raw", action="store_true", help="FRAMES are in [0, 1]: normalise them as in training"
    )
    parser.add_argument(
        "--ids", type=own_path, help="names of the sequences, one a line, kept here"
    )
    parser.add_argument("--out", default="requests", help="folder or URL (default: requests)")
    _add_sent(parser)
    parser.set_defaults(run=run_encrypt)


def _add_decrypt(commands: Commands) -> None:
    parser = _add(commands, "decrypt", "client: decrypt response files into a table", DECRYPT)
    parser.add_argument("responses", metavar="RESPONSES", help="folder or URL of *.response")
    _add_client_arguments(parser)
    parser.add_argument(
        "--out", type=own_path, default=Path("scores.csv"), help="table (default: scores.csv)"
    )
    parser.add_argument(
        "--share", type=own_path, help="also a table of scores with noise, to share"
    )
    parser.add_argument("--share-error", type=float, help="the encryption's error of a score")
    parser.add_argument("--share-bits", type=float, default=30.0, help="security (default: 30)")
    parser.add_argument(
        "--share-queries", type=int, default=1, help="results ever to be shared (default: 1)"
    )
    _add_sent(parser)
    parser.set_defaults(run=run_decrypt)


def own_path(text: str) -> Path:
    """A path on this machine, where everything stays that is secret or tells who somebody is."""
    if is_url(text):
        raise argparse.ArgumentTypeError(
            f"expected a path on this machine, got {text}: keys, names, frames and scores stay "
            "here. URLs are for --signature, --public, requests and responses."
        )
    return Path(text)


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point of the four commands alone; returns the exit code."""
    parser = argparse.ArgumentParser(prog="heclstm", description=__doc__)
    add_party_parsers(parser.add_subparsers(dest="command", required=True, metavar="COMMAND"))
    return run_command(parser.parse_args(arguments), "heclstm")


if __name__ == "__main__":
    sys.exit(main())
