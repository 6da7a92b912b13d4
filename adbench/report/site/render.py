"""Renders the pages with the templates beside this module and those of the report."""

from __future__ import annotations

import re
from dataclasses import dataclass

from ..page import templates
from . import places

_BLANK = re.compile(r"\n{2,}")

_PACKAGE = "adbench.report.site"


@dataclass(frozen=True)
class Site:
    """What all pages show: the heading and adbench's version."""

    title: str
    version: str


def page(name: str, site: Site, content: object) -> bytes:
    """Render a page as UTF-8.

    Args:
        name: of its template: "index", "runs", "method" or "run".
        site: what all pages show; nothing of it changes when a run is added.
        content: what this page shows.
    """
    root = "../" if name in ("method", "run") else ""
    template = templates.environment(_PACKAGE).get_template(f"{name}.html.j2")
    text = template.render(page=content, site=site, root=root, style=places.STYLE, script=places.SCRIPT,
                           index=places.INDEX, runs=places.RUNS)  # fmt: skip
    return _BLANK.sub("\n", text).encode("utf-8")


def style() -> bytes:
    """The style sheet of all pages."""
    return (templates.asset("report.css") + templates.asset("site.css", _PACKAGE)).encode("utf-8")


def script() -> bytes:
    """The script of all pages."""
    return (templates.asset("shared.js") + templates.asset("site.js", _PACKAGE)).encode("utf-8")
