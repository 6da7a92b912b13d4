"""Renders tables as Markdown and LaTeX."""

from __future__ import annotations

from collections.abc import Sequence

from ..tables import AnyTable, people_view


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


_LATEX = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "$": r"\$", "&": r"\&", "#": r"\#", "%": r"\%", "_": r"\_",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}", ">": r"\textgreater{}",
    "|": r"\textbar{}", '"': r"\textquotedbl{}", "·": r"\textperiodcentered{}", "−": r"$-$", "×": r"$\times$",
}  # fmt: skip


def to_latex(tables: Sequence[AnyTable]) -> str:
    """Render tables for a paper; they need the package booktabs."""
    return "\n".join(map(_latex, tables))


def _latex(table: AnyTable) -> str:
    view = people_view(table)
    line = " & ".join
    body = [line(map(_latex_escape, row)) + r" \\" for row in view.rows]
    summary = [line(map(_latex_escape, row)) + r" \\" for row in view.footers]
    notes = [rf"\par\footnotesize {_latex_escape(note)}" for note in view.notes]
    lines = [
        "% needs \\usepackage{booktabs}",
        r"\begin{table}",
        r"\centering",
        rf"\caption{{{_latex_escape(view.title)}}}",
        rf"\begin{{tabular}}{{{''.join('l' if column.kind == 'text' else 'r' for column in view.columns)}}}",
        r"\toprule",
        line(_latex_escape(title) for title in view.titles) + r" \\",
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
