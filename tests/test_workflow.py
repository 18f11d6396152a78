"""The Snakemake workflow: which jobs, what runs again and when, and one real run of smoke."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import yaml

from heclstm_lib.record import load_record

pytestmark = pytest.mark.skipif(not find_spec("snakemake"), reason="snakemake is not installed")

PARTS = ("heclstm_lib", "notebooks", "data_manifests", "workflow")
NOTEBOOKS = {
    "overview": "00_overview",
    "data_preparation": "01_data_preparation",
    "plaintext_training": "02_plaintext_training",
    "he_conversion": "03_he_conversion",
    "encrypted_evaluation": "04_encrypted_evaluation",
    "ablations": "05_ablations",
    "competing_methods": "06_competing_methods",
    "encrypted_competitors": "07_encrypted_competitors",
    "decisions": "08_decisions",
    "capacity": "09_capacity",
}
ROWS = ("no_voting", "no_lstm", "scale_30")
ALL = dict.fromkeys(NOTEBOOKS, 1) | {"ablation_row": 3, "render": 9, "render_overview": 1}
ALL |= {"study": 1, "all": 1}
LAST = {"study": 1, "all": 1}
PRETENDING = """#!/bin/sh
while read -r name; do
    [ -e "$name" ] || {{ mkdir -p "$(dirname "$name")"; : > "$name"; }}
