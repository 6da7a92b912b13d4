"""Other people's names on a terminal, in XML, in JSON, in a spreadsheet and as folders."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from xml.etree import ElementTree

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adbench.util.text import csv_text, duration, guarded, json_escaped, printable, safe_name, spelled, unguarded

NAMES = st.text(st.characters(codec="utf-8"), max_size=12) | st.text(
    st.sampled_from("'=+-@\t\r\n\x1b\x9b\x00\u202e\udcff\ufffea\" ,é"), max_size=8
)


@given(NAMES)
def test_printable_text_commands_no_terminal_and_is_xml(name):
    """No control character, no change of the writing direction and no byte that is not text is left."""
    shown = printable(name)
    assert all(letter.isprintable() or letter.isspace() or ord(letter) > 0xA0 for letter in shown)
    assert not set(shown) & set("\n\r\t\x1b\x9b\u202e\u2028")
    shown.encode("utf-8")
    ElementTree.fromstring(f"<t>{shown.replace('&', '').replace('<', '')}</t>")


def test_printable_text_says_what_stood_there():
    """Escapes are the usual ones; ordinary text is unchanged, in any script."""
    assert printable("\x1b[31mred\n\u202e\udcff") == r"\x1b[31mred\n\u202e\xff"
    assert printable("metal_nut 零件 Größe 😀") == "metal_nut 零件 Größe 😀"


def test_a_name_is_spelled_as_the_known_one():
    """The forms of letters don't count, but the same spelling comes first, and another name stays."""
    composed, split = "T\u00fcr", "Tu\u0308r"
    assert spelled(composed, ["x", split]) == split
    assert spelled(split, iter([composed])) == composed
    assert [spelled(name, [composed, split]) for name in (composed, split)] == [composed, split]
    assert spelled("Tur", [composed, split]) == "Tur"


@given(st.lists(NAMES))
def test_json_holds_the_same_text_without_what_a_terminal_obeys(names):
    """Programs read the written text, including lone surrogates."""
    document = json_escaped(json.dumps(names, indent=2, ensure_ascii=False))
    assert json.loads(document) == names
    assert printable(document.replace("\n", "")) == document.replace("\n", "")


@given(NAMES)
def test_a_guarded_cell_is_no_formula_and_reads_back_exactly(name):
    """Any name is safe, even one that looks guarded already."""
    cell = guarded(name)
    assert not cell.startswith(tuple("=+-@\t\r\n"))
    assert unguarded(cell) == name


@pytest.mark.parametrize("name", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "＝1", "'=1", "''@"])
def test_formulas_get_an_apostrophe(name):
    """Those that OWASP lists count, and text that would read back as one."""
    assert guarded(name) == f"'{name}"


@pytest.mark.parametrize("name", ["bottle", "'quoted'", "a=b", "", "000.png", "it's"])
def test_other_text_stays_as_it_is(name):
    """An apostrophe in front of a name that is no formula belongs to the name."""
    assert (guarded(name), unguarded(name)) == (name, name)


@given(st.lists(st.tuples(NAMES, st.floats() | st.none() | st.integers()), max_size=4))
def test_csv_reads_back_exactly(rows):
    """Any names and numbers read back; numbers keep every digit and their sign, and get no apostrophe."""
    rows = [(name.encode("utf-8", "backslashreplace").decode(), number) for name, number in rows]
    rows = [(name.replace("\0", ""), number) for name, number in rows]  # Python 3.10 reads no NUL
    read = list(csv.DictReader(io.StringIO(csv_text(("name", "number"), rows), newline="")))
    assert [unguarded(row["name"]) for row in read] == [name for name, _ in rows]
    for row, (_, number) in zip(read, rows, strict=True):
        finite = number is not None and abs(number) < float("inf")
        assert type(number)(row["number"]) == number if finite else row["number"] == ""


@pytest.mark.parametrize(
    "name", ["bolts", "metal nut", "schraube ä", "零件", "v1.2", ".hidden", "x" * 60, "msflow:cpu"[:6]]
)
def test_harmless_names_stay_as_they_are(name):
    """Blanks, dots and letters of any script stay."""
    assert name == safe_name(name)


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=100) | st.sampled_from(["CON", "nul.txt", "com1", "a.", "a ", "..", ".", "", "a/b", "LPT1.x"]))
def test_safe_names_are_safe(name):
    """No name contains what Windows forbids, leaves its folder, is too long, or is empty."""
    safe = safe_name(name)
    assert safe
    assert not set(safe) & set('<>:"/\\|?*\0\n')
    assert safe not in (".", "..")
    assert safe[-1] not in ". "
    assert safe.split(".")[0].lower() not in ("con", "prn", "aux", "nul", "com1", "lpt1")
    assert len(safe) <= 70
    assert (Path("root") / safe).parent == Path("root")


def test_names_that_change_do_not_meet():
    """Two names that would give the same folder name don't."""
    assert len({safe_name(name) for name in ("a:b", "a/b", "a_b", "a_b.", "x" * 70, "x" * 71)}) == 6


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0 s"), (59.4, "59 s"), (59.6, "1 min 0 s"), (200, "3 min 20 s"), (599, "9 min 59 s"), (601, "10 min"),
     (3599, "60 min"), (3600, "1 h 0 min"), (18650, "5 h 10 min"), (86400, "1 d 0 h"), (184000, "2 d 3 h")],
)  # fmt: skip
def test_durations_are_written_for_people(seconds, text):
    """A time is written in the two largest units."""
    assert duration(seconds) == text
