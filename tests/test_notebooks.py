"""Every notebook runs in the smoke profile and leaves what a reader and a machine need."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jupytext
import nbformat
import numpy as np
import pandas as pd
import pytest

from heclstm_lib.paths import repo_root
from heclstm_lib.record import load_record
from heclstm_lib.results import ResultStore
from heclstm_lib.runner import known_parameters, load_notebook

SOURCES = sorted((repo_root() / "notebooks").glob("[0-9][0-9]_*.py"))
NAMES = [source.stem for source in SOURCES]
DATASET = "embedded"


def place(smoke: Path, name: str) -> Path:
    return smoke if name == "00_overview" else smoke / DATASET


@pytest.fixture(params=NAMES)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_the_study_has_its_notebooks() -> None:
    assert NAMES == [
        "00_overview",
        "01_data_preparation",
        "02_plaintext_training",
        "03_he_conversion",
        "04_encrypted_evaluation",
        "05_ablations",
        "06_competing_methods",
        "07_encrypted_competitors",
        "08_decisions",
        "09_capacity",
    ]


def test_notebook_ran_without_error(smoke: Path, name: str) -> None:
    executed = nbformat.read(place(smoke, name) / f"{name}.ipynb", as_version=4)
    code = [cell for cell in executed.cells if cell.cell_type == "code" and cell.source.strip()]
    assert all(cell.execution_count for cell in code)
    outputs = [output for cell in code for output in cell.outputs]
    assert not [output for output in outputs if output.output_type == "error"]
    assert [output for output in outputs if "image/png" in output.get("data", {})], "no picture"


def test_notebook_is_rendered_twice_and_self_contained(smoke: Path, name: str) -> None:
    folder = place(smoke, name)
    plain = (folder / f"{name}.html").read_text(encoding="utf-8")
    code = (folder / f"{name}.code.html").read_text(encoding="utf-8")
    for page in (plain, code):
        assert "<script" not in page
        assert 'rel="stylesheet"' not in page
        assert "<img" in page
        assert 'src="http' not in page
        assert 'class="tex"' not in page and "<mi>\\" not in page, "a formula is not converted"
    assert "input_area" not in plain.split("<main>")[1]
    assert "input_area" in code.split("<main>")[1]


def test_result_has_provenance_and_headline(smoke: Path, name: str) -> None:
    result = ResultStore(place(smoke, name) / "results").load_result(name)
    provenance = result["provenance"]
    for key in ("created", "python", "libraries", "cpu", "cores", "threads", "config", "seeds"):
        assert key in provenance
    assert provenance["libraries"]["torch"]
    for item in result["headline"]:
        assert set(item) == {"label", "value", "detail"}
    if name != "00_overview":
        assert result["headline"]
        assert provenance["config"]["dataset"] == DATASET
        assert len(provenance["data_digests"][DATASET]) == 64
        assert provenance["seeds"]["training"] == 0


def test_result_is_strict_json(smoke: Path) -> None:
    def refuse(constant: str) -> Any:
        raise AssertionError(f"{constant} is not JSON")

    text = (smoke / DATASET / "results" / "result.json").read_text(encoding="utf-8")
    stages = json.loads(text, parse_constant=refuse)["stages"]
    assert sorted(stages) == NAMES[1:]


def test_metrics_carry_intervals_and_n(smoke: Path) -> None:
    tables = {
        path.stem: pd.read_parquet(path) for path in (smoke / DATASET / "results").glob("*.parquet")
    }
    measured = {name: table for name, table in tables.items() if "estimate" in table}
    assert {name.split(".")[0] for name in measured} >= {"02_plaintext_training"}
    for name, table in measured.items():
        lowest, highest = table["ci_low"], table["ci_high"]
        known = lowest.notna()
        assert known.any(), name
        assert (lowest[known] <= table["estimate"][known] + 1e-12).all(), name
        assert (table["estimate"][known] <= highest[known] + 1e-12).all(), name
        counts = [column for column in table if str(column).startswith("n_")]
        assert counts, name
        assert (table[counts] > 0).all().all(), name


def test_encrypted_scores_agree_with_the_clear_network(smoke: Path) -> None:
    result = ResultStore(smoke / DATASET / "results").load_result("04_encrypted_evaluation")
    agreement = result["numbers"]["agreement"]
    assert agreement["precision_bits"] >= 10
    assert agreement["flips"] == 0
    assert agreement["n"] == 8
    assert np.isfinite(agreement["max_error"])


def test_index_links_every_report(smoke: Path, name: str) -> None:
    index = (smoke / "index.html").read_text(encoding="utf-8")
    prefix = "" if name == "00_overview" else f"{DATASET}/"
    assert f'href="{prefix}{name}.html"' in index
    assert f'href="{prefix}{name}.code.html"' in index
    assert [run.status for run in load_record(smoke).runs] == ["done"] * len(NAMES)


def test_notebook_declares_the_study_parameters(root: Path, name: str) -> None:
    known = known_parameters(load_notebook(root / "notebooks" / f"{name}.py"))
    wanted = ("profile", "out") if name == "00_overview" else ("profile", "dataset", "out", "data")
    assert known == wanted


def test_twin_is_in_step_and_without_outputs(root: Path, name: str) -> None:
    source = jupytext.read(root / "notebooks" / f"{name}.py")
    twin = nbformat.read(root / "notebooks" / f"{name}.ipynb", as_version=4)

    def essence(notebook: nbformat.NotebookNode) -> list[tuple[str, str, list[str]]]:
        return [(c.cell_type, c.source, c.metadata.get("tags", [])) for c in notebook.cells]

    assert essence(source) == essence(twin), "run: make notebooks"
    code = [cell for cell in twin.cells if cell.cell_type == "code"]
    assert all(not cell.outputs and cell.execution_count is None for cell in code)


def test_cards_lie_beside_the_report_and_stand_in_it(smoke: Path) -> None:
    report = (smoke / DATASET / "08_decisions.html").read_text(encoding="utf-8")
    for name, title in (("model_card", "Model card"), ("data_card", "Data card")):
        text = (smoke / DATASET / f"{name}.md").read_text(encoding="utf-8")
        assert text.startswith(f"# {title}: ") and len(text) > 1000
        assert f"{title}: " in report
    assert "## Intended use" not in report, "a card is shown as plain text"


def test_waterfall_ends_encrypted_on_one_set_of_sequences(smoke: Path) -> None:
    table = ResultStore(smoke / DATASET / "results").load_table("08_decisions.waterfall")
    assert table.step.tolist()[-4:] == ["exact", "HE-friendly", "quantised", "encrypted"]
    assert table.n_sequences.unique().tolist() == [8]
    assert table.flips.iloc[-2:].tolist() == [0, 0]
    assert (table.score_change.iloc[-2:] < 1e-3).all()
