"""Tables of results, and how they are written: for people on a screen or on paper, and for programs.

People get percent and rounded numbers; JSON and CSV get fractions and seconds with every digit.
"""

from __future__ import annotations

import csv
import io
import json
import math
import sys
from collections.abc import Callable, Sequence
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


def write(tables: Sequence[Table], format_: str) -> None:
    """Write tables to standard output as "table", "json", "csv", "markdown", "latex" or "svg"."""
    if format_ == "table":
        from . import screen

        screen.show(tables)
    else:
        sys.stdout.write(render(tables, format_))


def render(tables: Sequence[Table], format_: str) -> str:
    """Turn tables into one text: "json", "csv", "markdown", "latex" or "svg".

    Raises:
        ValueError: no such format.
    """
    if format_ == "svg":
        from . import screen

        return screen.to_svg(tables)
    if format_ not in _RENDERERS:
        raise ValueError(f"format '{format_}', wanted one of svg, {', '.join(_RENDERERS)}")
    return _RENDERERS[format_](tables)


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


# ---------------------------------------------------------------- for programs


def _programs_view(table: Table, part: tuple[tuple[Cell, ...], ...]) -> list[dict[str, Cell]]:
    return [
        {
            column.key: None if isinstance(cell, float) and not math.isfinite(cell) else cell
            for column, cell in zip(table.columns, row, strict=True)
            if column.audience != "people"
        }
        for row in part
    ]


def _to_json(tables: Sequence[Table]) -> str:
    """One document: [{"title", "columns": [{"key", "title", "kind"}], "rows": [{key: value}], "footers", "notes"}]."""
    document = [
        {
            "title": table.title,
            "columns": [
                {"key": column.key, "title": column.title, "kind": column.kind}
                for column in table.columns
                if column.audience != "people"
            ],
            "rows": _programs_view(table, table.rows),
            "footers": _programs_view(table, table.footers),
            "notes": list(table.notes),
        }
        for table in tables
    ]
    return json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def _to_csv(tables: Sequence[Table]) -> str:
    """All rows under one header, so that any reader takes it.

    Of several tables the first column names each row's table, and a column that a table lacks is empty.
    """
    views = [(table.title, _programs_view(table, table.rows + table.footers)) for table in tables]
    keys = [column.key for table in tables for column in table.columns if column.audience != "people"]
    header = list(dict.fromkeys(["table", *keys] if len(tables) > 1 else keys))
    text = io.StringIO()
    writer = csv.DictWriter(text, header, restval="", lineterminator="\n")
    writer.writeheader()
    for title, rows in views:
        writer.writerows({"table": title, **row} if len(tables) > 1 else row for row in rows)
    return text.getvalue()


# ---------------------------------------------------------------- for paper


def _to_markdown(tables: Sequence[Table]) -> str:
    return "\n".join(map(_markdown, tables))


def _markdown(table: Table) -> str:
    columns, rows, footers = people_view(table)
    bold = [[f"**{_markdown_escape(cell)}**" for cell in row] for row in footers]
    plain = [[_markdown_escape(cell) for cell in row] for row in rows]
    lines = [[_markdown_escape(column.title) for column in columns]]
    lines.append(["---" if column.kind == "text" else "---:" for column in columns])
    pipes = ["| " + " | ".join(line) + " |" for line in lines + plain + bold]
    notes = ["", *(f"- {_markdown_escape(note)}" for note in table.notes)] if table.notes else []
    return "\n".join([f"**{_markdown_escape(table.title)}**", "", *pipes, *notes]) + "\n"


def _markdown_escape(text: str) -> str:
    for mark in "\\|*_`<>[]":
        text = text.replace(mark, f"\\{mark}")
    return " ".join(text.split())


_LATEX = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "$": r"\$", "&": r"\&", "#": r"\#", "%": r"\%", "_": r"\_",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}", ">": r"\textgreater{}",
    "|": r"\textbar{}", '"': r"\textquotedbl{}", "·": r"\textperiodcentered{}", "−": r"$-$", "×": r"$\times$",
}  # fmt: skip


def _to_latex(tables: Sequence[Table]) -> str:
    """Tables for a paper; they need the package booktabs."""
    return "\n".join(map(_latex, tables))


def _latex(table: Table) -> str:
    columns, rows, footers = people_view(table)
    line = " & ".join
    body = [line(map(_latex_escape, row)) + r" \\" for row in rows]
    summary = [line(map(_latex_escape, row)) + r" \\" for row in footers]
    notes = [rf"\par\footnotesize {_latex_escape(note)}" for note in table.notes]
    lines = [
        "% needs \\usepackage{booktabs}",
        r"\begin{table}",
        r"\centering",
        rf"\caption{{{_latex_escape(table.title)}}}",
        rf"\begin{{tabular}}{{{''.join('l' if column.kind == 'text' else 'r' for column in columns)}}}",
        r"\toprule",
        line(_latex_escape(column.title) for column in columns) + r" \\",
        r"\midrule",
        *body,
        *([r"\midrule", *summary] if summary else []),
        r"\bottomrule",
        r"\end{tabular}",
        *notes,
        r"\end{table}",
    ]
    return "\n".join(lines) + "\n"


def _latex_escape(text: str) -> str:
    return "".join(_LATEX.get(letter, letter) for letter in " ".join(text.split()))


_RENDERERS: dict[str, Callable[[Sequence[Table]], str]] = {
    "json": _to_json,
    "csv": _to_csv,
    "markdown": _to_markdown,
    "latex": _to_latex,
}
