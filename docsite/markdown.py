"""Markdown that says exactly what a text says: escapes, code, tables and pages."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from adbench.report.tables import AnyTable, people_view

SPECIAL = "&<>\\`*_[]{}|~#!^"
"""Characters that mean something in Markdown, and are written as HTML's numbers."""


@dataclass(frozen=True)
class Page:
    """One page of the site: its path below ``docs/``, with forward slashes, and its Markdown."""

    path: str
    text: str

    @property
    def title(self) -> str:
        """Its first heading."""
        return self.text.partition("# ")[2].partition("\n")[0]


def plain(text: str) -> str:
    """A text in one line, without any character that Markdown or HTML would take for a mark."""
    return "".join(f"&#{ord(letter)};" if letter in SPECIAL else letter for letter in " ".join(text.split()))


def code(text: str) -> str:
    """A text as code within a line; empty if there is none."""
    if not text:
        return ""
    fence = "``" if "`" in text else "`"
    return f"{fence}{text}{fence}"


def block(text: str, language: str = "sh") -> str:
    """Lines of code in a block of their own."""
    fence = "~~~~" if "```" in text else "```"
    return f"{fence}{language}\n{text.rstrip()}\n{fence}\n"


def table(titles: Sequence[str], rows: Sequence[Sequence[str]], *, numbers: bool = False) -> str:
    """A table of cells that are Markdown already; with ``numbers`` all columns but the first are right-aligned."""
    lines = [titles, ["---", *("---:" if numbers else "---" for _ in titles[1:])], *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def definitions(found: Sequence[tuple[str, str]]) -> str:
    """A list of terms with their meanings; both are Markdown already."""
    return "\n".join(f"{term}\n:   {meaning or '-'}\n" for term, meaning in found)


def of_table(shown: AnyTable, *, as_code: Sequence[str] = ()) -> str:
    """A table of the command line with its notes; the columns in ``as_code`` (by their keys) are code."""
    view = people_view(shown)
    keys = [column.key for column in view.columns]
    rows = [
        [code(cell) if key in as_code else plain(cell) for key, cell in zip(keys, row, strict=True)]
        for row in view.rows
    ]
    notes = "".join(f"\n{plain(note)}\n" for note in view.notes)
    return table([plain(title) for title in view.titles], rows) + notes
