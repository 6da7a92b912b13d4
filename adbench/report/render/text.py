"""Renders tables as text: JSON and CSV for programs, Markdown for people."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import Any

from ...util.text import csv_text, json_escaped
from ..tables import AnyTable, Cell, people_view

# ---------------------------------------------------------------- for programs


def _rows(table: AnyTable, part: Sequence[Any]) -> list[dict[str, Cell]]:
    """Cells that programs see of some rows, by the columns' keys."""
    columns = table.columns_for("programs")
    return [{column.key: _finite(column.cell(row)) for column in columns} for row in part]


def _finite(cell: Cell) -> Cell:
    return None if isinstance(cell, float) and not math.isfinite(cell) else cell


def to_json(tables: Sequence[AnyTable]) -> str:
    """One document: [{"title", "columns": [{"key", "title", "kind"}], "rows": [{key: value}], "footers", "notes"}]."""
    document = [
        {
            "title": table.title,
            "columns": [
                {"key": column.key, "title": column.title, "kind": column.kind}
                for column in table.columns_for("programs")
            ],
            "rows": _rows(table, table.rows),
            "footers": _rows(table, table.footers),
            "notes": list(table.notes),
        }
        for table in tables
    ]
    return json_escaped(json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False)) + "\n"


def to_csv(tables: Sequence[AnyTable]) -> str:
    """All rows under one header, so that any reader accepts the text.

    With several tables the first column names each row's table, and a column that a table lacks is empty. Text that a
    spreadsheet would run as a formula begins with an apostrophe.
    """
    views = [(table.title, _rows(table, (*table.rows, *table.footers))) for table in tables]
    keys = [column.key for table in tables for column in table.columns_for("programs")]
    header = list(dict.fromkeys(["table", *keys] if len(tables) > 1 else keys))
    lines = [{"table": title, **row} for title, rows in views for row in rows]
    return csv_text(header, ([line.get(key) for key in header] for line in lines))


# ---------------------------------------------------------------- for people


def to_markdown(tables: Sequence[AnyTable]) -> str:
    """Render tables for a README or an issue."""
    return "\n".join(map(_markdown, tables))


def _markdown(table: AnyTable) -> str:
    view = people_view(table)
    bold = [[f"**{_markdown_escape(cell)}**" for cell in row] for row in view.footers]
    plain = [[_markdown_escape(cell) for cell in row] for row in view.rows]
    lines = [[_markdown_escape(title) for title in view.titles]]
    lines.append(["---" if column.kind == "text" else "---:" for column in view.columns])
    pipes = ["| " + " | ".join(line) + " |" for line in lines + plain + bold]
    notes = ["", *(f"- {_markdown_escape(note)}" for note in view.notes)] if view.notes else []
    return "\n".join([f"**{_markdown_escape(view.title)}**", "", *pipes, *notes]) + "\n"


def _markdown_escape(text: str) -> str:
    for mark in "\\|*_`<>[]":
        text = text.replace(mark, f"\\{mark}")
    return " ".join(text.split())
