"""Tables on the screen: no number is ever cut, however narrow the terminal is."""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from typing import Any

from rich import box
from rich.cells import cell_len
from rich.console import Console, Group, RenderableType
from rich.constrain import Constrain
from rich.table import Table as RichTable
from rich.text import Text

from ..tables import MISSING, AnyTable, Column, people_view

GAP = 2
"""Blanks between two columns; one of them is the box's own."""

NARROWEST = 14
"""To this many characters texts and titles may be folded; numbers keep their width."""

NARROWEST_NOTE, WIDEST_NOTE = 80, 120
"""Notes are as wide as their table, within these bounds."""


class _Console(Console):
    """Lets a pipe that nobody reads any more show as Python's own error, where rich ends the program."""

    def on_broken_pipe(self) -> None:
        raise BrokenPipeError


def show(tables: Sequence[AnyTable]) -> None:
    """Print tables to standard output, as wide as they are where that isn't a terminal."""
    console = _Console(highlight=False)
    if not console.is_terminal:
        console.width = max([WIDEST_NOTE, *map(natural_width, tables)])
    _print(console, tables)


def to_svg(tables: Sequence[AnyTable]) -> str:
    """Draw tables as a picture of a terminal."""
    width = max([NARROWEST_NOTE, *map(natural_width, tables)])
    console = Console(record=True, width=width, file=io.StringIO(), highlight=False, force_terminal=True)
    _print(console, tables)
    # rich cuts each line off at its box, and where its web font is missing, underscores go with it
    return re.sub(r' clip-path="url\(#[^)]*\)"', "", console.export_svg(title="adbench"))


def _print(console: Console, tables: Sequence[AnyTable]) -> None:
    for number, table in enumerate(tables):
        if number:
            console.print()
        console.print(to_rich(table, console.width))


def natural_width(table: AnyTable) -> int:
    """Characters that a table takes when nothing is folded."""
    columns, rows, footers = people_view(table)
    widths = _widths(columns, rows + footers)
    return max(_total([wide for wide, _ in widths]), min(cell_len(table.title), WIDEST_NOTE))


def to_rich(table: AnyTable, width: int) -> RenderableType:
    """Lay a table out for ``width`` characters.

    First titles and texts are folded; if that is not enough, the columns go into several blocks, each
    with the first column of text repeated.
    """
    columns, rows, footers = people_view(table)
    parts: list[RenderableType] = [Text(table.title, style="bold")]
    ranges = _widths(columns, rows + footers)
    for chosen in _blocks(columns, ranges, width):
        fitted = _fit([columns[number] for number in chosen], [ranges[number] for number in chosen], width)
        parts.append(_block(chosen, fitted, columns, rows, footers))
    notes_width = min(width, max(NARROWEST_NOTE, natural_width(table)))
    parts.extend(Constrain(Text(note, style="dim"), notes_width) for note in table.notes)
    return Group(*parts)


def _widths(columns: Sequence[Column[Any]], rows: Sequence[Sequence[str]]) -> list[tuple[int, int]]:
    """For each column the width without folding and the least that it can do with."""
    ranges = []
    for number, column in enumerate(columns):
        cells = max((cell_len(row[number]) for row in rows), default=1)
        word = min(NARROWEST, max(map(cell_len, column.title.split()), default=1))
        wide = max(cells, cell_len(column.title))
        narrow = max(min(cells, NARROWEST) if column.kind == "text" else cells, word)
        ranges.append((wide, narrow))
    return ranges


def _total(widths: Sequence[int]) -> int:
    return sum(widths) + GAP * len(widths) - 1  # rich pads the last column as well


def _blocks(columns: Sequence[Column[Any]], ranges: Sequence[tuple[int, int]], width: int) -> list[list[int]]:
    """Share the columns out over blocks that fit, with the first column of text in each."""
    anchor = next((number for number, column in enumerate(columns) if column.kind == "text"), 0)
    blocks: list[list[int]] = [[]]
    for number in range(len(columns)):
        tried = [*blocks[-1], number]
        if _total([ranges[each][1] for each in tried]) > width and set(blocks[-1]) - {anchor}:
            tried = [number] if number <= anchor else [anchor, number]
            blocks.append([])
        blocks[-1] = tried
    return blocks


def _fit(columns: Sequence[Column[Any]], ranges: Sequence[tuple[int, int]], width: int) -> list[int]:
    """Fold nothing if there is room; otherwise all titles of numbers, and texts as far as it takes."""
    wide = [wide for wide, _ in ranges]
    if _total(wide) <= width:
        return wide
    fitted = [narrow for _, narrow in ranges]
    spare = width - _total(fitted)
    for number, column in enumerate(columns):
        if column.kind == "text":
            more = max(0, min(spare, wide[number] - fitted[number]))
            fitted[number] += more
            spare -= more
    return fitted


def _block(
    chosen: Sequence[int],
    widths: Sequence[int],
    columns: Sequence[Column[Any]],
    rows: Sequence[Sequence[str]],
    footers: Sequence[Sequence[str]],
) -> RichTable:
    drawn = RichTable(
        box=box.SIMPLE_HEAD, padding=(0, GAP - 1, 0, 0), pad_edge=False, show_edge=False, header_style="bold"
    )
    for number, width in zip(chosen, widths, strict=True):
        text = columns[number].kind == "text"
        drawn.add_column(
            Text(columns[number].title), width=width, justify="left" if text else "right", overflow="fold",
            style="cyan" if text and number == chosen[0] else "",
        )  # fmt: skip
    for row in rows:
        drawn.add_row(*(_cell(row[number], columns[number]) for number in chosen))
    if footers:
        drawn.add_section()
    for row in footers:
        drawn.add_row(*(_cell(row[number], columns[number]) for number in chosen), style="bold")
    return drawn


def _cell(text: str, column: Column[Any]) -> Text:
    """Text as it is, never as markup; differences in colour."""
    if column.kind != "points" or text == MISSING:
        return Text(text)
    return Text(text, style={"+": "green", "-": "red"}.get(text[0], ""))
