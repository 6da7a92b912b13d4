"""Links of pages that read well as plain files of the repository, turned into links of the site.

A link to a file outside ``docs/`` leads to a page that shows the file: the site holds all that its pages link to.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator
from pathlib import Path

from .markdown import Page, block

ROOT_PAGES = {
    "README.md": "index.md",
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "SECURITY.md": "security.md",
    "LICENSE": "license.md",
    "CITATION.cff": "cite.md",
}
"""Files beside README with a page of the site."""

DOCS = "docs"
SHOWN = (".md", ".png", ".svg", ".jpg")
"""Files of docs/ that the site has as they are; of others it shows the source."""

LINK = re.compile(r"(\]\()([^)\s#]+)")
"""The target of a link or image, without an anchor."""

LANGUAGES = {".py": "python", ".toml": "toml", ".cfg": "ini", ".yml": "yaml", ".csv": "text"}


def place_of(uri: str) -> str:
    """The path in the repository of a page of the site."""
    roots = {page: file for file, page in ROOT_PAGES.items() if file.endswith(".md")}
    return roots.get(uri, f"{DOCS}/{uri}")


def page_of(place: str) -> str:
    """The page of the site for a file of the repository."""
    if place in ROOT_PAGES:
        return ROOT_PAGES[place]
    if place.startswith(f"{DOCS}/") and place.endswith(SHOWN):
        return place.removeprefix(f"{DOCS}/")
    return f"source/{place}.md"


def rewritten(text: str, uri: str, root: Path) -> str:
    """The text of a page, whose links to files of the repository are links of the site.

    Args:
        text: its Markdown.
        uri: its path below the site's pages.
        root: the folder of the repository.
    """

    def replace(match: re.Match[str]) -> str:
        place = _target(match[2], uri, root)
        return (
            match[0] if place is None else match[1] + posixpath.relpath(page_of(place), posixpath.dirname(uri) or ".")
        )

    return LINK.sub(replace, text)


def _target(link: str, uri: str, root: Path) -> str | None:
    """The file of the repository that a link leads to; None for addresses, and for what is no file, such as code."""
    if "://" in link or link.startswith(("/", "mailto:")):
        return None
    place = posixpath.normpath(posixpath.join(posixpath.dirname(place_of(uri)), link))
    return place if not place.startswith("..") and (root / place).is_file() else None


def sources(texts: dict[str, str], root: Path) -> Iterator[Page]:
    """A page for each file outside the site's pages that one of them links to.

    Args:
        texts: the Markdown of all pages by their paths.
        root: the folder of the repository.
    """
    places = {_target(link, uri, root) for uri, text in texts.items() for _, link in LINK.findall(text)}
    for place in sorted(place for place in places if place is not None):
        page = page_of(place)
        if page.startswith("source/"):
            path = root / place
            content = block(path.read_text(encoding="utf-8"), LANGUAGES.get(path.suffix, "text"))
            yield Page(page, f"# {place}\n\n{content}")
