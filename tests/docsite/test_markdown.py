"""Texts stay what they are in Markdown."""

from __future__ import annotations

import html

from hypothesis import given
from hypothesis import strategies as st

from docsite import markdown


@given(st.text(st.characters(codec="utf-8", exclude_categories=["C"])))
def test_plain_text_has_no_marks_and_reads_as_before(text):
    """No letter that Markdown or HTML takes for a mark is left, and a browser shows the text, with single spaces."""
    made = markdown.plain(text)
    assert not set(made) & set(markdown.SPECIAL) - set("&#")
    assert html.unescape(made) == " ".join(text.split())


def test_code_with_backquotes_is_code():
    """A backquote inside asks for a longer fence."""
    assert markdown.code("a|b") == "`a|b`"
    assert markdown.code("a`b") == "``a`b``"
    assert markdown.code("") == ""


def test_blocks_with_fences_have_another_fence():
    """A block that holds a fence itself is fenced by something else."""
    assert markdown.block("a\n", "sh") == "```sh\na\n```\n"
    assert markdown.block("```x```", "md").startswith("~~~~md\n")


def test_numbers_are_aligned():
    """Columns of numbers are right-aligned, the first one is not."""
    assert markdown.table(["a", "b"], [["x", "1"]], numbers=True) == "| a | b |\n| --- | ---: |\n| x | 1 |\n"
