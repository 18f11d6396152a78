"""Record and index from notebooks that another program has run."""

from __future__ import annotations

from pathlib import Path

import pytest
from tiny_study import RESULT, Study

from heclstm_lib.collect import collect_study
from heclstm_lib.errors import ReportError
from heclstm_lib.record import load_record


@pytest.fixture
def study(tmp_path: Path) -> Study:
    return Study(tmp_path)


def collect(study: Study, current: bool, datasets: tuple[str, ...] = ("alpha",)) -> Path:
    return collect_study(
        str(study.profile), study.out, datasets=datasets, current=current,
        notebooks=study.notebooks,
    )  # fmt: skip


def test_what_the_study_wrote_is_found_again_and_resumed_from(study: Study) -> None:
    index = study.run(datasets=("alpha",))
    record, page = load_record(study.out), index.read_text(encoding="utf-8")
    (study.out / "study.json").unlink()
    assert collect(study, current=True) == index
    found = load_record(study.out)
    assert [(run.dataset, run.notebook, run.stamp) for run in found.runs] == [
        (run.dataset, run.notebook, run.stamp) for run in record.runs
    ]
    for line in ("Title of 00_overview", 'href="alpha/02_second.code.html"', "AUC"):
        assert line in page and line in index.read_text(encoding="utf-8")
    study.run(resume=True, datasets=("alpha",))
    assert set(study.statuses().values()) == {"reused"}


def test_failed_and_missing_notebooks_are_recorded_as_such(study: Study) -> None:
    study.write("01_first", "raise ValueError('too few <patients>')")
    with pytest.raises(ReportError):
        study.run(datasets=("alpha",))
    (study.out / "study.json").unlink()
    page = collect(study, current=False).read_text(encoding="utf-8")
    assert study.statuses() == {
        "/00_overview": "done",
        "alpha/01_first": "failed",
        "alpha/02_second": "skipped",
    }
    assert "ValueError: too few &lt;patients&gt;" in page and "not run yet" in page
    with pytest.raises(ReportError, match=r"not executed in .*: alpha 01_first, alpha 02_second"):
        collect(study, current=True)


def test_without_the_callers_word_nothing_is_kept_by_resume(study: Study) -> None:
    study.run(datasets=("alpha",))
    study.write("01_first", RESULT + "\nprint('changed')")
    collect(study, current=False)
    assert {run.stamp for run in load_record(study.out).runs} == {""}
    study.run(resume=True, datasets=("alpha",))
    assert set(study.statuses().values()) == {"done"}
