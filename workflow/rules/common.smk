"""What every rule uses: the configuration, the profile, and paths."""

import json
import os
import shlex
import sys
from pathlib import Path

from snakemake.utils import validate

from heclstm_lib.config import load_profile, to_dict
from heclstm_lib.models.variants import VARIANTS, apply_variant
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
DATASETS = list(dict.fromkeys(dataset for dataset, _ in TASKS if dataset))

# What a row of the grid changes stands in that row's own settings, so that a new row, or a new
# definition of one, leaves everything else as it is.
LIBRARY = files_digest(path for path in library_files() if path.name != "variants.py")

COLLECT = shlex.join(
    ["heclstm", "collect", ".", "--profile", PROFILE]
    + (["--data", str(DATA)] if DATA else [])
    + [part for name in DATASETS for part in ("--dataset", name)]
)


def inside(path):
    """A file of the repository as seen from the study's folder."""
    return os.path.relpath(path, OUT)


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
    always = ("data", "model", "train", "folds", "bootstrap", "show_examples")

    def chosen(wildcards):
        resolved = to_dict(STUDIES.study(wildcards.dataset))
        return json.dumps({key: resolved[key] for key in (*always, *sections)})

    return chosen


def row_settings(wildcards):
    """The resolved configuration of one row: all that its definition changes shows here."""
    changed = to_dict(apply_variant(STUDIES.study(wildcards.dataset), wildcards.row))
    return json.dumps({k: v for k, v in changed.items() if k not in ("ablations", "methods")})


def described_rows(wildcards):
    """What notebook 05 says of each row."""
    names = STUDIES.study(wildcards.dataset).ablations
    return json.dumps({name: VARIANTS[name][0] for name in names if name in VARIANTS})


def rows(wildcards):
    """The results of every row of a data set's grid, where rows are jobs of their own."""
    names = STUDIES.study(wildcards.dataset).ablations if config["grid"] else ()
    return [f"work/{wildcards.dataset}/ablations/{name}/row.json" for name in names]


def weights(wildcards):
    """Weights files that methods of notebooks 06 and 08 start from, if there are any."""
    return sorted(str(path) for path in DATA.glob("weights/*.pt")) if DATA else []


def encrypted_mb(wildcards):
    """Memory of an encrypted notebook: its servers', as the profile allows, and the client's."""
    return round(STUDIES.study(wildcards.dataset).he.memory_gb * 1000) + 2000


def encrypted_threads(wildcards):
    """A thread for each server process and one for the client."""
    return STUDIES.study(wildcards.dataset).he.workers + 1
