"""Rendering: self-contained, with and without code, formulas that need no network."""

from __future__ import annotations

import base64
import html
import io
from pathlib import Path

import nbformat
import numpy as np
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from PIL import Image

from heclstm_lib.errors import ReportError
from heclstm_lib.report import compress_images, formula, notebook_title, render_notebook


def png(pixels: np.ndarray) -> str:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format="PNG", compress_level=0)
    return base64.b64encode(buffer.getvalue()).decode()


@pytest.fixture
def pages(tmp_path: Path) -> tuple[str, str]:
    pixels = np.tile(np.arange(64, dtype=np.uint8), (64, 1))
    table = "<table class='dataframe'><tr><td>0.95</td></tr></table>"
    notebook = new_notebook(
        cells=[
            new_markdown_cell("## Before\n# The *title*\n\n$a_t = \\sigma(x)$ & more\n\n$$b^2$$"),
            new_code_cell(
                "secret_of_the_code = 1",
                execution_count=1,
                outputs=[
                    new_output("stream", name="stdout", text="kept line"),
                    new_output("stream", name="stderr", text="progress bar"),
                    new_output("display_data", {"text/html": table, "text/plain": "t"}),
                    new_output("display_data", {"image/png": png(pixels), "text/plain": "f"}),
                    new_output("error", ename="E", evalue="v", traceback=["what failed"]),
                ],
            ),
        ],
        metadata={"language_info": {"name": "python"}},
    )
    source = tmp_path / "01_a.ipynb"
    nbformat.write(notebook, source)
    plain, code = render_notebook(source, tmp_path / "out", "01_a", "../index.html")
    assert (plain.name, code.name) == ("01_a.html", "01_a.code.html")
    return plain.read_text(encoding="utf-8"), code.read_text(encoding="utf-8")


def test_code_and_progress_only_where_wanted(pages: tuple[str, str]) -> None:
    plain, code = pages
    assert "secret_of_the_code" in code
    assert "secret_of_the_code" not in plain
    assert "progress bar" in code
    assert "progress bar" not in plain
    assert "In\N{NO-BREAK SPACE}[1]" in code
    assert "[1]" not in plain.split("<main>")[1]


def test_results_and_errors_are_in_both(pages: tuple[str, str]) -> None:
    for page in pages:
        assert "<title>The *title*</title>" in page
        assert "kept line" in page
        assert "0.95" in page
        assert "what failed" in page
        assert 'href="../index.html"' in page


def test_pages_need_no_script_and_no_network(pages: tuple[str, str]) -> None:
    for page in pages:
        assert "<script" not in page
        assert "<link" not in page
        assert 'src="http' not in page and "@import" not in page
        assert page.count("<math") == 2
        assert "$a_t" not in page


def test_pictures_stay_equal_and_shrink(pages: tuple[str, str]) -> None:
    pixels = np.tile(np.arange(64, dtype=np.uint8), (64, 1))
    before = f'<img src="data:image/png;base64,{png(pixels)}">'
    after = compress_images(before)
    assert len(after) < len(before) / 3
    assert "data:image/webp;base64," in after
    packed = base64.b64decode(after.split("base64,")[1].split('"')[0])
    assert (np.asarray(Image.open(io.BytesIO(packed)).convert("L")) == pixels).all()
    assert "data:image/webp" in pages[0]


@pytest.mark.parametrize(
    ("tex", "wanted"),
    [
        (r"z_t = \alpha s_t + (1 - \alpha) h_t", "<mi>α</mi>"),
        (r"\begin{aligned}c_t &= f \odot c \\ h_t &= o\end{aligned}", "<mtable"),
        (r"v = \begin{cases}1 & x > 0\\0 & \text{else}\end{cases}", "<mtable"),
        (r"\frac{1}{n}\sum_{t=1}^{T} v_t u_t", "<mfrac>"),
    ],
)
def test_formulas_become_mathml(tex: str, wanted: str) -> None:
    assert formula(tex, "block").startswith("<math")
    assert wanted in html.unescape(formula(tex, "block"))


def test_a_formula_that_cannot_be_converted_stays_readable() -> None:
    assert formula(r"\left( a <", "inline") == r'<code class="tex">\left( a &lt;</code>'


def test_title() -> None:
    assert notebook_title(new_notebook(cells=[new_code_cell("# no")])) is None
    assert notebook_title(new_notebook(cells=[new_markdown_cell("x\n# Yes ")])) == "Yes"


@pytest.mark.parametrize("content", [None, "not json", "{}"])
def test_unreadable_notebook(tmp_path: Path, content: str | None) -> None:
    path = tmp_path / "a.ipynb"
    if content is not None:
        path.write_text(content, encoding="utf-8")
    with pytest.raises(ReportError, match=r"cannot read notebook .*a\.ipynb"):
        render_notebook(path, tmp_path, "a", "index.html")
