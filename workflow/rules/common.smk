"""What all rules share: configuration, profile, paths."""

import json
import os
import shlex
import sys
from pathlib import Path

from snakemake.utils import validate

from heclstm_lib.config import load_profile, to_dict
from heclstm_lib.grid import load_grid
from heclstm_lib.paths import manifests_dir, repo_root
from heclstm_lib.study import files_digest, find_notebooks, library_files, make_tasks

validate(config, "../schemas/config.schema.yml")

# the programs of the environment that snakemake itself runs in
shell.prefix(f"export PATH={shlex.quote(str(Path(sys.executable).parent))}:$PATH; ")

ROOT = repo_root()
NAMED = Path(config["profile"]).suffix in {".yml", ".yaml"}
PROFILE = str(ROOT / config["profile"]) if NAMED else config["profile"]
STUDIES = load_profile(PROFILE)
OUT = ROOT / (config["out"] or f"reports/{STUDIES.name}")
DATA = ROOT / config["data"] if config["data"] else None
TASKS = {
    (task.dataset, task.name): task
    for task in make_tasks(
        STUDIES, PROFILE, OUT, DATA, config["datasets"], find_notebooks(ROOT / "notebooks")
    )
}
ROW_FILES = ("row.json", "predictions.parquet")
DATASETS = list(dict.fromkeys(dataset for dataset, _ in TASKS if dataset))

# Profiles and grids are no part of it: a job's `settings` hold what of them concerns that job.
LIBRARY = files_digest(library_files())

COLLECT = shlex.join(
    ["heclstm", "collect", ".", "--profile", PROFILE]
    + (["--data", str(DATA)] if DATA else [])
    + [part for name in DATASETS for part in ("--dataset", name)]
)


def inside(path):
    """A file of the repository as seen from the study's folder."""
    return os.path.relpath(path, OUT)


def root(wildcards):
    """The repository as seen from the study's folder: notebooks run there, as in `make study`."""
    return inside(ROOT)


def source(name):
    """A notebook without outputs, as papermill takes it."""
    return inside(ROOT / "notebooks" / f"{name}.ipynb")


def arguments(dataset, name):
    """papermill's arguments for the parameters that `make study` gives the same notebook."""
    given = TASKS[dataset, name].parameters
    return shlex.join(part for key, value in given.items() for part in ("-r", key, value))


def manifest(wildcards):
    """The manifest and the split of a data set."""
    name = wildcards.dataset
    found = [manifests_dir() / f"{name}.json", manifests_dir() / "splits" / f"{name}.csv"]
    return [inside(path) for path in found if path.is_file()]


def tables(name, *wanted):
    """Tables that a notebook leaves for the ones after it."""
    return [f"{{dataset}}/results/{name}.{table}.parquet" for table in wanted]


def settings(*sections):
    """For `params`: these sections of the data set's resolved configuration."""
    always = ("data", "model", "train", "folds", "search", "bootstrap", "show_examples")

    def chosen(wildcards):
        resolved = to_dict(STUDIES.study(wildcards.dataset))
        return json.dumps({key: resolved[key] for key in (*always, *sections)})

    return chosen


def grid_row(dataset, name):
    """A row of a data set's grid, and the study that it makes of the data set's."""
    study = STUDIES.study(dataset)
    row = load_grid(study.grid).row(name)
    return row, row.apply(study)


def row_settings(wildcards):
    """The resolved configuration of one row: all that its definition changes shows here."""
    row, study = grid_row(wildcards.dataset, wildcards.row)
    kept = {key: to_dict(study)[key] for key in ("data", "model", "train", "he", "folds", "search")}
    return json.dumps(kept | {"changes": row.changes, "encrypts": row.encrypts})


def row_network(wildcards):
    """Notebook 02, for a row that encrypts the study's own network."""
    row, _ = grid_row(wildcards.dataset, wildcards.row)
    return [] if row.trains else tables("02_plaintext_training", "predictions")


def row_mb(wildcards):
    """As an encrypted notebook for a row that is evaluated encrypted."""
    row, study = grid_row(wildcards.dataset, wildcards.row)
    return memory_mb(study) if row.encrypts else 3000


def row_threads(wildcards):
    """As an encrypted notebook for a row that is evaluated encrypted."""
    row, study = grid_row(wildcards.dataset, wildcards.row)
    return study.he.workers + 1 if row.encrypts else 1


def chosen_rows(dataset):
    """The rows that the profile lists for a data set."""
    study = STUDIES.study(dataset)
    return load_grid(study.grid).chosen(study)


def rows(wildcards):
    """What every row of a data set's grid leaves."""
    folder = f"{wildcards.dataset}/work/ablations"
    names = [row.name for row in chosen_rows(wildcards.dataset)]
    return [f"{folder}/{name}/{file}" for name in names for file in ROW_FILES]


def told_rows(wildcards):
    """What notebook 05 says of each row."""
    return json.dumps([[row.name, row.axis, row.says] for row in chosen_rows(wildcards.dataset)])


def weights(wildcards):
    """Weights files that methods of notebooks 06 and 07 start from, if there are any."""
    return sorted(str(path) for path in DATA.glob("weights/*.pt")) if DATA else []


def memory_mb(study):
    """Memory to evaluate encrypted: the servers', as the profile allows, and the client's."""
    return round(study.he.memory_gb * 1000) + 2000


def encrypted_mb(wildcards):
    """Memory of an encrypted notebook."""
    return memory_mb(STUDIES.study(wildcards.dataset))


def encrypted_threads(wildcards):
    """A thread for each server process and one for the client."""
    return STUDIES.study(wildcards.dataset).he.workers + 1
