"""How every command ends: its exit code, one message for an error on purpose, no traceback."""

from __future__ import annotations

import argparse
import os
import sys

from heclstm_lib.errors import HeclstmError


def run_command(args: argparse.Namespace, prog: str) -> int:
    """Run `args.run(args)`; the exit code is its own, 2 for an error on purpose, 130 for Ctrl-C.

    With `args.debug` an error is raised. A reader that closes the pipe early (`| head`) ends the
    command quietly with 141, as SIGPIPE would.
    """
    try:
        code = int(args.run(args) or 0)
        sys.stdout.flush()  # a closed pipe is to show here, not at the interpreter's exit
        return code
    except HeclstmError as error:
        if getattr(args, "debug", False):
            raise
        print(f"{prog} {args.command}: {error}", file=sys.stderr)
        return 2
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except KeyboardInterrupt:
        again = f"; {prog} {args.command} --resume goes on from here" if "resume" in args else ""
        print(f"\nstopped{again}.", file=sys.stderr)
        return 130
