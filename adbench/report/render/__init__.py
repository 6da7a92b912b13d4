"""Writes tables: for people on a terminal or on paper, and for programs."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Literal

from ...util.text import printable
from ..tables import AnyTable
from .latex import to_latex
from .text import to_csv, to_json, to_markdown


def write(tables: Sequence[AnyTable], format_: str) -> None:
    """Write tables to standard output as "table", "json", "csv", "markdown", "latex" or "svg"."""
    if format_ == "table":
        from . import terminal

        terminal.show(_seen(tables, "people"))
        return
    text = render(tables, format_)
    if format_ == "csv" and sys.stdout.isatty():  # the other formats hold no control characters
        text = "\n".join(map(printable, text.split("\n")))
    sys.stdout.write(text)


def render(tables: Sequence[AnyTable], format_: str) -> str:
    """Render tables as one text: "json", "csv", "markdown", "latex" or "svg".

    Raises:
        ValueError: no such format.
    """
    if format_ == "svg":
        from . import terminal

        return terminal.to_svg(_seen(tables, "people"))
    if format_ not in _RENDERERS:
        raise ValueError(f"format '{format_}', wanted one of svg, {', '.join(_RENDERERS)}")
    return _RENDERERS[format_](_seen(tables, "programs" if format_ in ("json", "csv") else "people"))


def _seen(tables: Sequence[AnyTable], audience: Literal["people", "programs"]) -> list[AnyTable]:
    return [table for table in tables if table.audience in ("all", audience)]


_RENDERERS: dict[str, Callable[[Sequence[AnyTable]], str]] = {
    "json": to_json,
    "csv": to_csv,
    "markdown": to_markdown,
    "latex": to_latex,
}
