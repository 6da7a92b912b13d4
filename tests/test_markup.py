"""Markup: what users write never becomes markup."""

from __future__ import annotations

from html.parser import HTMLParser

from hypothesis import given, settings
from hypothesis import strategies as st

from adbench.markup import Html, breakable, join, tag

TEXT = st.text(st.characters(blacklist_categories=["Cs", "Cc"]))


class Reader(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.data = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, name, attributes):
        self.tags.append((name, dict(attributes)))

    def handle_data(self, data):
        self.data += data


@settings(max_examples=50, deadline=None)
@given(TEXT, TEXT)
def test_any_text_and_attribute_comes_back_as_it_was(text, attribute):
    """A parser reads exactly what was put in, whatever signs it holds."""
    read = Reader(tag("td", {"title": attribute}, text))
    assert read.tags == [("td", {"title": attribute})]
    assert read.data == text


@settings(max_examples=50, deadline=None)
@given(TEXT)
def test_breakable_text_only_gains_places_to_break(text):
    """Taking the break marks out leaves the text."""
    read = Reader(breakable(text))
    assert {name for name, _ in read.tags} <= {"wbr"}
    assert read.data == text


def test_markup_among_children_stays_markup():
    """Html goes in as it stands, in any nesting, and true, absent and false attributes are told apart."""
    inner = tag("b", None, "1 < 2")
    assert tag("p", {"id": 3, "open": True, "class": None, "hidden": False}, inner, " & ") == Html(
        '<p id="3" open><b>1 &lt; 2</b> &amp; </p>'
    )
    assert tag("img", {"alt": '"'}) == '<img alt="&quot;">'
    assert isinstance(join(inner, "<"), Html)
