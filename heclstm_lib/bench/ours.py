"""Our contender: `python -m heclstm_lib.bench.ours` answers the benchmark's lines of JSON."""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
import traceback
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from heclstm_lib.bench.cases import load_case
from heclstm_lib.bench.our_plan import Ours
from heclstm_lib.errors import BenchError, HeclstmError


def answer(request: dict[str, Any], state: dict[str, Any]) -> dict[str, Any]:
    """The answer to one request; `state` keeps the contender between them."""
    command = request.get("command")
    if command == "setup":
        folder = state["folder"] = tempfile.TemporaryDirectory(prefix="heclstm-bench-")
        begin = time.perf_counter()
        options = dict(request.get("options") or {})
        ours = state["ours"] = Ours(load_case(Path(request["case"])), options, Path(folder.name))
        return {"ok": True, "setup_s": time.perf_counter() - begin} | ours.facts()
    if command == "quit":
        if "ours" in state:
            state["ours"].machine.close()
        return {"ok": True}
    if command not in ("run", "floor") or "ours" not in state:
        raise BenchError(f"command {command!r}: expected setup, then run, floor or quit.")
    return {"ok": True} | getattr(state["ours"], command)()


def answers(lines: Iterable[str]) -> Iterator[dict[str, Any]]:
    """One answer a line, until "quit"; an error becomes ok: false with its reason."""
    state: dict[str, Any] = {}
    for line in lines:
        try:
            request = json.loads(line)
            yield answer(request, state)
        except HeclstmError as error:
            yield {"ok": False, "reason": str(error)}
            continue
        except Exception as error:  # the benchmark records it and goes on
            traceback.print_exc(file=sys.stderr)
            yield {"ok": False, "reason": f"{type(error).__name__}: {error}"}
            continue
        if request.get("command") == "quit":
            return


def main() -> None:
    """Answer stdin; whatever else is printed goes to stderr."""
    stdout = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    for line in answers(sys.stdin):
        stdout.write(json.dumps(line) + "\n")
        stdout.flush()


if __name__ == "__main__":
    main()
