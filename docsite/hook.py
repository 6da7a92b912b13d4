"""The hook of MkDocs: adds the pages that are made from the code, and makes those of docs/ fit for the site."""

from __future__ import annotations

import re
import sys
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

ROOT = Path(__file__).resolve().parents[1]
if str(ROOT) not in sys.path:  # MkDocs loads this file alone
    sys.path.insert(0, str(ROOT))

from adbench.api import registry as plugins  # noqa: E402
from docsite import citing, commands, data_sets, links, methods, plugin_hooks  # noqa: E402
from docsite.markdown import Page  # noqa: E402

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files
    from mkdocs.structure.pages import Page as SitePage

MORE = "Guides"
"""The part of the navigation that gets the pages which mkdocs.yml does not name."""

ASSETS = ("site.css", "iframe-worker.js")
"""Files of this package that the site has in its folder assets/, as mkdocs.yml says."""


@cache
def _registry() -> plugins.Registry:
    return plugins.load()


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Name headings as GitHub and GitLab do, and complete the navigation."""
    from pymdownx.slugs import slugify

    config.mdx_configs["toc"] = {**config.mdx_configs.get("toc", {}), "slugify": slugify(case="lower")}
    config.nav = completed(config.nav or [], [page.path for page in made(_registry())])
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages beside README, those made from the code, and those of files that pages link to."""
    from mkdocs.structure.files import File

    texts = {file.src_uri: file.content_string for file in files.documentation_pages()}
    pages = made(_registry())
    for name, uri in links.ROOT_PAGES.items():
        if uri not in texts:
            text = (ROOT / name).read_text(encoding="utf-8")
            pages.append(Page(uri, text if name.endswith(".md") else f"# {name.title()}\n\n```text\n{text}```\n"))
    texts |= {page.path: page.text for page in pages}
    for page in (*pages, *links.sources(texts, ROOT)):
        files.append(File.generated(config, page.path, content=page.text))
    for name in ASSETS:
        files.append(File.generated(config, f"assets/{name}", abs_src_path=str(Path(__file__).with_name(name))))
    return files


def on_page_markdown(markdown: str, page: SitePage, config: MkDocsConfig, files: Files) -> str:
    """Add a method's facts to its page, and make links and tables fit."""
    uri = page.file.src_uri
    if uri.startswith("source/"):
        return markdown
    text = links.rewritten(markdown, uri, ROOT)
    registry = _registry()
    folder, _, name = uri.removesuffix(".md").rpartition("/")
    if folder == methods.FOLDER and name in registry.methods and page.file.abs_src_path:
        text += "\n" + methods.facts(registry.methods[name])
    if uri == citing.PATH:
        text += "\n" + citing.facts(registry, ROOT)
    return bars(text)


def made(registry: plugins.Registry) -> list[Page]:
    """All pages that are made from the code alone."""
    found = [*commands.pages(), *data_sets.pages(registry), *plugin_hooks.pages(registry)]
    written = {path.stem for path in (ROOT / "docs" / methods.FOLDER).glob("*.md")}
    return [*found, *(methods.page(each) for each in methods.own(registry) if each.name not in written)]


def bars(text: str) -> str:
    r"""Replace ``\|`` by ``|`` in code in rows of tables: GitHub wants the backslash, Python-Markdown shows it."""

    def row(match: re.Match[str]) -> str:
        return re.sub("`[^`\n]+`", lambda found: found[0].replace("\\|", "|"), match[0])

    return re.sub(r"^\|.*$", row, text, flags=re.MULTILINE)


def completed(nav: list[Any], generated: list[str]) -> list[Any]:
    """The navigation with every page: commands, methods and data sets in their parts, and others under ``MORE``.

    Args:
        nav: as in mkdocs.yml: a list of parts, {title: list of pages}.
        generated: the paths of pages that are made from the code.
    """
    written = sorted(path.relative_to(ROOT / "docs").as_posix() for path in (ROOT / "docs").rglob("*.md"))
    everything = [*written, *(path for path in generated if path not in written)]
    named = set(_pages_in(nav))
    parts: list[Any] = []
    for part in nav:
        ((title, pages),) = part.items()
        folders = {page.partition("/")[0] for page in _pages_in(pages) if page.endswith(("/index.md", "/README.md"))}
        inside = [path for path in everything if path not in named and path.partition("/")[0] in folders]
        named |= set(inside)
        parts.append({title: [*pages, *sorted(inside)]})
    left = [path for path in everything if path not in named]
    for part in parts:
        if MORE in part:
            part[MORE] = [*part[MORE], *left]
    return parts


def _pages_in(nav: Any) -> list[str]:
    """All pages of a part of the navigation, at any depth."""
    if isinstance(nav, str):
        return [nav]
    inside = nav.values() if isinstance(nav, dict) else nav
    return [page for each in inside for page in _pages_in(each)]
