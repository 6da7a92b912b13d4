"""Renders tables for papers as LaTeX that pdfLaTeX, XeLaTeX and LuaLaTeX compile.

The best value is bold, and a dagger marks values that do not differ significantly from it, where a table says which
these are (``Table.marks``).
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from itertools import groupby
from typing import Any

from ..tables import MISSING, AnyTable, Column, Mark, people_view

PACKAGES = ("booktabs", "graphicx")
"""Packages that the preamble of a document with these tables loads."""

_LATEX = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "$": r"\$", "&": r"\&", "#": r"\#", "%": r"\%", "_": r"\_",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}", ">": r"\textgreater{}",
    "|": r"\textbar{}", '"': r"\texttt{\char34}", "`": r"\textasciigrave{}",
    "[": "{[}", "]": "{]}", "*": "{*}",  # a row that begins with one of these would be an argument of the line end
    "\u00b7": r"$\cdot$", "\u00d7": r"$\times$", "\u00b1": r"$\pm$", "\u00b5": r"$\mu$", "\u00b0": r"$^{\circ}$",
    "\u2212": "$-$", "\u2013": "--", "\u2014": "---", "\u2018": "`", "\u2019": "'", "\u201c": "``", "\u201d": "''",
    "\u2020": r"$^{\dagger}$", "\u2026": r"\ldots{}", "\u2192": r"$\rightarrow$", "\u2260": r"$\neq$",
    "\u2264": r"$\leq$", "\u2265": r"$\geq$", "\u00df": r"\ss{}", "\u00e6": r"\ae{}", "\u00c6": r"\AE{}",
    "\u00f8": r"\o{}", "\u00d8": r"\O{}", "\u0142": r"\l{}", "\u0141": r"\L{}", "\u0153": r"\oe{}", "\u0152": r"\OE{}",
    "\u0131": r"\i{}",
}  # fmt: skip

_ACCENTS = {
    "\u0300": "`", "\u0301": "'", "\u0302": "^", "\u0303": "~", "\u0308": '"', "\u0304": "=", "\u0306": "u",
    "\u0307": ".", "\u030a": "r", "\u030b": "H", "\u030c": "v", "\u0327": "c",
}  # fmt: skip
"""Commands of the accents that every font encoding has, by Unicode's combining characters."""


def to_latex(tables: Sequence[AnyTable]) -> str:
    """Render tables as floats for a document that loads ``PACKAGES``. A table wider than the text is scaled down."""
    return "\n".join(map(_latex, tables))


def _latex(table: AnyTable) -> str:
    view = people_view(table)
    line = " & ".join
    body, summary = (
        [
            line(
                _cell(text, column, _mark(table, column, row)) for text, column in zip(texts, view.columns, strict=True)
            )
            for row, texts in zip(part, shown, strict=True)
        ]
        for part, shown in ((table.rows, view.rows), (table.summary, view.footers))
    )
    notes = [*(table.marks.notes() if table.marks else ()), *view.notes]
    lines = [
        f"% needs \\usepackage{{{','.join(PACKAGES)}}}",
        r"\begin{table}[htbp]",
        r"\centering",
        rf"\caption{{{escaped(view.title)}}}",
        r"\resizebox{\ifdim\width>\linewidth\linewidth\else\width\fi}{!}{%",
        rf"\begin{{tabular}}{{{''.join('l' if column.kind == 'text' else 'r' for column in view.columns)}}}",
        r"\toprule",
        line(map(escaped, view.titles)) + r" \\",
        r"\midrule",
        *(row + r" \\" for row in body),
        *([r"\midrule"] if summary else []),
        *(row + r" \\" for row in summary),
        r"\bottomrule",
        r"\end{tabular}}",
        *_below(notes),
        r"\end{table}",
    ]
    return "\n".join(lines) + "\n"


def _below(notes: Sequence[str]) -> list[str]:
    if not notes:
        return []
    start, end = r"\par\smallskip\begin{minipage}{\linewidth}\footnotesize\raggedright", r"\end{minipage}"
    return [start, *(rf"{escaped(note)}\par" for note in notes), end]


def _mark(table: AnyTable, column: Column[Any], row: Any) -> Mark | None:
    return table.marks.of(column.key, row) if table.marks else None


def _cell(text: str, column: Column[Any], mark: Mark | None) -> str:
    if text == MISSING and column.kind != "text":
        return "--"
    if re.fullmatch(r"[\d.]+-[\d.]+", text):  # an interval, "97.1-99.0"
        return text.replace("-", "--")
    number = escaped(text)
    if column.kind != "text" or re.fullmatch(r"[-+\d.]+ to [-+\d.]+", text):  # an interval of a difference
        number = re.sub(r"(^|(?<= to ))([+-])(?=\d)", r"$\2$", number)
    if mark == "best":
        return rf"\textbf{{{number}}}"
    return rf"{number}\rlap{{$^{{\dagger}}$}}" if mark == "tied" else number  # the digits stay below each other


def escaped(text: str) -> str:
    """Write any text so that LaTeX prints it.

    Letters that pdfLaTeX's usual fonts lack, such as Chinese ones, are printed by XeLaTeX and LuaLaTeX; pdfLaTeX prints
    their numbers ("U+96F6").
    """
    text = " ".join(text.split()).replace(">=", "\u2265").replace("<=", "\u2264")
    written = [(_letter(letter), letter) for letter in text]
    pieces = []
    for known, group in groupby(written, lambda each: each[0] is not None):
        found = list(group)
        if known:
            pieces.append("".join(command or "" for command, _ in found))
        else:
            letters = "".join(letter for _, letter in found)
            numbers = " ".join(f"U+{ord(letter):04X}" for letter in letters)
            pieces.append(rf"{{\ifdefined\Umathchar {letters}\else {numbers}\fi}}")
    return re.sub("-(?=-)", "-{}", "".join(pieces))  # two hyphens would be a dash


def _letter(letter: str) -> str | None:
    """The command for a letter; None if there is none that every font has."""
    if letter in _LATEX:
        return _LATEX[letter]
    if letter.isascii():
        return letter
    parts = unicodedata.normalize("NFD", letter)
    base, accent = parts[0], parts[1:]
    if base.isascii() and base.isalpha() and accent in _ACCENTS:
        return rf"\{_ACCENTS[accent]}{{{base}}}"
    return None
