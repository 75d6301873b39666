"""Hooks of MkDocs: add the generated pages and the READMEs, and resolve links between files of the repository."""

from __future__ import annotations

import posixpath
import re
import sys
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
sys.path[:0] = [str(ROOT / "scripts"), str(ROOT)]

from documentation import catalogues, reference, schemas, style  # noqa: E402  (the path is set above)

GENERATED = {
    "reference/metrics.md": catalogues.metrics_page,
    "reference/figures.md": catalogues.figures_page,
    "reference/settings.md": schemas.settings_page,
    "reference/command-line.md": reference.command_line_page,
    "reference/python.md": reference.python_page,
    "reference/client.md": reference.client_page,
    "reference/http.md": schemas.http_page,
}
PACKAGES = ("ncengine", "ncfigures", "ncstudies", "backend", "dashboard", "tests")
INCLUDED = {
    "README.md": "index.md",
    **{f"{package}/README.md": f"design/{package}.md" for package in PACKAGES},
    "benchmarks/README.md": "design/benchmarks.md",
    "benchmarks/results/README.md": "design/benchmark-results.md",
    "benchmarks/results/gpu.md": "design/benchmark-results-gpu.md",
    "CONTRIBUTING.md": "design/contributing.md",
    "CHANGELOG.md": "design/changelog.md",
}
"""Files outside of `docs` that are pages too: path in the repository → path in the site."""
LINK = re.compile(r"(?<!!)\[([^\]]*)\]\(([^)\s]+)\)|(!\[[^\]]*\])\(([^)\s]+)\)")


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Complete the navigation with what the folders contain."""
    nav: list[Any] = list(config.nav or [])
    extending = sorted((DOCS / "extending").glob("*.md"), key=lambda path: (path.stem != "index", path.name))
    if extending:
        nav.insert(2, {"Extending": [f"extending/{path.name}" for path in extending]})
    reports = sorted((DOCS / "reproduction").glob("*/README.md"))
    nav.append({"Reports": ["reproduction/README.md", *(path.relative_to(DOCS).as_posix() for path in reports)]})
    design = next(section["Design"] for section in nav if "Design" in section)
    design += [site for site in INCLUDED.values() if site != "index.md"]
    config.nav = nav
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the generated pages, the included files, the style sheet of colours and the fonts."""
    for path, make in GENERATED.items():
        files.append(File.generated(config, path, content=make()))
    for source, site in INCLUDED.items():
        files.append(File.generated(config, site, content=(ROOT / source).read_text()))
    files.append(File.generated(config, "palette.css", content=style.palette_css()))
    for font in sorted((ROOT / "dashboard/assets/fonts").iterdir()):
        files.append(File.generated(config, f"fonts/{font.name}", abs_src_path=str(font)))
    files.append(File.generated(config, "mark.svg", abs_src_path=str(ROOT / "dashboard/assets/mark.svg")))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Replace links to files of the repository by links to pages; what is no page stays as text."""
    site_path = page.file.src_uri
    source = next((path for path, site in INCLUDED.items() if site == site_path), f"docs/{site_path}")
    return LINK.sub(lambda link: _resolve_link(link, source, site_path), markdown)


def _resolve_link(link: re.Match[str], source: str, page: str) -> str:
    image = link[3] is not None
    label, target = (link[3], link[4]) if image else (link[1], link[2])
    path, _, anchor = target.partition("#")
    if not path or ":" in path:
        return link[0]
    wanted = posixpath.normpath(posixpath.join(posixpath.dirname(source), path))
    site = INCLUDED.get(wanted) or (wanted.removeprefix("docs/") if wanted.startswith("docs/") else None)
    if site is None:
        return label if (ROOT / wanted).exists() else link[0]
    address = posixpath.relpath(site, posixpath.dirname(page) or ".") + (f"#{anchor}" if anchor else "")
    return f"{label}({address})" if image else f"[{label}]({address})"
