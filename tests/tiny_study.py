"""A study of three tiny notebooks and two data sets, for tests of what runs and records it."""

from __future__ import annotations

from pathlib import Path

import yaml

from heclstm_lib.record import load_record
from heclstm_lib.study import run_study

HEAD = '# %% [markdown]\n# # {title}\n\n# %% tags=["parameters"]\n{names}\n\n# %%\n'
NAMES = 'profile = ""\ndataset = ""\nout = ""\ndata = ""'
RESULT = """from pathlib import Path
from heclstm_lib.results import ResultStore
line = {"label": "AUC", "value": "0.9", "detail": f"n = 5, {dataset} <b>"}
ResultStore(Path(out) / dataset / "results").write_result("01_first", {"headline": [line]})
with open(Path(out) / "log.txt", "a") as log:
    log.write(f"01 {profile} {dataset} {data}\\n")
"""
SECOND = """from pathlib import Path
with open(Path(out) / "log.txt", "a") as log:
    log.write("02\\n")
"""


class Study:
    """A folder with three notebooks and a profile of two data sets."""

    def __init__(self, folder: Path) -> None:
        self.out, self.notebooks = folder / "out", folder / "notebooks"
        self.notebooks.mkdir()
        self.profile = folder / "two.yml"
        studies = [{"dataset": "alpha"}, {"dataset": "beta"}]
        self.profile.write_text(yaml.safe_dump({"name": "two", "studies": studies}))
        self.write("00_overview", "print(1)", 'profile = ""\nout = ""')
        self.write("01_first", RESULT)
        self.write("02_second", SECOND)

    def write(self, name: str, body: str, names: str = NAMES) -> None:
        text = HEAD.format(title=f"Title of {name}", names=names) + body
        (self.notebooks / f"{name}.py").write_text(text, encoding="utf-8")

    def run(self, resume: bool = False, datasets: tuple[str, ...] = ()) -> Path:
        return run_study(
            str(self.profile), self.out, None, datasets=datasets, resume=resume,
            notebooks=self.notebooks,
        )  # fmt: skip

    def statuses(self) -> dict[str, str]:
        return {f"{r.dataset}/{r.notebook}": r.status for r in load_record(self.out).runs}

    def log(self) -> list[str]:
        return (self.out / "log.txt").read_text().splitlines()
