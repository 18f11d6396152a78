"""`heclstm serve`: the evaluation over HTTP, and tokens for the hospitals that may use it."""

from __future__ import annotations

import argparse
import os
import sys

from heclstm_lib.errors import ServiceError
from heclstm_lib.service.options import add_arguments, from_arguments
from heclstm_lib.service.tokens import add_token

EXAMPLES = """examples:
  heclstm serve --tokens tokens.txt --new-token st-mary      prints the token, once
  heclstm serve --tokens tokens.txt --plan plan.npz --state /var/lib/heclstm
  HECLSTM_TOKENS=st-mary:HASH heclstm serve --plan plan.npz --workers 2 --memory-mb 12000

TLS is the reverse proxy's: see docs/service.md.
"""


def add_serve_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Register `heclstm serve`."""
    parser = subparsers.add_parser(
        "serve",
        help="serve the encrypted evaluation over HTTP",
        description="Take public bundles and requests of hospitals, evaluate them in worker "
        "processes, hand out the responses. Needs a plan and tokens; holds no secret.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_arguments(parser)
    parser.add_argument("--new-token", metavar="NAME", help="make a hospital's token, then end")
    parser.set_defaults(run=run_serve)


def run_serve(args: argparse.Namespace) -> int:
    """Make a token, or become the service's process; returns only in the first case."""
    options = from_arguments(args)
    if args.new_token is not None:
        if options.tokens is None:
            raise ServiceError("--new-token: say in which file to keep its hash: --tokens FILE.")
        print(add_token(options.tokens, args.new_token))
        return 0
    sys.stdout.flush()
    command = [sys.executable, "-m", "heclstm_lib.service", *options.arguments()]
    os.execv(sys.executable, command)  # a process that never loaded the client's side
    return 0