done < {listed}
"""


class Checkout:
    """A copy of what the workflow needs, with a profile of its own that tests may change."""

    def __init__(self, root: Path, folder: Path) -> None:
        self.folder = folder
        ignored = shutil.ignore_patterns("__pycache__", ".ipynb_checkpoints")
        for part in PARTS:
            shutil.copytree(root / part, folder / part, ignore=ignored)
        self.profile = folder / "mine.yml"
        text = (root / "heclstm_lib" / "profiles" / "smoke.yml").read_text(encoding="utf-8")
        self.profile.write_text(text.replace("name: smoke", "name: mine"), encoding="utf-8")
        self.out = folder / "reports" / "mine"

    def snakemake(self, *options: str, config: tuple[str, ...] = (), fails: bool = False) -> str:
        """Everything it said; `fails` expects an exit code other than 0."""
        settings = ["--config", "profile=mine.yml", *config]
        command = [sys.executable, "-m", "snakemake", *settings, *options]
        if "--workflow-profile" not in options:
            command[3:3] = ["--cores", "2"]
        environment = os.environ | {"PYTHONPATH": str(self.folder)}
        done = subprocess.run(
            command, cwd=self.folder, env=environment, capture_output=True, text=True
        )
        said = done.stdout + done.stderr
        assert bool(done.returncode) == fails, said
        return said

    def jobs(self, *options: str) -> dict[str, int]:
        """Number of jobs of each rule that a dry run lists; empty when there is nothing to do."""
        return count_jobs(self.snakemake("--dry-run", *options))

    def pretend(self, plan: str) -> None:
        """Empty outputs in the place of real ones, recorded as made by the present workflow.

        Snakemake runs every job, with a shell that does nothing but write the files that are
        missing; `plan` is what a dry run before says, every output among it. (`--touch` is of no
        use: it records no checksums.)
        """
        listed = self.folder / "outputs.txt"
        outputs = re.findall(r"^ +output: (.+)$", plan, re.MULTILINE)
        listed.write_text("\n".join(outputs).replace(", ", "\n") + "\n", encoding="utf-8")
        shell = self.folder / "bash"
        shell.write_text(PRETENDING.format(listed=listed), encoding="utf-8")
        shell.chmod(0o755)
        self.snakemake("--default-resources", f"shell_exec='{shell}'")

    def change_notebook(self, name: str) -> None:
        path = self.folder / "notebooks" / f"{name}.ipynb"
        content = json.loads(path.read_text(encoding="utf-8"))
        content["cells"][0]["source"].append("\nchanged")
        path.write_text(json.dumps(content, indent=1), encoding="utf-8")

    def change_profile(self, **sections: Any) -> None:
        raw = yaml.safe_load(self.profile.read_text(encoding="utf-8"))
        for name, value in sections.items():
            study = raw["studies"][0]
            study[name] = study[name] | value if isinstance(value, dict) else value
        self.profile.write_text(yaml.safe_dump(raw), encoding="utf-8")

    def change_library(self, path: str, old: str, new: str) -> None:
        file = self.folder / "heclstm_lib" / path
        text = file.read_text(encoding="utf-8")
        assert old in text
        file.write_text(text.replace(old, new), encoding="utf-8")


def count_jobs(said: str) -> dict[str, int]:
    table = re.search(r"Job stats:\njob +count\n[- ]+\n(.*?)\ntotal", said, re.DOTALL)
    if table is None:
        assert "Nothing to be done" in said, said
        return {}
    rows = (line.split() for line in table.group(1).splitlines())
    return {name: int(count) for name, count in rows}


@pytest.fixture
def checkout(root: Path, tmp_path: Path) -> Checkout:
    return Checkout(root, tmp_path)


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> str:
    """What a dry run says before anything has run (a call takes seconds: made once)."""
    root = Path(__file__).resolve().parent.parent
    checkout = Checkout(root, tmp_path_factory.mktemp("plan"))
    said = checkout.snakemake("--dry-run", "--printshellcmds")
    assert not (checkout.out / "index.html").exists()
    return said


def again(*rules: str, **more: int) -> dict[str, int]:
    """These notebooks, their pages and the index."""
    pages = {"render": len([rule for rule in rules if rule in NOTEBOOKS])}
    return dict.fromkeys(rules, 1) | pages | LAST | more


def test_a_dry_run_lists_every_notebook_and_row_once(plan: str) -> None:
    assert count_jobs(plan) == ALL
    assert sorted(re.findall(r"wildcards: dataset=embedded, row=(\w+)", plan)) == sorted(ROWS)


def test_every_notebook_has_its_rule(root: Path, plan: str) -> None:
    sources = sorted(path.stem for path in (root / "notebooks").glob("[0-9][0-9]_*.ipynb"))
    assert sources == sorted(NOTEBOOKS.values())
    for name in sources:
        assert re.search(rf"^ +output: (embedded/)?{name}\.ipynb", plan, re.MULTILINE), name


def test_papermill_gets_the_parameters_of_make_study(plan: str) -> None:
    call = next(line for line in plan.splitlines() if "papermill ../../notebooks/04" in line)
    assert "embedded/04_encrypted_evaluation.ipynb -k python3 --cwd ../.." in call
    assert "-r profile mine.yml -r out reports/mine -r data '' -r dataset embedded" in call


def test_encrypted_notebooks_ask_for_their_memory_and_threads(plan: str) -> None:
    for rule in ("encrypted_evaluation", "encrypted_competitors"):
        block = plan.split(f"rule {rule}:")[1].split("\n\n")[0]
        assert "threads: 2" in block and "mem_mb=14000" in block, block


def test_a_changed_notebook_runs_again_and_one_with_a_new_time_stamp_does_not(
    checkout: Checkout, plan: str
) -> None:
    checkout.pretend(plan)
    (checkout.folder / "notebooks" / "02_plaintext_training.ipynb").touch()  # newer, but the same
    checkout.change_notebook("08_decisions")
    assert checkout.jobs() == again("decisions")


@pytest.mark.slow
def test_only_what_changed_and_what_reads_it_runs_again(checkout: Checkout, plan: str) -> None:
    checkout.pretend(plan)
    assert checkout.jobs() == {}
    checkout.change_notebook("04_encrypted_evaluation")
    readers = ("encrypted_evaluation", "ablations", "competing_methods",
               "encrypted_competitors", "decisions")  # fmt: skip
    assert checkout.jobs() == again(*readers)
    checkout.change_profile(he={"evaluate_at_most": 4})
    assert checkout.jobs() == again("he_conversion", *readers, "capacity", ablation_row=3)
    checkout.change_library("evaluation/metrics.py", '"""', '"""Changed. ')
    assert checkout.jobs() == ALL


@pytest.mark.slow
def test_a_changed_row_of_the_grid_runs_alone_with_what_reads_it(
    checkout: Checkout, plan: str
) -> None:
    checkout.pretend(plan)
    readers = ("ablations", "competing_methods", "decisions")
    grid = checkout.folder / "heclstm_lib" / "grids" / "ablations.yml"
    shipped = grid.read_text(encoding="utf-8")
    grid.write_text(shipped.replace("{lstm: false}", "{lstm: false, hidden: 3}"), encoding="utf-8")
    said = checkout.snakemake("--dry-run")
    assert re.findall(r"wildcards: dataset=embedded, row=(\w+)", said) == ["no_lstm"]
    assert checkout.jobs() == again(*readers, ablation_row=1)
    grid.write_text(shipped.replace("LSTM off", "No LSTM"), encoding="utf-8")
    assert checkout.jobs() == again(*readers)
    grid.write_text(shipped, encoding="utf-8")
    assert checkout.jobs() == {}
    checkout.change_profile(ablations=[*ROWS, "cubic_gates"])
    assert checkout.jobs() == again(*readers, ablation_row=1)


@pytest.mark.slow
def test_a_row_that_only_encrypts_waits_for_the_network(checkout: Checkout) -> None:
    target = "embedded/work/ablations/{}/row.json"
    assert checkout.jobs("--", target.format("no_lstm")) == {"ablation_row": 1}
    encrypts = checkout.jobs("--", target.format("scale_30"))
    assert encrypts == {"ablation_row": 1, "plaintext_training": 1}


@pytest.mark.slow
def test_a_killed_run_leaves_nothing_that_passes_for_done(checkout: Checkout, plan: str) -> None:
    checkout.pretend(plan)
    (checkout.out / "embedded" / "03_he_conversion.ipynb").unlink()
    jobs = checkout.jobs()
    assert jobs["he_conversion"] == jobs["encrypted_evaluation"] == 1
    assert "plaintext_training" not in jobs


def test_an_unknown_data_set_is_named(checkout: Checkout) -> None:
    said = checkout.snakemake("--dry-run", config=("datasets=[iarc]",), fails=True)
    assert "profile 'mine' has no data set 'iarc'; it has: embedded" in said


@pytest.mark.slow
def test_an_unknown_setting_is_named(checkout: Checkout) -> None:
    said = checkout.snakemake("--dry-run", config=("dataset=embedded",), fails=True)
    assert "'dataset' was unexpected" in said


def test_the_slurm_profile_is_read(checkout: Checkout) -> None:
    path = checkout.folder / "workflow" / "profiles" / "slurm" / "config.yaml"
    profile = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert set(profile["set-resources"]) <= set(NOTEBOOKS) | {"ablation_row", "render", "study"}
    if not find_spec("snakemake_executor_plugin_slurm"):
        assert profile.pop("executor") == "slurm"  # all but the executor, whose plugin is missing
        path.write_text(yaml.safe_dump(profile), encoding="utf-8")
    said = checkout.snakemake("--workflow-profile", "workflow/profiles/slurm", "--dry-run")
    assert count_jobs(said) == ALL
    block = said.split("rule encrypted_evaluation:")[1].split("\n\n")[0]
    assert "runtime=480" in block and "slurm_partition=change_me" in block, block


@pytest.mark.slow
def test_lint_finds_nothing_but_the_one_environment(checkout: Checkout) -> None:
    """The rules' programs are the lock's, in the environment that runs Snakemake: no conda file."""
    said = checkout.snakemake("--lint", fails=True)
    found = set(re.findall(r"^ +\* (.+?):?$", said, re.MULTILINE))
    assert found == {"Specify a conda environment or container for each rule."}


@pytest.mark.slow
def test_smoke_runs_to_its_end_and_then_there_is_nothing_to_do(checkout: Checkout) -> None:
    local = ("--workflow-profile", "workflow/profiles/local")
    checkout.snakemake(*local)
    page = (checkout.out / "index.html").read_text(encoding="utf-8")
    assert "not complete" not in page
    runs = load_record(checkout.out).runs
    assert [run.notebook for run in runs] == list(NOTEBOOKS.values())
    assert {run.status for run in runs} == {"done"} and all(run.seconds > 0 for run in runs)
    results = json.loads((checkout.out / "embedded" / "results" / "result.json").read_text())
    assert sorted(results["stages"]) == list(NOTEBOOKS.values())[1:]
    assert results["stages"]["04_encrypted_evaluation"]["numbers"]["agreement"]["flips"] == 0
    assert checkout.jobs(*local) == {}

    path = checkout.folder / "notebooks" / "08_decisions.ipynb"
    content = json.loads(path.read_text(encoding="utf-8"))
    content["cells"][-1]["source"].append("\nraise ValueError('on purpose')")
    path.write_text(json.dumps(content), encoding="utf-8")
    said = checkout.snakemake(*local, fails=True)
    assert "ValueError: on purpose" in said
    assert not (checkout.out / "embedded" / "08_decisions.ipynb").exists()
    statuses = {run.notebook: run.status for run in load_record(checkout.out).runs}
    assert [name for name, status in statuses.items() if status == "failed"] == ["08_decisions"]
    assert "on purpose" in (checkout.out / "index.html").read_text(encoding="utf-8")
