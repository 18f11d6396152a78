"""Render executed notebooks as self-contained pages: no script, no network, formulas as MathML."""

from __future__ import annotations

import base64
import html
import io
import re
from pathlib import Path
from typing import Any

import nbformat
from jinja2 import Environment, PackageLoader, select_autoescape
from latex2mathml.converter import convert
from nbconvert import HTMLExporter
from nbconvert.filters.markdown_mistune import IPythonRenderer, MarkdownWithMath
from PIL import Image
from pygments.formatters import HtmlFormatter

from heclstm_lib.errors import ReportError
from heclstm_lib.files import replacing

_PNG = re.compile(r"data:image/png;base64,([A-Za-z0-9+/=\s]+)")


def render_notebook(notebook: Path, folder: Path, name: str, home: str) -> tuple[Path, Path]:
    """Write `<name>.html` (without code, for reviewers) and `<name>.code.html` into `folder`.

    `home` is the relative address of the index. ReportError when the notebook cannot be read.
    """
    try:
        content = nbformat.read(notebook, as_version=4)
    except (OSError, ValueError, nbformat.ValidationError) as error:
        raise ReportError(f"cannot read notebook {notebook}: {error}") from error
    plain, code = folder / f"{name}.html", folder / f"{name}.code.html"
    title = notebook_title(content) or name
    links = {"home": home, "plain": plain.name, "code": code.name}
    for target, with_code in ((plain, False), (code, True)):
        body = compress_images(notebook_body(content, with_code))
        write_page(target, "notebook.html.j2", title=title, body=body, with_code=with_code, **links)
    return plain, code


def write_page(target: Path, template: str, **values: Any) -> Path:
    """Fill one of the project's templates (style sheets inside) and write it atomically."""
    environment = Environment(
        loader=PackageLoader("heclstm_lib"), autoescape=select_autoescape(["html.j2"]),
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    syntax = HtmlFormatter(style="default").get_style_defs(".highlight")
    page = environment.get_template(template).render(syntax=syntax, **values)
    with replacing(target) as part:
        part.write_text(page, encoding="utf-8")
    return target


def notebook_body(notebook: nbformat.NotebookNode, with_code: bool) -> str:
    """The cells as HTML; without code also without prompts and progress output (stderr)."""
    shown = nbformat.from_dict(notebook)
    if not with_code:
        for cell in shown.cells:
            if cell.cell_type == "code":
                cell.outputs = [out for out in cell.outputs if out.get("name") != "stderr"]
    exporter = _Exporter(
        template_name="basic",
        exclude_input=not with_code,
        exclude_input_prompt=not with_code,
        exclude_output_prompt=not with_code,
        embed_images=True,
        exclude_anchor_links=True,
    )
    body, _ = exporter.from_notebook_node(shown)
    return str(body)


def notebook_title(notebook: nbformat.NotebookNode) -> str | None:
    """The first top-level heading."""
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            for line in cell.source.splitlines():
                if line.startswith("# "):
                    return str(line[2:].strip())
    return None


def compress_images(page: str) -> str:
    """Embedded PNG pictures as lossless WebP where that is smaller (plots: about half)."""
    return _PNG.sub(_smaller, page)


def _smaller(match: re.Match[str]) -> str:
    data = base64.b64decode(match.group(1))
    packed = io.BytesIO()
    with Image.open(io.BytesIO(data)) as image:
        image.save(packed, format="WEBP", lossless=True, method=4)
    if packed.tell() >= len(data):
        return match.group(0)
    return "data:image/webp;base64," + base64.b64encode(packed.getvalue()).decode("ascii")


def formula(tex: str, display: str) -> str:
    """TeX as MathML, which browsers show by themselves; TeX it cannot convert stays readable."""
    known = tex.strip().replace("{aligned}", "{align*}")  # the same to a browser
    try:
        return str(convert(known, display=display))
    except Exception:  # the converter has no common base class for its errors
        return f'<code class="tex">{html.escape(tex)}</code>'


class _Renderer(IPythonRenderer):
    def block_math(self, body: str) -> str:
        return f'<span class="formula">{formula(body, "block")}</span>'

    def inline_math(self, body: str) -> str:
        return formula(body, "inline")

    def latex_environment(self, name: str, body: str) -> str:
        tex = rf"\begin{{{name}}}{body}\end{{{name}}}"
        return f'<span class="formula">{formula(tex, "block")}</span>'


class _Exporter(HTMLExporter):
    def default_filters(self) -> Any:
        yield from super().default_filters()
        yield "markdown2html", _markdown


def _markdown(source: str) -> str:
    renderer = _Renderer(escape=False, exclude_anchor_links=True)
    return MarkdownWithMath(renderer=renderer).render(source)
