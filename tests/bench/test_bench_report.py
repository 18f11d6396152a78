"""Medians, targets and the written report, from records made up here."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from heclstm_lib.bench.records import Record
from heclstm_lib.bench.report import write_report
from heclstm_lib.bench.suites import load_suites
from heclstm_lib.bench.summary import kinds_table, precision_bits, runs_table, summary_table
from heclstm_lib.bench.targets import TARGETS, target_rows
from heclstm_lib.errors import BenchError


def record(
    suite: str, title: str = "ours", seconds: float = 1.0, repeat: int = 0, **changes: Any
) -> Record:
    """A good run of `seconds` on the server; the group is the suite's name without its number."""
    batch = changes.pop("batch", 1)
    values: dict[str, Any] = {
        "suite": suite,
        "title": title,
        "contender": title.split(",")[0],
        "repeat": repeat,
        "status": "ok",
        "identity": "x",
        "session": "2026-01-01",
        "commit": "abc",
        "heading": f"About {suite}",
        "group": suite.rsplit("_", 1)[0],
        "case": {"kind": "flagship", "frames": 4, "hidden": 16, "seed": 1},
        "case_digest": "0" * 64,
        "batch": batch,
        "error": 1e-6,
        "mean_error": 1e-7,
        "peak_bytes": int(2e9),
        "load": 0.5,
        "setup": {"setup_s": 3.0, "key_bytes": 1e9, "upload_bytes": 1e6, "response_bytes": 1e5},
        "run": {"server_s": seconds, "encrypt_s": 0.1, "decrypt_s": 0.01, "matrix_s": seconds / 2}
        | {"time_by_kind": {"rotate": seconds * 0.75, "add": seconds * 0.25}},
        "floor": {"floor_s": seconds / 1.1, "floor_by_kind": {"rotate": seconds / 2}},
    }
    return Record(**(values | changes))


def all_good() -> list[Record]:
    """Records that reach every target."""
    records = [
        record("flagship_1", seconds=8.0),
        record("flagship_1", "ours, 2 processes", 5.0),
        record("flagship_1", "tenseal_highlevel", 400.0, status="wrong", error=0.3),
        record("flagship_4096", seconds=400.0, batch=4096),
        record("lstm_step_1", seconds=0.3),
        record("lstm_step_1", "openfhe, baby-step giant-step", 0.6),
        record("lstm_step_1", "openfhe", 0.36),
        record("lstm_step_batch", seconds=5.0, batch=8192, group="lstm_step"),
        record("lstm_step_batch", "openfhe", 10.0, batch=8192, group="lstm_step"),
        record("cnn_1", seconds=0.2),
        record("cnn_1", "tenseal_sealapi", 0.25),
        record("cnn_1", "helayers", 0.3),
        record("cnn_1", "liar", 0.01, status="wrong"),
        record("cnn_batch", seconds=8.0, batch=8192, group="cnn"),
        record("cnn_batch", "openfhe", 17.0, batch=8192, group="cnn"),
        record("refresh", seconds=1.5, group="refresh"),
        record("workers", "1 worker", 10.0, contender="ours", group="workers"),
        record("workers", "2 workers", 5.2, contender="ours", group="workers"),
    ]
    for frames in (2, 4, 8):
        case = {"frames": frames}
        records.append(record(f"scaling_frames_{frames}", seconds=frames + 0.1, case=case))
    for hidden in (16, 32, 64):
        case = {"hidden": hidden}
        records.append(record(f"scaling_hidden_{hidden}", seconds=hidden**0.7, case=case))
    return records


def verdicts(records: list[Record]) -> dict[str, str]:
    return {row["id"]: row["met"] for row in target_rows(summary_table(records))}


def replaced(suite: str, title: str = "ours", **changes: Any) -> list[Record]:
    """The good records with one entry measured otherwise."""
    kept = [r for r in all_good() if (r.suite, r.title) != (suite, title)]
    return [*kept, record(suite, title, **changes)]


