"""Every relative link of the texts leads to a file of the repository."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from heclstm_lib.paths import repo_root

LINK = re.compile(r"\]\(([^)#\s]+)")
TEXTS = sorted(
    path.relative_to(repo_root()).as_posix()
    for pattern in ("*.md", "docs/*.md", "benchmarks/rivals/*.md", "reports/*/*.md")
    for path in repo_root().glob(pattern)
)


@pytest.mark.parametrize("text", TEXTS)
def test_links_lead_somewhere(text: str, root: Path) -> None:
    page = root / text
    links = LINK.findall(page.read_text(encoding="utf-8"))
    local = [link for link in links if "://" not in link and not link.startswith("mailto:")]
    missing = [link for link in local if not (page.parent / link).exists()]
    assert not missing


def test_the_readme_has_links_to_every_notebook_and_its_report(root: Path) -> None:
    readme = (root / "README.md").read_text(encoding="utf-8")
    for notebook in (root / "notebooks").glob("[0-9]*.py"):
        assert f"(notebooks/{notebook.name})" in readme
        assert f"{notebook.stem}.html)" in readme
