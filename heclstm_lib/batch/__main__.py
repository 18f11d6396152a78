"""`python -m heclstm_lib.batch`: evaluate a folder with as few imports as can be."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from heclstm_lib.batch.command import run_batch
from heclstm_lib.batch.run import PATIENCE_S
from heclstm_lib.batch.task import Result
from heclstm_lib.errors import HeclstmError


def main() -> int:
    """Parse the arguments and evaluate; exit code 0, 3 when some failed, 2 for an error."""
    parser = argparse.ArgumentParser(prog="python -m heclstm_lib.batch")
    for name in ("plan", "bundle", "requests", "responses"):
        parser.add_argument(name, type=Path)
    parser.add_argument("--workers", type=int, default=1, help="processes (default: 1)")
    parser.add_argument("--memory-mb", type=int, help="address space of a worker, at most")
    parser.add_argument("--patience-s", type=float, default=PATIENCE_S, help="for one request")
    args = parser.parse_args()
    memory_bytes = args.memory_mb << 20 if args.memory_mb else None
    folders = (args.plan, args.bundle, args.requests, args.responses)
    try:
        report = run_batch(
            *folders, args.workers, memory_bytes,
            patience_s=args.patience_s, on_result=lambda result: print(_line(result), flush=True),
        )  # fmt: skip
        print(report.text(), flush=True)
        return report.exit_code
    except HeclstmError as error:
        print(f"batch: {error}", file=sys.stderr)
        return 2


def _line(result: Result) -> str:
    took = f" in {result.seconds:.2f} s" if result.state == "evaluated" else ""
    return f"{result.name}: {result.state}{took}"


if __name__ == "__main__":
    sys.exit(main())
