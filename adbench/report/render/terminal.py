"""Renders tables for a terminal: no number, word or link is cut, however narrow the terminal is."""

from __future__ import annotations

import io
import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from rich import box
from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.table import Table as RichTable
from rich.text import Text

from ..tables import MISSING, AnyTable, Column, View, people_view
from .folding import fold, links, longest_piece

GAP = 2
"""Blanks between two columns; one of them is the box's own."""

NARROWEST = 14
"""Texts are folded to no fewer than this many characters, and to no fewer than their longest word has."""

LONGEST_TITLE_WORD = 24
"""Longer words of a number's title are cut: the number's column would be too wide."""

SHORT_TITLE = 6
"""Titles of up to this many characters are not folded."""

SHORTEST = 4
"""Key columns are folded to no fewer than this many characters, if one number beside them needs the space."""

LONGEST_WHOLE = 40
"""Names of up to this many characters are not folded if people copy them."""

NARROWEST_NOTE, WIDEST_NOTE = 80, 120
"""Notes are as wide as their table, within these bounds."""


class _Console(Console):
    """Raises Python's own error for a broken pipe, where rich would end the program."""

    def on_broken_pipe(self) -> None:
        raise BrokenPipeError


def show(tables: Sequence[AnyTable]) -> None:
    """Print tables to standard output; outside a terminal they have their full width, but for prose."""
    console = _Console(highlight=False)
    if not console.is_terminal:
        console.width = max([WIDEST_NOTE, *map(natural_width, tables)])
    _print(console, tables)


def to_svg(tables: Sequence[AnyTable]) -> str:
    """Draw tables as an image of a terminal."""
    width = max([NARROWEST_NOTE, *map(natural_width, tables)])
    console = Console(record=True, width=width, file=io.StringIO(), highlight=False, force_terminal=True)
    _print(console, tables)
    # rich cuts each line off at its box; without its web font that would cut underscores off
    return re.sub(r' clip-path="url\(#[^)]*\)"', "", console.export_svg(title="adbench"))


def _print(console: Console, tables: Sequence[AnyTable]) -> None:
    """Print tables; a note that stood under one of them isn't repeated."""
    said: set[str] = set()
    for number, table in enumerate(tables):
        if number:
            console.print()
        width = console.width if console.is_terminal or not table.prose else NARROWEST_NOTE
        console.print(to_rich(table, width, said), crop=False)
        said.update(table.notes)


def natural_width(table: AnyTable) -> int:
    """Width of a table in characters if nothing is folded."""
    view = people_view(table)
    return max(_total([each.wide for each in _widths(view)]), min(cell_len(view.title), WIDEST_NOTE))


def to_rich(table: AnyTable, width: int, said: Collection[str] = ()) -> RenderableType:
    """Lay a table out for ``width`` characters, without the notes that were ``said`` before.

    Titles and texts are folded first, and then spare columns are left out. If that is not enough, all columns are
    split into several blocks. Each begins with the key columns, so that a row says what it is about; the first has the
    main columns.
    """
    whole = people_view(table)
    view, widths = _without_spare(whole, width)
    parts: list[RenderableType] = [_line(view.title, width, "bold")]
    parts += [_Whole(_block(view, chosen, fitted), _total(fitted)) for chosen, fitted in _layout(view, widths, width)]
    notes_width = min(width, max(NARROWEST_NOTE, natural_width(table)))
    notes = [shown for note, shown in zip(table.notes, view.notes, strict=True) if note not in said]
    parts.extend(_line(note, notes_width, "dim") for note in notes)
    if left_out := [title for title in whole.titles if title not in view.titles]:
        parts.append(_line(f"Left out, but for a wider terminal: {', '.join(left_out)}.", notes_width, "dim"))
    return Group(*parts)