def test_medians_spread_and_precision() -> None:
    runs = [record("a_1", seconds=s, repeat=i, batch=4) for i, s in enumerate((3.0, 1.0, 2.0))]
    runs[1] = record("a_1", seconds=1.0, repeat=1, batch=4, error=0.25, mean_error=0.125)
    row = summary_table(runs).iloc[0]
    assert (row.server_s, row.server_min_s, row.server_max_s, row.runs) == (2.0, 1.0, 3.0, 3)
    assert (row.item_s, row.items_per_s) == (0.5, 2.0)
    assert (row.error, row.worst_bits, row.precision_bits) == (0.25, 2.0, 3.0)
    assert row.key_bytes == 1e9
    assert row.floor_ratio == pytest.approx(1.1)
    assert precision_bits(0.0) == np.inf and np.isnan(precision_bits(float("nan")))


def test_the_worst_run_decides_the_status() -> None:
    runs = [record("a_1"), record("a_1", repeat=1, status="wrong", error=None)]
    row = summary_table(runs).iloc[0]
    assert row.status == "wrong" and np.isnan(row.error), "one unknown error leaves it unknown"
    skipped = record("a_1", "openfhe", status="skipped", reason="not here", run={}, setup={})
    row = summary_table([skipped]).iloc[0]
    assert (row.status, row.reason, row.runs) == ("skipped", "not here", 0)
    assert np.isnan(row.server_s)


def test_shares_of_the_primitives() -> None:
    kinds = kinds_table([record("a_1", seconds=2.0), record("a_1", seconds=4.0, repeat=1)])
    rotate = kinds.set_index("kind").loc["rotate"]
    assert (rotate.seconds, rotate.share, rotate.floor_s) == (2.25, 0.75, 1.5)
    assert kinds_table([record("a_1", run={"server_s": 1.0})]).empty


def test_every_target_can_be_met() -> None:
    assert verdicts(all_good()) == dict.fromkeys([target.id for target in TARGETS], "yes")
    rows = {row["id"]: row for row in target_rows(summary_table(all_good()))}
    assert rows["3"]["values"]["times_faster"] == 50 and "off by 0.3" in rows["3"]["detail"]
    assert rows["8"]["values"]["exponent_of_matrix_part_in_hidden"] == pytest.approx(0.7)
    assert rows["5"]["values"]["best_rival_s"] == pytest.approx(0.25), "wrong logits do not count"
    assert rows["4"]["values"]["times_faster_our_packing"] == pytest.approx(1.2)
    assert rows["4"]["command"] == "heclstm bench --cases lstm_step_1 lstm_step_batch"


@pytest.mark.parametrize(
    ("target", "records"),
    [
        ("1", replaced("flagship_1", seconds=8.0, floor={"floor_s": 6.0})),
        ("2", replaced("flagship_4096", seconds=4096 * 0.3, batch=4096)),
        ("2", replaced("flagship_4096", seconds=400.0, batch=4096, peak_bytes=int(13e9))),
        ("3", replaced("flagship_1", "tenseal_highlevel", seconds=100.0, status="partial")),
        ("4", replaced("lstm_step_1", "openfhe, baby-step giant-step", seconds=0.4)),
        ("5", replaced("cnn_1", "helayers", seconds=0.1)),
        ("5", replaced("cnn_1", "tenseal_sealapi", seconds=0.19)),
        ("5", replaced("cnn_batch", "openfhe", seconds=1.0, batch=8192, group="cnn")),
        ("6", replaced("refresh", seconds=2.5, group="refresh")),
        ("7", replaced("cnn_1", seconds=0.2, mean_error=1e-3)),
        ("7", replaced("flagship_1", seconds=8.0, peak_bytes=int(9e9))),
        ("8", replaced("scaling_frames_8", seconds=40.0, case={"frames": 8})),
        ("workers", replaced("workers", "2 workers", seconds=6.0, contender="ours")),
    ],
)
def test_every_target_can_be_missed(target: str, records: list[Record]) -> None:
    assert verdicts(records)[target] == "no"


