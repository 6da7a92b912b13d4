"""What docs/cite.md gets at its end: the citation of adbench itself, and that of each method's paper."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from adbench.api.registry import Registry

from . import data_sets, methods
from .markdown import block, plain, table

PATH = "cite.md"

SOURCE = re.compile(rf"\*\*Source\.\*\* (.*?\]\({re.escape(methods.ARXIV)}[^)]+\))", re.DOTALL)
"""The citation in a method's page: from its mark to the link to arXiv."""


def facts(registry: Registry, root: Path) -> str:
    """The sections that are made from CITATION.cff and from the methods' pages."""
    import yaml  # comes with MkDocs

    citation = yaml.safe_load((root / "CITATION.cff").read_text(encoding="utf-8"))
    rows = [[f"[{name}](methods/{name}.md)", text] for name, text in papers(registry, root).items()]
    return (
        f"## adbench itself\n\n{plain(citation['message'])}\n\n{block(bibtex(citation), 'bibtex')}\n"
        f"`CITATION.cff` has the same for programs.\n\n## Methods\n\n{table(['method', 'paper'], rows)}\n"
        f"## Data sets\n\n{table(['data set', 'citation'], _data_sets(registry))}"
    )


def _data_sets(registry: Registry) -> list[list[str]]:
    """The citation of each data set that has one."""
    found = [(each.name, each.facts.citation) for each in data_sets.own(registry) if each.facts]
    return [[f"[{name}]({data_sets.FOLDER}/{name}.md)", plain(citation)] for name, citation in found if citation]


def bibtex(citation: Mapping[str, Any]) -> str:
    """A BibTeX entry from the fields of a CITATION.cff."""
    authors = " and ".join(_author(each) for each in citation["authors"])
    fields = {
        "title": f"{{{citation['title']}}}",
        "author": authors,
        "version": str(citation["version"]),
        "license": citation["license"],
        "year": str(citation.get("date-released", ""))[:4],
        "url": citation.get("repository-code", ""),
    }
    lines = [f"  {name:<7} = {{{value}}}," for name, value in fields.items() if value]
    return "\n".join(["@software{adbench,", *lines, "}"])


def _author(author: Mapping[str, str]) -> str:
    """A person by family name and given names, or the name of a group in braces."""
    if "name" in author:
        return f"{{{author['name']}}}"
    return f"{author['family-names']}, {author['given-names']}"


def papers(registry: Registry, root: Path) -> dict[str, str]:
    """The citation of each method that comes with adbench and has a paper, as its page has it."""
    found = {}
    for method in methods.own(registry):
        path = root / "docs" / methods.FOLDER / f"{method.name}.md"
        match = SOURCE.search(path.read_text(encoding="utf-8")) if path.exists() else None
        if match:
            found[method.name] = " ".join(match[1].split())
    return found
