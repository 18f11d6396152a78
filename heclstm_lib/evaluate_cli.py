"""`heclstm evaluate`: request files into response files, here or on a Dask cluster."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any, TypeAlias

from tqdm import tqdm

from heclstm_lib.batch.command import run_batch
from heclstm_lib.batch.report import BatchReport
from heclstm_lib.cluster.command import Places, run_on_dask, run_on_processes
from heclstm_lib.errors import ConfigError
from heclstm_lib.he.wire import refuse_secret
from heclstm_lib.storage import is_url, list_names

Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"

DASHBOARD = "127.0.0.1:8787"
"""Seen from this machine only: a dashboard shows names and asks nobody who he is."""

EVALUATE = """examples:
  heclstm evaluate requests --plan plan.npz --public public.bundle --out responses
  heclstm evaluate requests --plan plan.npz --public public.bundle --workers 4 --memory-mb 6000
  heclstm evaluate requests --plan plan.npz --executor dask --workers 2      to try Dask here
  heclstm evaluate s3://ward/requests --plan s3://ward/plan.npz --public s3://ward/public.bundle \\
      --out s3://ward/responses --scheduler tls://scheduler:8786             docs/cluster.md

where it runs:
  --executor processes   (default) worker processes of this command. --memory-mb is the address
                         space of each; what needs more fails. Default: no limit.
  --executor dask        a Dask scheduler and --workers worker processes on this machine, which end
                         with the command. --memory-mb is each one's limit, which Dask enforces;
                         three quarters of it are for evaluations. Default: its share of what this
                         machine has. --dashboard shows tasks and workers in a browser.
  --scheduler ADDRESS    the Dask cluster of a scheduler that runs already. How many workers it has
                         and their memory is said where they are started (dask worker --nworkers,
                         --memory-limit, --resources memory_MB=...); --workers, --memory-mb and
                         --dashboard are refused. If the scheduler is lost, the command waits ten
                         minutes for it to come back.

A run that was stopped goes on where it was: finished responses are kept. Exit code: 0 when every
request has its response, 3 when some failed (they are listed), 2 when nothing could be done or
the scheduler stayed lost.
"""


def add_evaluate_parser(commands: Commands) -> None:
    """Register `heclstm evaluate`."""
    parser = commands.add_parser(
        "evaluate",
        help="server: evaluate request files, encrypted",
        description="Server: evaluate request files, encrypted.",
        epilog=EVALUATE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("requests", metavar="REQUESTS", help="folder or URL of *.request")
    parser.add_argument("--plan", required=True, help="the model's plan (.npz), path or URL")
    parser.add_argument(
        "--public", default="public.bundle", help="path or URL (default: public.bundle)"
    )
    parser.add_argument("--out", default="responses", help="folder or URL (default: responses)")
    _add_where(parser)
    parser.add_argument(
        "--flood-bits",
        type=flood_bits,
        default=0,
        metavar="BITS",
        help="hide the model in the results: 0 (default) adds a fresh encryption of zero, more "
        "also noise of so many bits, at the cost of precision; off: neither (docs/security.md)",
    )
    parser.set_defaults(run=run_evaluate)


def _add_where(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--workers", type=int, help="processes to start here (default: 1)")
    parser.add_argument("--memory-mb", type=int, help="of each of these processes, at most")
    parser.add_argument(
        "--executor", choices=("processes", "dask"), help="default: processes on this machine"
    )
    parser.add_argument(
        "--scheduler", metavar="ADDRESS", help="of a Dask cluster, e.g. tcp://host:8786"
    )
    parser.add_argument(
        "--dashboard",
        nargs="?",
        const=DASHBOARD,
        metavar="HOST:PORT",
        help=f"of --executor dask, a page for a browser (default: none; {DASHBOARD} without value)",
    )


def flood_bits(text: str) -> int | None:
    """The value of --flood-bits: a number, None for "off"."""
    if text == "off":
        return None
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"expected a number of bits or off, got {text!r}.")
    return int(text)


def run_evaluate(args: argparse.Namespace) -> int:
    """Evaluate a folder of requests; refuses to start where a secret bundle lies."""
    _check_where(args)
    texts = (args.plan, args.public, args.requests, args.out)
    plain = not (args.scheduler or args.executor == "dask" or any(map(is_url, texts)))
    evaluate = _evaluate_files if plain else _evaluate_places
    with tqdm(desc="evaluating", unit="request") as bar:
        report = evaluate(args, bar)
    print(report.text())
    return report.exit_code


def _check_where(args: argparse.Namespace) -> None:
    """Raise ConfigError for options that do not go together or numbers below 1."""
    given = {
        f"--{name.replace('_', '-')}": getattr(args, name)
        for name in ("workers", "memory_mb", "dashboard")
        if getattr(args, name) is not None
    }
    for name, value in given.items():
        if isinstance(value, int) and value < 1:
            raise ConfigError(f"{name}: expected at least 1, got {value}.")
    if args.scheduler and args.executor == "processes":
        raise ConfigError("--scheduler is for --executor dask.")
    if args.scheduler and given:
        raise ConfigError(
            f"{', '.join(given)}: not with --scheduler, whose workers run already. Leave it out, "
            "and say so where they are started: dask worker --nworkers, --memory-limit, "
            "--resources; dask scheduler --dashboard-address (docs/cluster.md)."
        )
    if args.dashboard is not None:
        if args.executor != "dask":
            raise ConfigError("--dashboard is for --executor dask; processes have none.")
        if not args.dashboard.rpartition(":")[2].isdecimal():
            raise ConfigError(f"--dashboard: expected HOST:PORT or :PORT, got {args.dashboard}.")


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
        plan, public, requests, out, args.workers or 1, memory,
        flood_bits=args.flood_bits, on_result=lambda _result: bar.update(),
    )  # fmt: skip


def _evaluate_places(args: argparse.Namespace, bar: tqdm) -> BatchReport:
    """A batch whose files lie in a store, or whose workers are Dask's."""
    places = Places.of(args.plan, args.public, args.requests, args.out)
    bar.total = sum(name.endswith(".request") for name in list_names(places.requests))
    shared: dict[str, Any] = {
        "workers": args.workers or 1, "memory_mb": args.memory_mb, "flood_bits": args.flood_bits,
        "on_result": lambda _result: bar.update(),
    }  # fmt: skip
    if args.scheduler or args.executor == "dask":
        return run_on_dask(places, args.scheduler, dashboard=args.dashboard, **shared)
    return run_on_processes(places, **shared)
