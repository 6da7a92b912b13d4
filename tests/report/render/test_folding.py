"""Lines of texts in narrow tables."""

from __future__ import annotations

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from rich.cells import cell_len

from adbench.report.render.folding import fold, longest_piece

LINK = "https://www.example.org/a/long/path?with=arguments,and:more"


@pytest.mark.parametrize(
    ("text", "width", "lines"),
    [
        ("random:cpu,size=64x64", 12, ["random:cpu,", "size=64x64"]),
        ("random:cpu,size=64x64", 8, ["random:", "cpu,", "size=", "64x64"]),
        ("classes=bolts+nuts", 14, ["classes=bolts+", "nuts"]),
        ("padim:cpu,size=64x128,layers=2,3", 16, ["padim:cpu,", "size=64x128,", "layers=2,3"]),
        ("CLASS/train/good", 12, ["CLASS/train/", "good"]),
        ("lr=1e+05,layers=2,3", 10, ["lr=1e+05,", "layers=2,3"]),
        ("2026-11-26 12:30", 10, ["2026-11-26", "12:30"]),
        ("-1.93 to +5.65", 8, ["-1.93 to", "+5.65"]),
        ("few-shot and multi-class", 11, ["few-shot", "and", "multi-class"]),
        (f"see {LINK} there", 10, ["see", LINK, "there"]),
        ("", 5, [""]),
    ],
)
def test_lines_end_after_separators_and_between_words(text, width, lines):
    """Not within words, numbers, times or links, even where a link is wider than the line."""
    assert fold(text, width) == lines


def test_a_word_that_is_longer_than_the_line_is_cut():
    """There is no other way; wide letters count twice."""
    assert fold("abcdefgh ij", 3) == ["abc", "def", "gh", "ij"]
    assert fold("零件零件", 4) == ["零件", "零件"]


@given(st.text(st.sampled_from("ab12 ,:+/=.-é零"), max_size=40), st.integers(2, 20))
@example("a,=:+/b", 2)
def test_folding_loses_nothing_but_blanks(text, width):
    """All letters stay in their order, each line fits, and no line is cut where no piece is too long."""
    lines = fold(text, width)
    assert re.sub(r"\s", "", "".join(lines)) == re.sub(r"\s", "", text)
    assert all(cell_len(line) <= width for line in lines)
    if cell_len(text) > width >= longest_piece(text):
        assert all(any(run in line for line in lines) for run in re.findall(r"[^\W\d]+|\d+", text))
