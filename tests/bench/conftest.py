"""A contender that behaves, or misbehaves, as its options say."""

from __future__ import annotations

from pathlib import Path

import pytest

FAKE = '''
"""Answers with the case's own expected outputs; `mode` says how it goes wrong."""
import json, os, sys, time
import numpy as np

options, case, runs = {}, {}, 0

def setup(request):
    global options, case
    options = request["options"]
    if options.get("mode") == "refuse":
        return {"ok": False, "reason": "no such layer"}
    case = dict(np.load(request["case"]))
    cores = sorted(os.sched_getaffinity(0))
    return {"ok": True, "setup_s": 1.0, "key_bytes": 1000, "upload_bytes": 20, "batch": 2,
            "response_bytes": 3, "layout": "fake", "parameters": {
            "options": options, "cores": cores, "omp": os.environ["OMP_NUM_THREADS"]}}

def run(request):
    global runs
    runs += 1
    mode, outputs = options.get("mode", "ok"), case["expected"][:2].copy()
    if mode == "crash" or mode == "crash_second" and runs == 2:
        print("segmentation of the fault", file=sys.stderr, flush=True)
        os._exit(3)
    if mode == "hang":
        time.sleep(60)
    if mode == "garbage":
        return "not an answer"
    if mode == "error":
        return {"ok": False, "reason": "ValueError: odd"}
    answer = {"ok": True, "server_s": options.get("server_s", 0.5) + runs / 1000,
              "encrypt_s": 0.1, "decrypt_s": 0.01, "max_error": 1e-6, "peak_rss_bytes": 7,
              "time_by_kind": {"rotate": 0.3, "add": 0.2}}
    if mode == "partial":
        return answer | {"note": "layers only"}
    if mode == "wrong":
        outputs += 1
    if mode == "liar":
        answer["max_error"] = 1.0
    return answer | {"outputs": outputs.tolist()}

def floor(request):
    return {"ok": True, "floor_s": 0.4, "floor_by_kind": {"rotate": 0.25, "add": 0.15}}

with open(os.environ.get("FAKE_LOG", os.devnull), "a") as log:
    for line in sys.stdin:
        request = json.loads(line)
        log.write(request["command"] + " " + options.get("tag", "") + "\\n")
        log.flush()
        if request["command"] == "quit":
            break
        print(json.dumps(globals()[request["command"]](request)), flush=True)
'''


@pytest.fixture
def scripts(tmp_path: Path) -> Path:
    """A folder of rivals like benchmarks/rivals, with the contender "fake" and "other"."""
    for name in ("fake", "other"):
        (tmp_path / "scripts" / name).mkdir(parents=True)
        (tmp_path / "scripts" / name / "rival.py").write_text(FAKE, encoding="utf-8")
    return tmp_path / "scripts"