def test_what_was_not_measured_is_no_success() -> None:
    assert set(verdicts([record("other_1")]).values()) == {"not measured", "yes"} - {"yes"}
    wrong = replaced("cnn_1", seconds=0.2, status="wrong")
    assert verdicts(wrong)["5"] == "not measured", "a fast wrong result meets nothing"
    failed = replaced("flagship_1", "tenseal_highlevel", status="failed", run={})
    assert verdicts(failed)["3"] == "not measured"
    two_cores = replaced("lstm_step_1", "openfhe, baby-step giant-step", seconds=0.6, cores=2)
    assert verdicts(two_cores)["4"] == "not measured", "two threads are not compared with one"


def test_the_report_is_whole(tmp_path: Path) -> None:
    gone = record(
        "cnn_1", "desilo", status="skipped", reason="no environment | here", run={}, setup={}
    )
    page = write_report([*all_good(), gone], load_suites(), "heclstm bench", tmp_path)
    names = {path.name for path in tmp_path.iterdir()}
    assert names >= {"index.html", "bench.json", "bench.md", "runs.parquet", "summary.parquet"}
    assert names >= {"kinds.parquet", "batches.svg", "times.svg", "floor.svg", "scaling.svg"}
    content = json.loads((tmp_path / "bench.json").read_text(encoding="utf-8"))
    assert [row["id"] for row in content["targets"]] == [target.id for target in TARGETS]
    assert content["provenance"]["seeds"]["cnn_1"] == 1
    assert len(content["provenance"]["data_digests"]["flagship_1"]) == 64
    assert content["largest_load"] == 0.5
    assert "cnn_batch" in content["provenance"]["config"]
    assert content["sessions"] == [{"began": "2026-01-01", "commit": "abc"}]
    runs = pd.read_parquet(tmp_path / "runs.parquet")
    assert len(runs) == len(all_good()) + 1 and runs.equals(runs_table_in_order(runs))
    text = page.read_text(encoding="utf-8")
    assert text.count("<svg") == 8 and "<script" not in text
    assert "WRONG, off by 0.3" in text and "skipped: no environment | here" in text
    table = (tmp_path / "bench.md").read_text(encoding="utf-8")
    widths = {line.count("|") for line in table.splitlines() if line.startswith("| desilo")}
    assert widths == {17}, "a bar inside a reason must not make a column"


def runs_table_in_order(runs: pd.DataFrame) -> pd.DataFrame:
    """Entries in the order of the configuration, the rest after them."""
    known = [(suite.name, entry.title) for suite in load_suites() for entry in suite.entries]
    keys = zip(runs["suite"], runs["title"], strict=True)
    places = [known.index(key) if key in known else len(known) for key in keys]
    return runs.iloc[np.argsort(places, kind="stable")].reset_index(drop=True)


def test_the_same_records_draw_the_same_bytes(tmp_path: Path) -> None:
    for folder in ("a", "b"):
        write_report(all_good()[:3], (), "heclstm bench", tmp_path / folder)
    for name in ("times.svg", "bench.md"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_few_records_make_a_report_too(tmp_path: Path) -> None:
    nothing: dict[str, Any] = {"run": {}, "setup": {}, "floor": {}, "peak_bytes": 0, "error": None}
    nothing["mean_error"] = None
    lonely = record("cnn_1", "desilo", status="skipped", reason="no", **nothing)
    write_report([lonely], (), "heclstm bench", tmp_path)
    assert not list(tmp_path.glob("*.svg"))
    assert runs_table([lonely])["server_s"].isna().all()
    with pytest.raises(BenchError, match="no record to report on"):
        write_report([], (), "heclstm bench", tmp_path)


def test_the_targets_name_suites_that_exist() -> None:
    suites = load_suites()
    known = {suite.name for suite in suites} | {suite.group for suite in suites}
    for target in TARGETS:
        assert set(target.suites) <= known, target.id
    titles = {entry.title for suite in suites for entry in suite.entries}
    assert {"ours", "ours, 2 processes", "1 worker", "2 workers", "tenseal_sealapi"} <= titles
    assert load_suites("quick")
