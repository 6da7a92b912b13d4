"""Tables of results: columns and rows, whatever they are written as; see ``render``.

People get percent and rounded numbers; JSON and CSV get fractions and seconds with every digit.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

Cell = str | int | float | bool | None
Kind = Literal["text", "count", "percent", "points", "seconds", "rate", "score", "p_value"]

MISSING = "-"
"""What people see where there is no value."""


@dataclass(frozen=True)
class Column:
    """A column: its ``key`` for programs, its ``title`` for people.

    ``kind`` says what its numbers are: "percent" a fraction, "points" a difference of fractions,
    "seconds", "rate" per second, "score" in a method's own unit,
    "p_value" a probability. ``audience`` hides it from the others:
    what a table's title tells people stands in columns of its own for programs.
    """

    key: str
    title: str
    kind: Kind = "text"
    audience: Literal["all", "people", "programs"] = "all"


@dataclass(frozen=True)
class Table:
    """Rows of cells, one for each column; ``footers`` are rows that sum the others up."""

    title: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]
    notes: tuple[str, ...] = ()
    footers: tuple[tuple[Cell, ...], ...] = ()


def cell_text(value: Cell, kind: Kind) -> str:
    """Write one cell for people."""
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return MISSING
    if kind == "percent":
        return f"{float(value) * 100:.2f}"
    if kind == "points":
        text = f"{float(value) * 100:+.2f}"
        return text if float(text) else text[1:]
    if kind == "p_value":
        text = f"{float(value):.3f}"
        below = next((bound for bound in ("0.001", "0.050") if float(value) < float(bound) <= float(text)), None)
        return "<0.001" if float(value) < 0.001 else f"<{below}" if below else text
    if kind == "score":
        return f"{float(value):.4g}"
    if kind in ("seconds", "rate"):
        return f"{float(value):.1f}"
    return str(value)


def people_view(table: Table) -> tuple[list[Column], list[list[str]], list[list[str]]]:
    """The columns, rows and footers that people see, as text."""
    chosen = [number for number, column in enumerate(table.columns) if column.audience != "programs"]
    columns = [table.columns[number] for number in chosen]
    rows, footers = (
        [[cell_text(row[number], table.columns[number].kind) for number in chosen] for row in part]
        for part in (table.rows, table.footers)
    )
    return columns, rows, footers