def _without_spare(view: View, width: int) -> tuple[View, list[_Width]]:
    """Leave out as many of the spare columns as it takes to fit, and return the widths of the others.

    Where all of them are not enough, texts are folded at every separator, too. Where nothing is enough, all stay.
    """
    widths = _widths(view)
    if _total(each.narrow for each in widths) <= width:
        return view, widths
    levels = sorted({column.spare for column in view.columns if column.spare})
    for narrowest in (NARROWEST, 1):
        for last in levels:
            kept = [number for number, column in enumerate(view.columns) if not 0 < column.spare <= last]
            rows, footers = ([[row[number] for number in kept] for row in part] for part in (view.rows, view.footers))
            columns, titles = [view.columns[number] for number in kept], [view.titles[number] for number in kept]
            smaller = View(view.title, columns, titles, rows, footers, view.notes)
            found = _widths(smaller, narrowest)
            if _total(each.narrow for each in found) <= width:
                return smaller, found
    return view, widths


@dataclass(frozen=True)
class _Whole:
    """A table that gets the width it needs: one with a long link may be wider than the terminal."""

    table: RichTable
    width: int

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield from console.render(self.table, options.update_width(max(self.width, options.max_width)))


@dataclass(frozen=True)
class _Width:
    """A column's width without folding, its least width, and that on a very narrow terminal, in characters."""

    wide: int
    narrow: int
    narrowest: int


def _widths(view: View, least: int = NARROWEST) -> list[_Width]:
    """The widths of the columns; texts are folded to no fewer than ``least`` characters."""
    found = []
    for number, (column, title) in enumerate(zip(view.columns, view.titles, strict=True)):
        texts = [row[number] for row in (*view.rows, *view.footers)]
        cells = max(map(cell_len, texts), default=1)
        word = cell_len(title) if cell_len(title) <= SHORT_TITLE else _title_word(title)
        if column.kind != "text" or (column.whole and cells <= LONGEST_WHOLE):
            narrow = narrowest = max(cells, word)
        else:
            narrow = max(min(cells, least), max(map(longest_piece, texts), default=1), word)
            narrowest = max([SHORTEST, *(cell_len(link) for text in texts for link in links(text))])
        found.append(_Width(max(cells, cell_len(title)), narrow, min(narrow, narrowest)))
    return found


def _title_word(title: str) -> int:
    """The longest part of a title that stays whole: a word such as "s/class", or a part of a variant's name."""
    words = [cell_len(word) if cell_len(word) <= NARROWEST else longest_piece(word) for word in title.split()]
    return min(max(words, default=1), LONGEST_TITLE_WORD)


def _total(widths: Iterable[int]) -> int:
    shown = list(widths)
    return sum(shown) + GAP * len(shown) - 1  # rich pads the last column as well


def _layout(view: View, widths: Sequence[_Width], width: int) -> list[tuple[list[int], list[int]]]:
    """The columns of each block with their widths. Keys are folded, or kept whole if that takes fewer lines."""
    keys = _keys(view.columns)
    whole = [replace(each, narrow=each.wide) if number in keys else each for number, each in enumerate(widths)]
    layouts = []
    for tried in (widths, whole):
        chosen = _blocks(view.columns, tried, width)
        layouts.append([(block, _fit(view.columns, tried, block, width)) for block in chosen])
    return min(layouts, key=lambda layout: sum(_lines(view, *block) for block in layout))


def _lines(view: View, chosen: Sequence[int], fitted: Sequence[int]) -> int:
    """The number of lines of a block: its head and its folded rows."""
    rows = [view.titles, *view.rows, *view.footers]
    return sum(max(len(fold(row[number], each)) for number, each in zip(chosen, fitted, strict=True)) for row in rows)


def _blocks(columns: Sequence[Column[Any]], widths: Sequence[_Width], width: int) -> list[list[int]]:
    """Split the columns into blocks that fit, each with the key columns."""
    if _total(each.narrow for each in widths) <= width:
        return [list(range(len(columns)))]
    keys = _keys(columns)
    blocks = [list(keys)]
    for unit in _units(columns, keys):
        tried = [*blocks[-1], *unit]
        if _total(_squeezed(columns, widths, tried, width)) > width and len(blocks[-1]) > len(keys):
            blocks.append(list(keys))
        for number in unit:  # a unit that is too wide for any block is split as well
            tried = [*blocks[-1], number]
            if _total(_squeezed(columns, widths, tried, width)) > width and len(blocks[-1]) > len(keys):
                tried = [*keys, number]
                blocks.append([])
            blocks[-1] = tried
    return blocks


