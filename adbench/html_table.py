"""A table of results as HTML: sortable by its column heads, and scrolling by itself where a screen is narrow."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from .markup import Html, breakable, join, tag
from .report.tables import AnyTable, Cell, Column, cell_text


def to_html(table: AnyTable, *, sortable: bool = True) -> Html:
    """Write what people see of a table. Cells carry their whole number, by which the page's script sorts."""
    columns = table.columns_for("people")
    heading = next((place for place, column in enumerate(columns) if column.kind == "text"), None)

    def rows(part: Sequence[Any]) -> list[Html]:
        return [
            tag("tr", None, *(_cell(column.cell(row), column, place == heading)
                              for place, column in enumerate(columns)))
            for row in part
        ]  # fmt: skip

    head = tag("tr", None, *(_head(column, sortable and len(table.rows) > 1) for column in columns))
    body = [tag("thead", None, head), tag("tbody", None, *rows(table.rows))]
    if table.footers:
        body.append(tag("tfoot", None, *rows(table.footers)))
    whole = tag("table", {"aria-label": table.title}, *body)
    title = tag("p", {"class": "caption"}, breakable(table.title))  # outside of what scrolls, so that it wraps
    scroller = tag("div", {"class": "scroll", "role": "region", "aria-label": table.title, "tabindex": 0}, whole)
    notes = [tag("ul", {"class": "notes"}, *(tag("li", None, note) for note in table.notes))] if table.notes else []
    return join(title, scroller, *notes)


def _head(column: Column[Any], sortable: bool) -> Html:
    names = {"scope": "col", "class": None if column.kind == "text" else "number"}
    if not sortable:
        return tag("th", names, column.title)
    return tag("th", names | {"aria-sort": "none"}, tag("button", {"type": "button"}, column.title))


def _cell(value: Cell, column: Column[Any], heading: bool) -> Html:
    text = cell_text(value, column.kind)
    if column.kind == "text":
        return tag("th", {"scope": "row"}, breakable(text)) if heading else tag("td", None, breakable(text))
    number = value if isinstance(value, (int, float)) and math.isfinite(value) else None
    return tag("td", {"class": "number", "data-value": "" if number is None else repr(number)}, text)
