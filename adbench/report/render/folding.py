"""Breaks texts into lines: between words, and after the separators of a variant's name or of a path.

A break stands after one of ``, : + / =``, never within a word or a number, and never within a link, so that people can
read and copy what they see.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from rich.cells import cell_len, chop_cells

_WORD = re.compile(r"\s*\S+")
_LINK = re.compile(r"[a-zA-Z][\w+.-]*://\S+")

_AFTER_SEPARATOR = re.compile(
    r"(?<=[^\s,:+/],)(?=\S)"  # "layers=2,|3"
    r"|(?<=[^\s\d,:+/][:+/])(?<!\d[eE]\+)(?=\S)"  # "padim:|cpu", "bolts+|nuts", but not "1e+05"
    r"|(?<=\d[:+/])(?=[^\s\d])"  # "resnet18/|layer1", but not "12:30"
)
_AFTER_EQUALS = re.compile(r"(?<=[^\s=]=)(?=[^\s=])")


def fold(text: str, width: int) -> list[str]:
    """Break a text into lines of at most ``width`` characters as a terminal counts them.

    A word is broken after separators if it is longer than a line, after "=" if that is not enough, and cut only if
    nothing else helps. A link is never broken, and so its line may be wider.
    """
    if cell_len(text) <= width:
        return [text]
    lines = [""]
    for piece in _pieces(text, width):
        if cell_len((lines[-1] + piece).strip()) <= width:
            lines[-1] += piece
            continue
        bare = piece.lstrip()
        too_long = cell_len(bare) > width and not _LINK.search(bare)
        lines += chop_cells(bare, max(1, width)) if too_long else [bare]
    return [line.strip() for line in lines if line.strip()] or [""]


def longest_piece(text: str) -> int:
    """The length of the longest part that is not broken."""
    return max((cell_len(piece.strip()) for piece in _pieces(text, 1)), default=1)


def links(text: str) -> list[str]:
    """The links in a text."""
    return _LINK.findall(text)


def _pieces(text: str, width: int) -> Iterator[str]:
    """The parts between which a line may end, with the spaces before them."""
    for word in _WORD.findall(text):
        if cell_len(word.strip()) <= width or _LINK.search(word):
            yield word
            continue
        for part in _AFTER_SEPARATOR.split(word):
            yield from [part] if cell_len(part.strip()) <= width else _AFTER_EQUALS.split(part)