def _units(columns: Sequence[Column[Any]], keys: Sequence[int]) -> list[list[int]]:
    """The columns without the keys, in groups that stay together; the main ones first."""
    units: list[list[int]] = []
    for number, column in enumerate(columns):
        if number in keys:
            continue
        if column.beside and units:
            units[-1].append(number)
        else:
            units.append([number])
    return sorted(units, key=lambda unit: columns[unit[0]].role != "main")  # stable


def _keys(columns: Sequence[Column[Any]]) -> list[int]:
    """The columns that say what a row is about: by default the first one of text."""
    keys = [number for number, column in enumerate(columns) if column.role == "key"]
    return keys or [next((number for number, column in enumerate(columns) if column.kind == "text"), 0)]


def _squeezed(columns: Sequence[Column[Any]], widths: Sequence[_Width], chosen: Sequence[int], width: int) -> list[int]:
    """The least widths of some columns; the keys are folded more if one number beside them is too wide."""
    narrow = [widths[number].narrow for number in chosen]
    keys = [place for place, number in enumerate(chosen) if columns[number].kind == "text"]
    if len(chosen) > len(_keys(columns)) + 1:
        return narrow
    least = [widths[number].narrowest for number in chosen]
    while _total(narrow) > width and any(narrow[place] > least[place] for place in keys):
        widest = max((place for place in keys if narrow[place] > least[place]), key=lambda place: narrow[place])
        narrow[widest] -= 1
    return narrow


def _fit(columns: Sequence[Column[Any]], widths: Sequence[_Width], chosen: Sequence[int], width: int) -> list[int]:
    """Fold nothing if everything fits; otherwise all titles of numbers, and texts as far as necessary."""
    wide = [widths[number].wide for number in chosen]
    if _total(wide) <= width:
        return wide
    fitted = _squeezed(columns, widths, chosen, width)
    spare = width - _total(fitted)
    for place, number in enumerate(chosen):
        if columns[number].kind == "text":
            more = max(0, min(spare, wide[place] - fitted[place]))
            fitted[place] += more
            spare -= more
    return fitted


def _block(view: View, chosen: Sequence[int], widths: Sequence[int]) -> RichTable:
    drawn = RichTable(
        box=box.SIMPLE_HEAD, padding=(0, GAP - 1, 0, 0), pad_edge=False, show_edge=False, header_style="bold"
    )
    keys = _keys(view.columns)
    for number, width in zip(chosen, widths, strict=True):
        text = view.columns[number].kind == "text"
        drawn.add_column(
            _folded(view.titles[number], width), width=width, justify="left" if text else "right", overflow="fold",
            style="cyan" if text and number in keys else "",
        )  # fmt: skip

    def cells(row: Sequence[str]) -> list[Text]:
        return [_cell(row[number], view.columns[number], width) for number, width in zip(chosen, widths, strict=True)]

    for row in view.rows:
        drawn.add_row(*cells(row))
    if view.footers:
        drawn.add_section()
    for row in view.footers:
        drawn.add_row(*cells(row), style="bold")
    return drawn


def _cell(text: str, column: Column[Any], width: int) -> Text:
    """Text as it is, never as markup; differences in colour."""
    if column.kind != "points" or text == MISSING:
        return _folded(text, width)
    return Text(text, style={"+": "green", "-": "red"}.get(text[0], ""))


def _folded(text: str, width: int) -> Text:
    return Text("\n".join(fold(text, width)))


def _line(text: str, width: int, style: str) -> Text:
    """A title or a note; a link in it may be longer than the line."""
    return Text("\n".join(fold(text, width)), style=style, no_wrap=True, overflow="ignore")
