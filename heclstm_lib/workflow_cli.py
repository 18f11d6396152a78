"""`heclstm papermill`, `render`, `collect`: the steps of the Snakemake workflow (`workflow/`)."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import Any

from heclstm_lib.collect import collect_study
from heclstm_lib.papermill_command import run_papermill
from heclstm_lib.report import render_notebook


def add_workflow_parsers(commands: Any) -> None:
    """Add the workflow's commands to the command line."""
    papermill = commands.add_parser(
        "papermill",
        help="papermill's command line; unknown parameters are errors, failures are kept",
    )
    papermill.add_argument(
        "arguments",
        nargs=argparse.REMAINDER,
        metavar="NOTEBOOK OUTPUT [OPTIONS]",
        help="as for papermill, the options last",
    )
    papermill.set_defaults(run=run_papermill_command)
    render = commands.add_parser(
        "render", help="render one executed notebook, with and without code"
    )
    render.add_argument("notebook", type=Path, help="the executed notebook")
    render.add_argument("--home", default="index.html", help="relative address of the index")
    render.set_defaults(run=run_render_command)
    collect = commands.add_parser(
        "collect", help="write a study's record and index from its executed notebooks"
    )
    collect.add_argument("out", type=Path, help="the study's folder")
    collect.add_argument("--profile", required=True, help="its profile: a name or a .yml file")
    collect.add_argument("--data", type=Path, help="the folder of data it was given")
    collect.add_argument("--dataset", action="append", default=[], metavar="NAME")
    collect.add_argument(
        "--current", action="store_true", help="all are of the present source, profile and library"
    )
    collect.set_defaults(run=run_collect_command)


def run_papermill_command(args: argparse.Namespace) -> int:
    """`heclstm papermill NOTEBOOK OUTPUT ...`."""
    return run_papermill(args.arguments)


def run_render_command(args: argparse.Namespace) -> int:
    """`heclstm render`: the pages lie beside the notebook."""
    name = args.notebook.stem.removesuffix(".failed")
    plain, _ = render_notebook(args.notebook, args.notebook.parent, name, args.home)
    print(os.path.relpath(plain))
    return 0


def run_collect_command(args: argparse.Namespace) -> int:
    """`heclstm collect`: ends with the path of the index."""
    index = collect_study(
        args.profile, args.out, args.data, datasets=args.dataset, current=args.current
    )
    print(f"Reports: {os.path.relpath(index)}")
    return 0
