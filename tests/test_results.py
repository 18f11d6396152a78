"""Results on disk: merged by stage, strict JSON, written whole or not at all."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from heclstm_lib.errors import ReportError
from heclstm_lib.files import replacing
from heclstm_lib.results import ResultStore, to_json


@dataclass(frozen=True)
class Point:
    x: float
    tags: tuple[str, ...]


def test_stages_merge_and_replace(tmp_path: Path) -> None:
    store = ResultStore(tmp_path / "results")
    assert store.load_results() == {}
    store.write_result("01", {"n": 1, "old": True})
    store.write_result("02", {"n": 2})
    store.write_result("01", {"n": 3})
    assert list(store.load_results()) == ["01", "02"]
    assert store.load_result("01")["n"] == 3
    assert "old" not in store.load_result("01")


def test_provenance_is_added_unless_given(tmp_path: Path) -> None:
    store = ResultStore(tmp_path)
    store.write_result("a", {})
    store.write_result("b", {"provenance": {"mine": 1}})
    assert store.load_result("a")["provenance"]["libraries"]["numpy"] == np.__version__
    assert store.load_result("b")["provenance"] == {"mine": 1}


def test_numpy_nan_and_dataclasses_become_json() -> None:
    value = {
        "int": np.int64(3),
        "nan": float("nan"),
        "inf": np.float32("inf"),
        "array": np.array([[1.0, np.nan]]),
        "bool": np.bool_(True),
        "point": Point(0.5, ("a",)),
        "path": Path("a") / "b",
        "day": date(2021, 5, 1),
        7: None,
        "table": pd.DataFrame({"x": [1, 2]}),
    }
    assert to_json(value) == {
        "int": 3,
        "nan": None,
        "inf": None,
        "array": [[1.0, None]],
        "bool": True,
        "point": {"x": 0.5, "tags": ["a"]},
        "path": "a/b",
        "day": "2021-05-01",
        "7": None,
        "table": [{"x": 1}, {"x": 2}],
    }


def test_what_json_cannot_hold_is_named(tmp_path: Path) -> None:
    with pytest.raises(ReportError, match=r"03\.scores\[1\]: a complex cannot be kept in JSON"):
        ResultStore(tmp_path).write_result("03", {"scores": [1.0, 1j]})
    assert list(tmp_path.iterdir()) == []


plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text() | st.floats(allow_nan=False, width=64),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


@given(plain)
def test_any_plain_value_survives_strict_json(value: object) -> None:
    converted = to_json(value)
    assert json.loads(json.dumps(converted, allow_nan=False)) == converted


def test_table_round_trip(tmp_path: Path) -> None:
    store = ResultStore(tmp_path)
    table = pd.DataFrame({"metric": ["auc"], "estimate": [0.5], "n": [12]})
    assert store.write_table("metrics", table) == tmp_path / "metrics.parquet"
    pd.testing.assert_frame_equal(store.load_table("metrics"), table)
    named = table.set_index("metric")
    store.write_table("named", named)
    pd.testing.assert_frame_equal(store.load_table("named"), named)


def test_absent_names_list_what_is_there(tmp_path: Path) -> None:
    store = ResultStore(tmp_path)
    store.write_result("01_data", {})
    store.write_table("counts", pd.DataFrame({"n": [1]}))
    with pytest.raises(ReportError, match=r"no result '02_train'.*there are: 01_data"):
        store.load_result("02_train")
    with pytest.raises(ReportError, match=r"no table 'roc'.*there are: counts"):
        store.load_table("roc")


@pytest.mark.parametrize("text", ["{", "[]", '{"format": 1}'])
def test_broken_file_is_reported(tmp_path: Path, text: str) -> None:
    store = ResultStore(tmp_path)
    store.path.write_text(text, encoding="utf-8")
    with pytest.raises(ReportError, match=r"not a result file .*delete it"):
        store.load_results()


def test_other_format_is_refused(tmp_path: Path) -> None:
    store = ResultStore(tmp_path)
    store.path.write_text('{"format": 99, "stages": {}}', encoding="utf-8")
    with pytest.raises(ReportError, match="format 99, this version reads 1"):
        store.load_results()


def test_a_failed_write_leaves_the_old_file_and_no_rubbish(tmp_path: Path) -> None:
    target = tmp_path / "kept.txt"
    target.write_text("old", encoding="utf-8")
    with pytest.raises(RuntimeError), replacing(target) as part:
        part.write_text("half", encoding="utf-8")
        raise RuntimeError
    assert target.read_text(encoding="utf-8") == "old"
    assert list(tmp_path.iterdir()) == [target]
