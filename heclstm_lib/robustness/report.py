"""What campaigns leave in a folder: robustness.json, robustness.csv and a table to read."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from heclstm_lib.errors import ReportError
from heclstm_lib.files import replacing
from heclstm_lib.provenance import collect_provenance
from heclstm_lib.robustness.campaigns import CAMPAIGNS
from heclstm_lib.robustness.outcome import Outcome

FORMAT = 1
FILE = "robustness.json"
COUNTS = ("tried", "detected", "wrong", "crashed", "hung")
LIBRARIES = (
    "hypothesis",
    "atheris",
    "cryptography",
    "fastapi",
    "uvicorn",
    "httpx",
    "distributed",
    "s3fs",
    "moto",
)

ABOUT = """\
# Faults put in on purpose

Each row is a campaign. *detected*: met as it should be, that is refused with an error that says
why, survived with the right result, or accepted because it means the same; *wrong*: a wrong
acceptance or a wrong result; *crashed*: another exception or the end of a process that was not to
end; *hung*: not over in time. Tried = detected + wrong + crashed + hung.
"""


@dataclass(frozen=True)
class Entry:
    """A campaign's outcome, and how to repeat it."""

    campaign: str
    seed: int
    command: str
    outcome: Outcome
    provenance: dict[str, Any]

    @property
    def ok(self) -> bool:
        """Whether nothing went wrong."""
        return not (self.outcome.wrong or self.outcome.crashed or self.outcome.hung)


def make_entry(campaign: str, seed: int, command: str, outcome: Outcome) -> Entry:
    """An outcome with where it comes from."""
    found = collect_provenance(seeds={campaign: seed})
    versions = {name: _version(name) for name in LIBRARIES}
    found["libraries"] |= {name: version for name, version in versions.items() if version}
    return Entry(campaign, seed, command, outcome, found)


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return ""


def load_entries(out: Path) -> dict[str, Entry]:
    """The entries of an earlier run, by campaign; ReportError for a file that is none."""
    path = out / FILE
    if not path.exists():
        return {}
    try:
        stored = json.loads(path.read_text(encoding="utf-8"))
        entries = [
            Entry(**(one | {"outcome": Outcome(**one["outcome"])})) for one in stored["campaigns"]
        ]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ReportError(
            f"{path}: no record of campaigns ({error}). Delete it, or name another folder."
        ) from error
    return {entry.campaign: entry for entry in entries}


def write_report(out: Path, entries: Mapping[str, Entry]) -> Path:
    """Write all entries, in the order of CAMPAIGNS; the path of the table."""
    ordered = [entries[name] for name in CAMPAIGNS if name in entries]
    content = {"format": FORMAT, "campaigns": [asdict(entry) for entry in ordered]}
    _write(out / FILE, json.dumps(content, indent=1) + "\n")
    _write(out / "robustness.csv", table_csv(ordered))
    _write(out / "README.md", ABOUT + "\n" + table(ordered) + "\n" + details(ordered))
    return out / "README.md"


def _write(path: Path, text: str) -> None:
    with replacing(path) as part:
        part.write_text(text, encoding="utf-8")


def table_csv(entries: list[Entry]) -> str:
    """A line a campaign, with all that is counted."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["campaign", *COUNTS, "seconds", "seed", "command", "detail"])
    for entry in entries:
        counts = [getattr(entry.outcome, name) for name in COUNTS]
        seconds = round(entry.outcome.seconds, 1)
        row = [entry.campaign, *counts, seconds, entry.seed, entry.command, entry.outcome.detail]
        writer.writerow(row)
    return text.getvalue()


def table(entries: list[Entry]) -> str:
    """The counts as a Markdown table."""
    lines = [f"| campaign | what | {' | '.join(COUNTS)} | minutes |", "|---|---|" + "---:|" * 6]
    for entry in entries:
        counts = " | ".join(f"{getattr(entry.outcome, name):,}" for name in COUNTS)
        title, minutes = CAMPAIGNS[entry.campaign].title, entry.outcome.seconds / 60
        lines.append(f"| {entry.campaign} | {title} | {counts} | {minutes:.1f} |")
    return "\n".join(lines) + "\n"


def details(entries: list[Entry]) -> str:
    """What each campaign tried, and where it ran."""
    parts = []
    for entry in entries:
        found = entry.provenance
        versions = ", ".join(f"{name} {version}" for name, version in found["libraries"].items())
        git = found["git"] or {"commit": "no repository", "dirty": False}
        local = " with local changes" if git["dirty"] else ""
        parts.append(
            f"## {entry.campaign}\n\n{entry.outcome.detail}\n\n"
            f"`{entry.command}`, {found['created']}, commit {git['commit'][:12]}{local}; "
            f"heclstm {found['heclstm']}, Python {found['python']}, {versions}; {found['cpu']}, "
            f"{found['cores']['logical']} cores, {found['platform']}.\n"
        )
    return "\n".join(parts)
