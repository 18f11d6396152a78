"""A study of tiny notebooks: order, parameters, resuming, failures, and the index."""

from __future__ import annotations

from pathlib import Path

import pytest
from tiny_study import RESULT, SECOND, Study

from heclstm_lib.errors import ConfigError, ReportError
from heclstm_lib.record import NotebookRun, StudyRecord, load_record, write_record
from heclstm_lib.study import portable, render_study, run_study


@pytest.fixture
def study(tmp_path: Path) -> Study:
    return Study(tmp_path)


def test_order_parameters_index_and_resume(
    study: Study, capsys: pytest.CaptureFixture[str]
) -> None:
    index = study.run()
    assert index == study.out / "index.html"
    alpha, beta = (f"01 {portable(study.profile)} {name} " for name in ("alpha", "beta"))
    assert study.log() == [alpha, "02", beta, "02"]
    shown = capsys.readouterr().out
    assert "[1/5] two: 00_overview done," in shown
    assert "[5/5] beta: 02_second done," in shown
    page = index.read_text(encoding="utf-8")
    for text in ("Title of 00_overview", 'href="alpha/02_second.code.html"', "AUC", "n = 5, beta"):
        assert text in page
    assert "&lt;b&gt;" in page
    assert "not complete" not in page
    assert "Python 3.11" in page

    kept = study.out / "work" / "alpha" / "checkpoint"
    kept.parent.mkdir(parents=True)
    kept.touch()
    study.run(resume=True)
    assert set(study.statuses().values()) == {"reused"}
    assert len(study.log()) == 4
    assert kept.exists()

    study.write("02_second", SECOND + "\nprint('changed')")
    (study.out / "beta" / "01_first.html").unlink()
    study.run(resume=True)
    assert study.statuses() == {
        "/00_overview": "reused",
        "alpha/01_first": "reused",
        "alpha/02_second": "done",
        "beta/01_first": "done",
        "beta/02_second": "done",
    }


def test_without_resume_the_artefacts_of_an_earlier_run_are_gone(study: Study) -> None:
    folders = [study.out / "work" / name for name in ("alpha", "beta")]
    for folder in folders:
        folder.mkdir(parents=True)
    study.run(datasets=("alpha",))
    for folder in folders:
        (folder / "checkpoint").parent.mkdir(exist_ok=True)
        (folder / "checkpoint").touch()
    study.run(datasets=("alpha",))
    assert [folder.exists() for folder in folders] == [False, True]


def test_files_in_a_folder_that_is_no_study_are_not_removed(study: Study) -> None:
    theirs = study.out / "work" / "beta" / "thesis.txt"
    theirs.parent.mkdir(parents=True)
    theirs.touch()
    with pytest.raises(ConfigError, match=r"work/beta is not empty.*study\.json.*--resume"):
        study.run()
    assert theirs.exists()
    assert not (study.out / "log.txt").exists()
    study.run(resume=True)
    assert theirs.exists()


def test_what_follows_a_changed_notebook_runs_again(study: Study) -> None:
    study.run(datasets=("alpha",))
    study.write("01_first", RESULT + "\nprint('changed')")
    study.run(datasets=("alpha",), resume=True)
    assert study.statuses() == {
        "/00_overview": "reused",
        "alpha/01_first": "done",
        "alpha/02_second": "done",
    }


def test_a_failure_ends_its_data_set_only(study: Study) -> None:
    study.write("01_first", "if dataset == 'alpha':\n    raise ValueError('too few <patients>')")
    with pytest.raises(ReportError, match="not finished: alpha: 01_first, alpha: 02_second"):
        study.run()
    assert study.statuses() == {
        "/00_overview": "done",
        "alpha/01_first": "failed",
        "alpha/02_second": "skipped",
        "beta/01_first": "done",
        "beta/02_second": "done",
    }
    page = (study.out / "index.html").read_text(encoding="utf-8")
    assert "not complete" in page
    assert "ValueError: too few &lt;patients&gt;" in page
    assert 'href="alpha/01_first.failed.ipynb"' in page
    failed = (study.out / "alpha" / "01_first.html").read_text(encoding="utf-8")
    assert "too few &lt;patients&gt;" in failed
    assert 'href="alpha/02_second.html"' not in page

    study.write("01_first", RESULT)
    study.run(resume=True)
    assert set(study.statuses().values()) == {"reused", "done"}
    assert not (study.out / "alpha" / "01_first.failed.ipynb").exists()


def test_rendering_again_runs_nothing(study: Study) -> None:
    study.run(datasets=("alpha",))
    page = study.out / "alpha" / "01_first.html"
    before = page.read_text(encoding="utf-8")
    page.unlink()
    assert render_study(study.out) == study.out / "index.html"
    assert page.read_text(encoding="utf-8") == before
    assert len(study.log()) == 2


def test_one_data_set_leaves_the_others_record(study: Study) -> None:
    record = StudyRecord("two", [NotebookRun("beta", "01_first", "failed", 1.0, "old")])
    write_record(study.out, record)
    study.run(datasets=("alpha",))
    assert study.statuses()["beta/01_first"] == "failed"


def test_data_sets_stand_in_the_profiles_order_whichever_ran_first(study: Study) -> None:
    study.run(datasets=("beta",))
    study.run(datasets=("alpha",))
    assert load_record(study.out).datasets() == ["alpha", "beta"]


def test_a_study_of_another_data_set_meanwhile_keeps_its_record(study: Study) -> None:
    body = """from pathlib import Path
from heclstm_lib.record import NotebookRun, changing_record
with changing_record(Path(out), "two") as record:
    record.put(NotebookRun("beta", "01_first", "done", 2.0))
"""
    study.write("02_second", body)  # as another process would, in the middle of this one's run
    study.run(datasets=("alpha",))
    assert study.statuses()["beta/01_first"] == "done"
    assert study.statuses()["alpha/02_second"] == "done"


def test_mistakes_are_named_before_anything_runs(study: Study, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no data set 'gamma'; it has: alpha, beta"):
        study.run(datasets=("gamma",))
    with pytest.raises(ReportError, match=r"no notebooks NN_name\.py in"):
        run_study(str(study.profile), study.out, notebooks=tmp_path / "empty")
    study.profile.write_text("name: two\nstudies: []\n")
    with pytest.raises(ConfigError, match="has no studies"):
        study.run()
    assert not study.out.exists()


def test_record_forgets_notebooks_that_are_gone(study: Study) -> None:
    write_record(study.out, StudyRecord("two", [NotebookRun("beta", "07_old", "done", 1.0)]))
    study.run()
    assert "07_old" not in {run.notebook for run in load_record(study.out).runs}


def test_record_of_another_profile_is_not_mixed_in(tmp_path: Path) -> None:
    write_record(tmp_path, StudyRecord("old", [NotebookRun("a", "01", "done", 1.0)]))
    assert load_record(tmp_path, "new").runs == []
    assert load_record(tmp_path).profile == "old"
    (tmp_path / "study.json").write_text("{}", encoding="utf-8")
    with pytest.raises(ReportError, match="not a study record"):
        load_record(tmp_path)


def test_paths_in_and_beside_the_repository_are_relative(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    beside, elsewhere = tmp_path / "home", tmp_path / "scratch" / "data"
    monkeypatch.setattr("heclstm_lib.study.repo_root", lambda: beside / "repository")
    assert portable(beside / "repository" / "reports" / "default") == "reports/default"
    assert portable(beside / "data") == "../data"
    assert portable(elsewhere) == str(elsewhere)
