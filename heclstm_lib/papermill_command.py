"""papermill's own command line, as strict and as private as the study's runner."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
import nbformat
from nbclient.exceptions import DeadKernelError
from papermill.cli import papermill
from papermill.engines import NBClientEngine, papermill_engines
from traitlets.config import Config

from heclstm_lib.errors import ConfigError
from heclstm_lib.runner import check_parameters, keeping, kernel_config, kernel_environment

ENGINE = "heclstm"
DEAD_KERNEL = 138  # papermill's exit code


class StudyEngine(NBClientEngine):
    """papermill's engine with our kernel's sockets; a parameter nobody knows ends it at once."""

    config = Config()

    @classmethod
    def execute_notebook(cls, nb: nbformat.NotebookNode, kernel_name: str, **options: Any) -> Any:
        """Check the parameters, which papermill only warns about, then execute."""
        given = nb.metadata.papermill.get("parameters", {})
        check_parameters(Path(options["input_path"]).name, nb, given)
        return super().execute_notebook(nb, kernel_name, config=cls.config, **options)


def run_papermill(arguments: Sequence[str]) -> int:
    """Run papermill with its own arguments, NOTEBOOK and OUTPUT among them; returns the exit code.

    OUTPUT appears when the notebook has run to its end; a failed one is kept beside it as
    `<OUTPUT's stem>.failed.ipynb` (ReportError). ConfigError for arguments that papermill does not
    know and for parameters that the notebook does not have.
    """
    try:
        context = papermill.make_context("papermill", list(arguments))
    except click.exceptions.Exit as end:  # --help, --version
        return int(end.exit_code)
    except click.ClickException as error:
        raise ConfigError(f"papermill: {error.format_message()}") from error
    source, output = context.params["notebook_path"], context.params["output_path"]
    if not source or not output:
        raise ConfigError("papermill: give a notebook and the path of the executed one.")
    with kernel_environment() as scratch, keeping(Path(source).name, Path(output)) as part:
        StudyEngine.config = kernel_config(scratch)
        papermill_engines.register(ENGINE, StudyEngine)
        context.params |= {"output_path": str(part), "engine": ENGINE}
        try:
            papermill.invoke(context)
        except SystemExit as end:
            if end.code == DEAD_KERNEL:
                raise DeadKernelError("Kernel died") from end
            raise
    return 0
