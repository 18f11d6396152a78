"""Environments of the rivals: `python -m heclstm_lib.bench.environments FOLDER [pip options]`.

Each rival's requirements.txt begins with `# python: X.Y` and `# licence: ...`. What cannot be
installed here is left out with the reason; the benchmark then skips that rival.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from heclstm_lib.bench.contender import missing_requirements
from heclstm_lib.errors import ContenderAbsent
from heclstm_lib.paths import repo_root

STAMP = ".installed"


def header(path: Path, key: str) -> str:
    """The value of a `# key: value` line of a requirements file, "" without one."""
    found = re.search(rf"^# {key}: *(.+?) *$", path.read_text(encoding="utf-8"), re.MULTILINE)
    return found[1] if found else ""


def find_python(version: str) -> Path:
    """An interpreter of version "3.10": on the path, or one of pyenv's.

    Raises ContenderAbsent when there is none that runs.
    """
    for python in _pythons(version):
        code = "import ensurepip, sys, venv; print('%d.%d' % sys.version_info[:2])"
        done = subprocess.run([str(python), "-c", code], capture_output=True, text=True)
        if done.returncode == 0 and done.stdout.strip() == version:
            return python
    raise ContenderAbsent(f"needs Python {version} with venv, which is not installed here.")


def _pythons(version: str) -> Iterator[Path]:
    if f"{sys.version_info[0]}.{sys.version_info[1]}" == version:
        yield Path(sys.executable)
    on_path = shutil.which(f"python{version}")
    if on_path:
        yield Path(on_path)
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    yield from sorted(pyenv.glob(f"versions/{version}.*/bin/python"), reverse=True)


def make_environment(requirements: Path, folder: Path, pip_options: Sequence[str] = ()) -> str:
    """Make or keep the environment `folder` for a rival; what was done, in words.

    A rival whose requirements this interpreter has needs none. Raises ContenderAbsent with the
    reason when it cannot be made; a half-made environment is removed.
    """
    if not missing_requirements(requirements):
        return "runs in this project's environment"
    stamp, digest = folder / STAMP, hashlib.sha256(requirements.read_bytes()).hexdigest()
    if stamp.is_file() and stamp.read_text(encoding="utf-8") == digest:
        return "is there"
    python = find_python(header(requirements, "python") or "3.11")
    install = [str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet", *pip_options]
    commands = [
        [str(python), "-m", "venv", "--clear", str(folder)],
        [*install, "-r", str(requirements)],
    ]
    for command in commands:
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            shutil.rmtree(folder, ignore_errors=True)
            last = (done.stderr or done.stdout).strip().splitlines()[-1:]
            raise ContenderAbsent(f"{' '.join(last) or 'pip failed'} (pip or venv).")
    stamp.write_text(digest, encoding="utf-8")
    return "is installed"


def main(arguments: Sequence[str]) -> int:
    """Make all environments in a folder; 0 also when some could not be made."""
    folder, pip_options = Path(arguments[0]), list(arguments[1:])
    for requirements in sorted((repo_root() / "benchmarks" / "rivals").glob("*/requirements.txt")):
        name = requirements.parent.name
        print(f"{name} ({header(requirements, 'licence')}) ...", flush=True)
        try:
            said = make_environment(requirements, folder / name, pip_options)
        except ContenderAbsent as error:
            said = f"left out: {error}"
        print(f"{name}: {said}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
