"""What is measured: suites of one case and its contenders, read from YAML.

`suites.yml` is the whole benchmark, `quick.yml` a rehearsal of it with small cases.
"""

from __future__ import annotations

import dataclasses
import os
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any

import yaml

from heclstm_lib.bench.cases import CaseSpec
from heclstm_lib.errors import ConfigError, ContenderAbsent
from heclstm_lib.typed import build

SHIPPED = ("suites", "quick")


@dataclass(frozen=True)
class Entry:
    """One contender's part in a suite; `options` go to its `setup` as they are."""

    name: str  # "ours", or a folder of benchmarks/rivals
    label: str = ""  # tells two entries of one contender apart; its name when empty
    threads: int = 1  # threads its libraries may use, and cores it is pinned to ...
    cores: int | None = None  # ... unless this says otherwise (worker processes)
    repeats: int | None = None  # None: the suite's
    warmup: int | None = None  # None: the suite's
    floor: bool = False  # ask for the measured floor of its plan after each run
    options: dict[str, Any] = field(default_factory=dict)

    @property
    def title(self) -> str:
        """The label, or the contender's name."""
        return self.label or self.name


@dataclass(frozen=True)
class Suite:
    """One case, and who computes it: rounds over the entries, one run each."""

    name: str
    title: str
    group: str  # suites of one group share a figure
    case: CaseSpec
    entries: tuple[Entry, ...]
    repeats: int = 5
    warmup: int = 1  # runs after set-up that are not counted
    resident: bool = True  # False: a contender is started anew for each run, to save memory
    timeout_s: float = 1800.0  # for one set-up or one run
    tolerance: float = 0.01  # largest error of an output that still counts as correct

    def __post_init__(self) -> None:
        titles = [entry.title for entry in self.entries]
        if len(set(titles)) != len(titles):
            raise ConfigError(
                f"suite '{self.name}': two entries have one title; give them labels ({titles})."
            )

    def rounds(self, entry: Entry) -> int:
        """Counted runs of an entry."""
        return self.repeats if entry.repeats is None else entry.repeats

    def warmups(self, entry: Entry) -> int:
        """Runs of an entry that are not counted, after each start."""
        return self.warmup if entry.warmup is None else entry.warmup


def load_suites(name_or_path: str = "suites") -> tuple[Suite, ...]:
    """The suites of a shipped file ("suites", "quick") or of any YAML file.

    Raises ConfigError for what it cannot read, unknown keys and values out of range.
    """
    path = Path(name_or_path)
    if name_or_path in SHIPPED:
        path = Path(str(resources.files("heclstm_lib.bench") / f"{name_or_path}.yml"))
    try:
        raw = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError) as error:
        raise ConfigError(f"cannot read suites {path}: {error}") from error
    if not isinstance(raw, list):
        raise ConfigError(f"{path.name}: expected a list of suites, got {type(raw).__name__}.")
    suites = [suite for item in raw for suite in _expand(item, path.name)]
    names = [suite.name for suite in suites]
    if len(set(names)) != len(names):
        raise ConfigError(f"{path.name}: suite names must differ, got {names}.")
    return tuple(suites)


def _expand(raw: Any, where: str) -> list[Suite]:
    """One suite, or one per value of `sweep: {FIELD OF THE CASE: [values]}`."""
    if not isinstance(raw, dict):
        raise ConfigError(f"{where}: expected a mapping for a suite, got {raw!r}.")
    raw = dict(raw)
    sweep = raw.pop("sweep", None)
    if sweep is None:
        return [_suite(raw, where)]
    if not isinstance(sweep, dict) or len(sweep) != 1:
        raise ConfigError(f"{where}: sweep names one field of the case and its values: {sweep!r}.")
    ((name, values),) = sweep.items()
    return [
        _suite(
            raw
            | {
                "name": f"{raw.get('name')}_{value}",
                "title": str(raw.get("title", "")).format(value=value),
                "case": raw.get("case", {}) | {name: value},
            },
            where,
        )
        for value in values
    ]


def _suite(raw: dict[str, Any], where: str) -> Suite:
    where = f"{where}: suite '{raw.get('name')}'"
    entries = [_entry(item, where) for item in raw.get("entries", ())]
    if not entries:
        raise ConfigError(f"{where}: entries is empty; name at least one contender.")
    suite: Suite = build(Suite, raw | {"entries": []}, where)
    return dataclasses.replace(suite, entries=tuple(entries))


def _entry(raw: Any, where: str) -> Entry:
    raw = {"name": raw} if isinstance(raw, str) else dict(raw)
    options = raw.pop("options", {})
    if not isinstance(options, dict):
        raise ConfigError(f"{where}: options: expected a mapping, got {options!r}.")
    entry: Entry = build(Entry, raw, where)
    counts = (entry.threads, entry.cores, entry.repeats)
    if any(count is not None and count < 1 for count in counts):
        raise ConfigError(f"{where}: '{entry.title}': threads, cores, repeats: at least 1 each.")
    return dataclasses.replace(entry, options=options)


def choose_suites(
    suites: tuple[Suite, ...], names: list[str], contenders: list[str], repeats: int | None
) -> tuple[Suite, ...]:
    """The suites called so (or whose group is), with the named contenders and repeats only.

    An empty list chooses all. ConfigError names what there is.
    """
    known = {suite.name for suite in suites} | {suite.group for suite in suites}
    _check_known("case", names, known)
    _check_known("contender", contenders, {e.name for s in suites for e in s.entries})
    chosen = []
    for suite in suites:
        entries = tuple(e for e in suite.entries if not contenders or e.name in contenders)
        if entries and (not names or {suite.name, suite.group} & set(names)):
            if repeats is not None:
                entries = tuple(dataclasses.replace(e, repeats=repeats) for e in entries)
            chosen.append(dataclasses.replace(suite, entries=entries))
    return tuple(chosen)


def _check_known(what: str, names: list[str], known: set[str]) -> None:
    unknown = sorted(set(names) - known)
    if unknown:
        raise ConfigError(
            f"unknown {what}(s) {', '.join(unknown)}; there are: {', '.join(sorted(known))}."
        )


def cores_for(entry: Entry) -> tuple[int, ...]:
    """The last cores this process may use: the harness itself, idle meanwhile, keeps the first.

    Raises ContenderAbsent when there are fewer than the entry wants.
    """
    available, wanted = sorted(os.sched_getaffinity(0)), entry.cores or entry.threads
    if wanted > len(available):
        raise ContenderAbsent(f"{wanted} cores wanted, {len(available)} available.")
    return tuple(available[-wanted:])
