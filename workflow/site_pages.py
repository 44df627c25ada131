"""What the documentation's site shows beyond docs/*.md, as a hook of MkDocs (mkdocs.yml).

Pages at the top of the repository (CONTRIBUTING.md and others) become pages of the site. A notebook becomes a page with
its outputs. A link to another file of the repository leads to a copy of it as text: the site is complete by itself.
"""

import json
import os
import re
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parents[1]
TOP = ("README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md")
ABOUT = "about.md"  # of the site: README.md, since docs/README.md is the site's first page
COPIES = "source"
_LINK = re.compile(r"(!?\[[^\]]*\])\(([^)#:\s]+)(#[^)\s]*)?\)")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages at the top, a page per notebook, and copies of files that pages link to."""
    for name in TOP:
        files.append(File.generated(config, _place(ROOT / name), abs_src_path=str(ROOT / name)))
    for file in [each for each in files if each.src_uri.endswith(".ipynb")]:
        text = notebook_page(json.loads(file.content_string), Path(file.src_uri).name)
        files.append(File.generated(config, f"{file.src_uri.removesuffix('.ipynb')}.md", content=text))
    for source in _linked_sources(files):
        files.append(File.generated(config, _place(source), content=source.read_text(encoding="utf-8")))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:  # noqa: ARG001 - MkDocs passes them
    """Return the page with links as they are in the site."""
    here = _folder(page.file)

    def link(match: re.Match[str]) -> str:
        text, target, anchor = match[1], here / match[2], match[3] or ""
        if not target.exists():
            return match[0]  # MkDocs says so
        if target.is_dir():
            words, path = text[1:-1], os.path.relpath(target, ROOT)
            return words if path in words else f"{words} (`{path}/`)"
        relative = os.path.relpath(_place(target), Path(page.file.src_uri).parent)
        return f"{text}({relative.removesuffix('.ipynb') + '.md' if relative.endswith('.ipynb') else relative}{anchor})"

    return _LINK.sub(link, markdown)


def notebook_page(notebook: dict[str, Any], name: str) -> str:
    """Return a notebook as Markdown: text, code, and the outputs that it holds (text and PNG)."""
    parts = []
    for cell in notebook["cells"]:
        source = "".join(cell["source"])
        parts.append(source if cell["cell_type"] == "markdown" else f"```python\n{source}\n```")
        for output in cell.get("outputs", []):
            data = output.get("data", {})
            if "image/png" in data:
                picture = "".join(data["image/png"]).strip()
                parts.append(f'<img alt="Output of the cell above" src="data:image/png;base64,{picture}">')
            elif text := "".join(output.get("text", data.get("text/plain", ""))).rstrip():
                parts.append(f"```text\n{text}\n```")
    title, *rest = parts[0].split("\n", 1)
    download = f'<a href="{name}" download>This page as a notebook</a>'
    return "\n\n".join([title, download, *rest, *parts[1:]])


def _folder(file: File) -> Path:
    """Return the folder in the repository from which a page's links start."""
    generated = {_place(ROOT / name): ROOT for name in TOP}
    return generated.get(file.src_uri, ROOT / "docs" / Path(file.src_uri).parent)


def _place(path: Path) -> str:
    """Return the path in the site's sources of a file of the repository."""
    relative = Path(os.path.relpath(path, ROOT))
    if relative.parts[0] == "docs":
        return relative.relative_to("docs").as_posix()
    if str(relative) in TOP:
        return ABOUT if str(relative) == "README.md" else str(relative)
    shown = "/".join(part.removeprefix(".") for part in relative.parts)  # MkDocs leaves hidden files out
    return f"{COPIES}/{shown}.txt"


def _linked_sources(files: Files) -> list[Path]:
    """Return the files outside docs/ that pages link to, besides those that are pages."""
    found: set[Path] = set()
    for file in files.documentation_pages():
        targets = (_folder(file) / match[2] for match in _LINK.finditer(file.content_string))
        found |= {Path(os.path.normpath(each)) for each in targets if each.is_file()}
    return sorted(each for each in found if _place(each).startswith(f"{COPIES}/"))
