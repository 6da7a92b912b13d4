"""TOML files that people write: what is wrong is said with file and key, or with line and column."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adbench.util import toml_files
from adbench.util.errors import UsageError

FILE = Path("my.toml")


def value(text: str) -> toml_files.Value:
    return toml_files.parse(text.encode(), FILE)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a = 1\nb = = 2", "my.toml, line 2, column 5: Invalid value: found 'b = = 2', wanted TOML."),
        ("a = 1\na = 2", "my.toml, line 2"),
        ("a = [1,\n", "my.toml, line 1, column 8: Invalid value: found 'a = [1,'"),
        ("data demo", "my.toml, line 1, column 6: Expected '=' after a key in a key/value pair"),
        ("[" * 5000, "my.toml"),
    ],
)
def test_what_is_no_toml_is_said_with_line_and_column(text, said):
    """The message has the file, the place, the line as it is, and what the parser says."""
    with pytest.raises(UsageError, match=re.escape(said)):
        value(text)


def test_a_file_that_cant_be_read_is_named(tmp_path):
    """A missing file, a folder, and bytes that are no text are mistakes of the user, too."""
    with pytest.raises(UsageError, match=r"no\.toml: found no such file, wanted a TOML file"):
        toml_files.read(tmp_path / "no.toml")
    with pytest.raises(UsageError, match="found a folder"):
        toml_files.read(tmp_path)
    (tmp_path / "latin.toml").write_bytes(b'a = 1\nb = "M\xfcller"\n')
    with pytest.raises(UsageError, match="line 2: found bytes that are no UTF-8"):
        toml_files.read(tmp_path / "latin.toml")


def test_a_mark_at_the_beginning_is_no_mistake():
    """Editors on Windows write a byte order mark."""
    assert toml_files.parse(b"\xef\xbb\xbfa = 1", FILE).value == {"a": 1}


def test_keys_say_where_a_value_stands():
    """Tables, lists and names that need quotes are written as in TOML."""
    found = value('methods = ["a", {options = {"my key" = 1}}]').item("methods").item(1).item("options").item("my key")
    assert found.where == 'my.toml: methods[1].options."my key"'


def test_an_unknown_key_is_refused_with_the_nearest():
    """The message names the key, the known ones and the one that was meant."""
    with pytest.raises(UsageError) as caught:
        value("[run]\nprest = 1").item("run").table(known=["preset", "seeds"])
    assert str(caught.value) == (
        "my.toml: run.prest: found an unknown key, wanted one of preset, seeds. Did you mean 'preset'?"
    )


def test_of_very_many_keys_the_nearest_is_named_alone():
    """A list of a hundred names, some of them twice, hides what was meant."""
    known = [f"key{number}" for number in range(100)] * 2 + ["preset"]
    assert str(toml_files.unknown_key(value("[run]\nprest = 1").item("run").item("prest"), "prest", known)) == (
        "my.toml: run.prest: found an unknown key, wanted one of 101 keys. Did you mean 'preset'?"
    )


@pytest.mark.parametrize(
    ("text", "read", "said"),
    [
        ("a = true", lambda each: each.whole(0), "my.toml: a: found true, wanted a whole number from 0 up."),
        ("a = 1.5", lambda each: each.whole(1, 3), "found 1.5, wanted a whole number from 1 to 3"),
        ("a = 4", lambda each: each.whole(1, 3), "found 4, wanted"),
        ("a = ' '", lambda each: each.text(), "found ' ', wanted a text"),
        ("a = []", lambda each: each.items("names"), "found an empty list, wanted names"),
        ("a = [[1]]", lambda each: each.table("a table"), "found a list of lists, wanted a table"),
        ("a = [{b = 1}]", lambda each: each.text(), "found a list of tables"),
        (f"a = {'9' * 200}", lambda each: each.whole(0, 9), "found a number of more than 60 digits"),
    ],
)
def test_a_wrong_value_is_said_as_it_stands_there(text, read, said):
    """What was found is written as in the file, shortened where it is long."""
    with pytest.raises(UsageError, match=re.escape(said)):
        read(value(text).item("a"))


def test_paths_are_relative_to_the_file():
    """A relative path starts at the file's folder; an absolute one stays."""
    found = toml_files.parse(b'a = "data/x"', Path("sub/my.toml")).item("a").path()
    assert found == Path("sub/data/x")


@settings(max_examples=40, deadline=None)
@given(st.binary(max_size=60) | st.text("=[]{}\"',.\n\\ab01-:T#", max_size=60).map(str.encode))
def test_any_bytes_are_toml_or_a_mistake_with_the_files_name(data):
    """No content of a file raises anything but a short message about that file."""
    said, found = "my.toml", None
    try:
        found = toml_files.parse(data, FILE).value
    except UsageError as error:
        said = str(error)
    assert said.startswith("my.toml")
    assert isinstance(found, dict) == (said == "my.toml")
