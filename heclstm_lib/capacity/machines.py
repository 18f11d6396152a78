"""Machine types by name: shipped examples, a file of one's own, or this very machine."""

from __future__ import annotations

import shutil
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path

import psutil
import yaml

from heclstm_lib.capacity.workload import GB, Machine
from heclstm_lib.errors import ConfigError
from heclstm_lib.provenance import thread_counts
from heclstm_lib.typed import build

HERE = "here"
"""The name of the machine that asks."""


def this_machine() -> Machine:
    """This machine's cores, memory and free disk; network, price and slowdown are examples."""
    return Machine(
        cores=int(thread_counts()["available"] or 1),
        memory_gb=psutil.virtual_memory().total / GB,
        disk_gb=shutil.disk_usage(Path.cwd()).free / GB,
    )


def load_machine(name_or_file: str) -> tuple[str, Machine]:
    """A machine type's name and facts: "here", a shipped example, FILE.yml or FILE.yml:NAME.

    A file maps names to machines; with one in it, its name may be left out. ConfigError names what
    there is.
    """
    if name_or_file == HERE:
        return HERE, this_machine()
    path, name = _split(name_or_file)
    known = read_machines(path)
    if not name and len(known) == 1:
        name = next(iter(known))
    if name not in known:
        where = path.name if path else "shipped examples"
        raise ConfigError(
            f"--machine {name_or_file}: {where} have {', '.join(known)}. Give one of these "
            f"names, '{HERE}', or a file of your own: FILE.yml:NAME."
        )
    return name, known[name]


def _split(name_or_file: str) -> tuple[Path | None, str]:
    """File and name of "FILE.yml:NAME", "FILE.yml" or "NAME"."""
    for end in (".yml", ".yaml"):
        head, found, name = name_or_file.partition(end)
        if found and (not name or name.startswith(":")):
            return Path(head + end), name[1:]
    return None, name_or_file


def read_machines(path: Path | None = None) -> dict[str, Machine]:
    """The machines of a YAML file, or the shipped examples; ConfigError says what is wrong."""
    source: Traversable = path or resources.files("heclstm_lib") / "capacity" / "machines.yml"
    try:
        raw = yaml.safe_load(source.read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise ConfigError(f"--machine {path}: cannot be read ({error}).") from error
    if not isinstance(raw, dict) or not raw:
        raise ConfigError(
            f"--machine {path}: expected machines by name, such as 'mine: {{cores: 8, "
            f"memory_gb: 32}}', got {type(raw).__name__}."
        )
    where = "machines" if path is None else path.name
    return {str(name): build(Machine, facts, f"{where}.{name}") for name, facts in raw.items()}
