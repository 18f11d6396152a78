"""The house keeps its shape: imports, sizes, names, and what may stand in the repository."""

from __future__ import annotations

import ast
import json
import re
import statistics
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from heclstm_lib.paths import repo_root

ROOT = repo_root()
PACKAGE = ROOT / "heclstm_lib"
MODULES = sorted(PACKAGE.rglob("*.py"))
TEXT = {".py", ".md", ".toml", ".yml", ".yaml", ".lock", ".json", ".csv", ".j2", ".css", ".ipynb"}
NAMES = [path.relative_to(PACKAGE).as_posix() for path in MODULES]
Function = ast.FunctionDef | ast.AsyncFunctionDef


def tracked_files() -> list[Path]:
    """Files under version control; every file outside hidden folders where git is absent."""
    done = subprocess.run(
        ["git", "-C", str(ROOT), "ls-files", "-z"], capture_output=True, text=True
    )
    if done.returncode == 0:
        files = [ROOT / name for name in done.stdout.split("\0") if name]
    else:
        files = [p for p in ROOT.rglob("*") if not p.relative_to(ROOT).parts[0].startswith(".")]
    return [path for path in files if path.is_file()]


def functions(tree: ast.AST) -> Iterator[Function]:
    return (node for node in ast.walk(tree) if isinstance(node, Function))


def length(node: Function) -> int:
    assert node.end_lineno is not None
    return node.end_lineno - node.lineno + 1


def imported(tree: ast.AST) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def undocumented(tree: ast.Module, path: Path) -> Iterator[str]:
    """Public names without a docstring; a backend's methods may rely on the protocol's."""
    protocol = ast.parse((PACKAGE / "he" / "backend.py").read_text(encoding="utf-8"))
    promised = {f.name for f in functions(protocol) if ast.get_docstring(f)}
    for node in tree.body:
        if not isinstance(node, Function | ast.ClassDef) or node.name.startswith("_"):
            continue
        if not ast.get_docstring(node):
            yield node.name
        inherited = promised if path.parent.name == "he" and "Backend" in node.name else set()
        for inner in node.body if isinstance(node, ast.ClassDef) else []:
            if not isinstance(inner, Function) or inner.name.startswith("_"):
                continue
            if not ast.get_docstring(inner) and inner.name not in inherited:
                yield f"{node.name}.{inner.name}"


def test_import_contracts_hold() -> None:
    lint = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run(
        [str(lint), "--no-logo", "--no-cache"], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout
    assert "0 broken" in done.stdout


def test_the_server_process_never_loads_the_secret_type() -> None:
    code = (
        "import sys, heclstm_lib.he.server; "
        "print([n for n in ('keys', 'client') if f'heclstm_lib.he.{n}' in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert (done.stdout.strip(), done.returncode) == ("[]", 0), done.stderr
    assert (PACKAGE / "he" / "keys.py").is_file()


def test_reading_data_loads_neither_torch_nor_tenseal() -> None:
    code = (
        "import sys, heclstm_lib.data.sequences, heclstm_lib.data.splits, heclstm_lib.data.fetch; "
        "print([n for n in ('torch', 'tenseal') if n in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert (done.stdout.strip(), done.returncode) == ("[]", 0), done.stderr


BLOCKED = """
import sys

class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {names}:
            raise ModuleNotFoundError(f"{{name}} is blocked by a test", name=name)

sys.meta_path.insert(0, Blocked())
import heclstm_lib.cli, heclstm_lib.runner, heclstm_lib.stages, heclstm_lib.study
for path in {stages}:
    __import__(path)
sys.exit(heclstm_lib.cli.main({arguments}))
"""


@pytest.mark.parametrize("command", ["study", "plan", "evaluate"])
def test_a_study_needs_nothing_of_the_cluster(command: str) -> None:
    names = {"dask", "distributed", "fsspec", "s3fs", "snakemake", "bokeh", "moto"}
    stages = [f"heclstm_lib.stages.{path.stem}" for path in (PACKAGE / "stages").glob("[!_]*.py")]
    code = BLOCKED.format(names=names, stages=stages, arguments=[command, "--help"])
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert f"usage: heclstm {command}" in done.stdout


@pytest.mark.parametrize("path", MODULES, ids=NAMES)
def test_module_is_short_and_documented(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 250
    tree = ast.parse(text)
    long = {f.name: length(f) for f in functions(tree) if length(f) > 60}
    assert not long
    assert ast.get_docstring(tree), "no module docstring"
    bare = list(undocumented(tree, path))
    assert not bare, f"no docstring: {bare}"


@pytest.mark.parametrize("path", MODULES, ids=NAMES)
def test_module_follows_the_conventions(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    asserts = [node.lineno for node in ast.walk(tree) if isinstance(node, ast.Assert)]
    assert not asserts, f"assert is not for users, lines {asserts}"
    if path.relative_to(PACKAGE).as_posix() != "he/seal.py":
        assert not {name for name in imported(tree) if name.split(".")[0] == "tenseal"}


def test_most_functions_are_small() -> None:
    lengths = [
        length(node)
        for path in MODULES
        for node in functions(ast.parse(path.read_text(encoding="utf-8")))
    ]
    assert len(lengths) > 200
    assert statistics.median(lengths) <= 12


def test_packages_are_one_level_deep() -> None:
    assert max(len(path.relative_to(PACKAGE).parts) for path in MODULES) == 2


def test_no_path_of_a_machine_and_no_registry_in_tracked_files() -> None:
    personal = re.compile(
        r"(?<![\w.~-])/(?:home|root|Users|work|opt/pypi)/[\w.-]+|(?i:pypi\.org|pythonhosted)"
    )
    found = {
        str(path.relative_to(ROOT)): sorted(set(personal.findall(text)))[:3]
        for path in tracked_files()
        if path.suffix in TEXT or path.name in {"Makefile", "run"}
        if path != Path(__file__)
        if personal.search(text := path.read_text(encoding="utf-8", errors="replace"))
    }
    assert not found


def test_no_image_of_a_patient_and_no_large_file_is_tracked() -> None:
    for path in tracked_files():
        inside = path.relative_to(ROOT)
        assert path.suffix.lower() not in {".jpg", ".jpeg", ".npz", ".npy", ".pt", ".gz"}, inside
        limit = 2_000_000 if inside.parts[0] == "reports" else 1_500_000
        assert path.stat().st_size <= limit, f"{inside} has {path.stat().st_size} bytes"


def test_source_notebooks_carry_no_outputs() -> None:
    sources = [p for p in tracked_files() if p.suffix == ".ipynb" and "reports" not in p.parts]
    assert len(sources) >= 6
    for path in sources:
        for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
            assert not cell.get("outputs"), path.name
            assert cell.get("execution_count") is None, path.name


def test_every_notebook_has_a_twin() -> None:
    names = {p.stem for p in (ROOT / "notebooks").glob("*.py")}
    assert names == {p.stem for p in (ROOT / "notebooks").glob("*.ipynb")}
