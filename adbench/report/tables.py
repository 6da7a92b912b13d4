"""Tables of results: rows are objects, columns read their cells from them. ``render`` writes the tables.

People see percent and rounded numbers; JSON and CSV have fractions and seconds with every digit.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Literal, Protocol, TypeVar

from ..util.sizes import bytes_text
from ..util.text import printable

Cell = str | int | float | bool | None
Kind = Literal["text", "count", "percent", "points", "seconds", "rate", "score", "p_value", "bytes"]
Audience = Literal["all", "people", "programs"]
Role = Literal["key", "main", "other"]
Mark = Literal["best", "tied"]

Row = TypeVar("Row")

MISSING = "-"
"""Shown to people where there is no value."""


@dataclass(frozen=True)
class Column(Generic[Row]):
    """A column: ``key`` is for programs, ``title`` for people; ``cell`` reads the cell of a row.

    ``kind`` is the meaning of its numbers: "percent" for a fraction, "points" for a difference of fractions,
    "seconds", "rate" per second, "score" in a method's own unit, "p_value" for a probability, "bytes" for a size on
    disk.

    ``audience`` limits the column to people or to programs. Facts in a table's title are columns for programs.

    ``role`` matters where a table is too wide for a terminal. A "key" column says what the row is about and is
    repeated in every part; a "main" column is in the first part. A column ``beside`` the one before it is in the
    same part. ``whole`` text is never folded if it fits, such as a name that people copy. Columns with a number in
    ``spare`` are left out, the lowest number first, where otherwise rows would be split into parts.
    """

    key: str
    title: str
    cell: Callable[[Row], Cell]
    kind: Kind = "text"
    audience: Audience = "all"
    role: Role = "other"
    beside: bool = False
    whole: bool = False
    spare: int = 0


class Marks(Protocol):
    """Marks the best values of a table, and those that do not differ significantly from the best ("tied").

    Only formats for papers ask for them, since finding them takes time.
    """

    def of(self, key: str, row: Any) -> Mark | None:
        """The mark of a row's cell in the column ``key``."""

    def notes(self) -> Sequence[str]:
        """Lines that explain the marks given so far."""


@dataclass(frozen=True)
class Table(Generic[Row]):
    """Rows and columns; ``footers`` are rows that summarise the others, ``notes`` are lines below.

    ``audience`` limits a whole table to people or to programs; the others get the same facts in another form.

    ``prose`` says that the cells are sentences: they are folded outside a terminal, too, where the rows of other tables
    are one line each.
    """

    title: str
    columns: tuple[Column[Row], ...]
    rows: tuple[Row, ...]
    notes: tuple[str, ...] = ()
    footers: tuple[Row, ...] = ()
    audience: Audience = "all"
    marks: Marks | None = None
    prose: bool = False

    def column(self, key: str) -> list[Cell]:
        """The cells of the rows under one key, without the footers. Raises ``KeyError`` for an unknown key."""
        for column in self.columns:
            if column.key == key:
                return [column.cell(row) for row in self.rows]
        raise KeyError(key)

    @property
    def summary(self) -> tuple[Row, ...]:
        """The footers that people see: none if they are as many as the rows, since each would repeat one."""
        return self.footers if len(self.footers) < len(self.rows) else ()

    def columns_for(self, audience: Literal["people", "programs"]) -> list[Column[Row]]:
        """The columns that people or programs see."""
        return [column for column in self.columns if column.audience in ("all", audience)]


AnyTable = Table[Any]
"""A table with rows of any type."""


def constant(key: str, title: str, value: Cell) -> Column[Any]:
    """A column for programs with the same cell in each row; people see the fact in the table's title."""
    return Column(key, title, lambda _: value, audience="programs")


def cell_text(value: Cell, kind: Kind) -> str:
    """Format one cell for people, with control characters as escapes."""
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return MISSING
    if kind == "percent":
        return f"{float(value) * 100:.2f}"
    if kind == "points":
        text = f"{float(value) * 100:+.2f}"
        return text if float(text) else text[1:]
    if kind == "bytes":
        return bytes_text(float(value))
    if kind == "p_value":
        text = f"{float(value):.3f}"
        below = next((bound for bound in ("0.001", "0.050") if float(value) < float(bound) <= float(text)), None)
        return "<0.001" if float(value) < 0.001 else f"<{below}" if below else text
    if kind == "score":
        return f"{float(value):.4g}"
    if kind in ("seconds", "rate"):
        return f"{float(value):.1f}"
    return printable(str(value))


@dataclass(frozen=True)
class View:
    """The texts that people see of a table, safe on a terminal and in XML."""

    title: str
    columns: list[Column[Any]]
    titles: list[str]
    rows: list[list[str]]
    footers: list[list[str]]
    notes: list[str]


def people_view(table: AnyTable) -> View:
    """Format a table for people."""
    columns = table.columns_for("people")
    rows, footers = (
        [[cell_text(column.cell(row), column.kind) for column in columns] for row in part]
        for part in (table.rows, table.summary)
    )
    titles = [printable(column.title) for column in columns]
    return View(printable(table.title), columns, titles, rows, footers, list(map(printable, table.notes)))
