"""pyproject.toml, requirements.lock and environment.yml tell one story."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import Version


@pytest.fixture(scope="module")
def project(root: Path) -> dict[str, Any]:
    return tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]


@pytest.fixture(scope="module")
def wanted(project: dict[str, Any]) -> list[Requirement]:
    """What the project asks for directly, all extras included; not itself, as one of them does."""
    lists = [project["dependencies"], *project["optional-dependencies"].values()]
    found = [Requirement(text) for texts in lists for text in texts]
    return [requirement for requirement in found if requirement.name != project["name"]]


@pytest.fixture(scope="module")
def lock(root: Path) -> dict[str, str]:
    lines = (root / "requirements.lock").read_text(encoding="utf-8").splitlines()
    pins = [line.split("==") for line in lines if not line.startswith("#")]
    return {canonicalize_name(name): version for name, version in pins}


def test_lock_holds_exact_pins_only(root: Path) -> None:
    text = (root / "requirements.lock").read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    assert len(lines) > 100
    for line in lines:
        assert re.fullmatch(r"[A-Za-z0-9._-]+==[0-9][A-Za-z0-9.]*", line), line
    assert "://" not in text


def test_lock_has_one_torch_and_no_gpu_packages(lock: dict[str, str]) -> None:
    assert lock["torch"] == "2.13.0"
    assert not [name for name in lock if name.startswith(("nvidia", "cuda", "triton"))]


def test_every_dependency_is_pinned_in_its_range(
    wanted: list[Requirement], lock: dict[str, str]
) -> None:
    for requirement in wanted:
        pinned = lock[canonicalize_name(requirement.name)]
        assert requirement.specifier.contains(pinned), f"{requirement}, locked {pinned}"


def test_lock_is_closed_and_minimal(wanted: list[Requirement], lock: dict[str, str]) -> None:
    """Everything the pinned packages need is pinned in range, and nothing else is."""
    waiting = [(requirement, "") for requirement in wanted]
    seen: set[tuple[str, str]] = set()
    while waiting:
        requirement, _ = waiting.pop()
        name = canonicalize_name(requirement.name)
        assert name in lock, f"{requirement} is not locked; run: make lock"
        assert requirement.specifier.contains(lock[name], prereleases=True), requirement
        for extra in ("", *requirement.extras):
            if (name, extra) in seen:
                continue
            seen.add((name, extra))
            for text in metadata.requires(name) or []:
                needed = Requirement(text)
                if needed.marker is None or needed.marker.evaluate({"extra": extra}):
                    waiting.append((needed, extra))
    assert {name for name, _ in seen} == set(lock)


def test_environment_yml_installs_the_lock(root: Path, project: dict[str, Any]) -> None:
    environment = yaml.safe_load((root / "environment.yml").read_text(encoding="utf-8"))
    dependencies = environment["dependencies"]
    assert dependencies[-1] == {"pip": ["-r requirements.lock", "-e ."]}
    (python,) = [d for d in dependencies if isinstance(d, str) and d.startswith("python=")]
    version = python.removeprefix("python=")
    assert SpecifierSet(project["requires-python"]).contains(f"{version}.0")
    assert not SpecifierSet(project["requires-python"]).contains("3.12.0")
    workflow = (root / ".github/workflows/ci.yml").read_text(encoding="utf-8")
    assert f'python-version: "{version}"' in workflow
    assert f"python{version}" in (root / "Makefile").read_text(encoding="utf-8")
    assert f"Python {version}" in (root / "requirements.lock").read_text(encoding="utf-8")


def test_installed_versions_equal_the_lock(root: Path, lock: dict[str, str]) -> None:
    if not Path(sys.prefix).samefile(root / ".venv"):
        pytest.skip("not running in the project's own .venv")
    for name, version in lock.items():
        installed = Version(metadata.version(name))
        assert installed.public == Version(version).public, f"{name}; run: make install"


def test_package_data_are_declared(root: Path) -> None:
    pyproject = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))
    patterns = pyproject["tool"]["setuptools"]["package-data"]["heclstm_lib"]
    package = root / "heclstm_lib"
    covered = {path for pattern in patterns for path in package.glob(pattern)}
    others = {
        path
        for path in package.rglob("*")
        if path.is_file() and path.suffix != ".py" and "__pycache__" not in path.parts
    }
    assert others <= covered, sorted(others - covered)


@pytest.mark.parametrize("target", ["study", "test", "lint"])
def test_make_refuses_another_python_with_a_clear_message(
    root: Path, tmp_path: Path, target: str
) -> None:
    command = ["make", "--no-print-directory", target, f"VENV={tmp_path}/venv", "PYTHON=/bin/false"]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True)
    assert done.returncode == 2
    assert "Python 3.11 is needed (/bin/false)" in done.stdout
    assert not (tmp_path / "venv").exists()


def test_make_names_the_missing_venv_package(root: Path, tmp_path: Path) -> None:
    python = tmp_path / "python3.11"
    python.write_text('#!/bin/sh\ncase "$2" in *ensurepip*) exit 1;; esac\nexit 0\n')
    python.chmod(0o755)
    command = ["make", "--no-print-directory", "test", f"VENV={tmp_path}/venv", f"PYTHON={python}"]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True)
    assert done.returncode == 2
    assert "sudo apt-get install python3.11-venv" in done.stdout
