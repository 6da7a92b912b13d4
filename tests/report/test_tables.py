"""Tables in every format: complete, and with everything escaped."""

from __future__ import annotations

import csv
import io
import json
import re
from dataclasses import replace
from xml.etree import ElementTree

import pandas
import pytest
from awkward_tables import awkward, hostile
from hypothesis import given, settings
from hypothesis import strategies as st
from made_results import make_result
from rich.cells import cell_len
from rich.console import Console

from adbench import report
from adbench.report import render as renderers
from adbench.report import tables
from adbench.report.render import render, terminal
from adbench.report.tables import Column, Table
from adbench.run.standing import Standing

TEXT_FORMATS = ("json", "csv", "markdown", "latex", "svg")


def test_json_is_one_document_with_every_digit():
    """Standard output is one document, numbers are fractions, None is null."""
    document = json.loads(render(awkward(), "json"))
    assert [each["title"] for each in document] == [table.title for table in awkward()]
    for each in document:
        keys = [column["key"] for column in each["columns"]]
        assert all(list(row) == keys for row in (*each["rows"], *each["footers"]))
    runs = document[-1]["rows"]
    assert [row["image_auroc"] for row in runs] == [0.123456789012345, 0.9]
    assert runs[1]["pixel_auroc"] is None
    assert runs[1]["class"] == "零件 [bold]"


def read_csv(found: list[Table]) -> pandas.DataFrame:
    return pandas.read_csv(io.StringIO(render(found, "csv")))


def test_csv_of_one_table_is_its_rows():
    """Pandas reads one table back with every digit, the mean as the last row."""
    results = [make_result("m", name, image=value) for name, value in (("x", 1 / 3), ('y, "z"', 0.1))]
    frame = read_csv(report.leaderboard(results, by_class=True))
    assert list(frame["class"]) == ["x", 'y, "z"', "mean (2)"]
    assert list(frame["image_auroc"])[:2] == pytest.approx([1 / 3, 0.1], rel=1e-15)


def test_csv_of_several_tables_is_one_frame():
    """Pandas reads tables of different columns at once; the first column distinguishes them."""
    found = awkward()
    frame = read_csv(found)
    assert frame.columns[0] == "table"
    counts = frame.groupby("table", sort=False).size().to_dict()
    assert counts == {table.title: len(table.rows) + len(table.footers) for table in found}
    runs = frame[frame["table"] == found[-1].title]
    assert list(runs["image_auroc"]) == pytest.approx([0.123456789012345, 0.9], rel=1e-15)
    assert list(runs["pixel_auroc"].isna()) == [False, True]
    assert runs["rank"].isna().all()


def test_markdown_rows_have_as_many_cells_as_the_header():
    """Pipes inside names are escaped."""
    for table in awkward():
        lines = [line for line in render([table], "markdown").splitlines() if line.startswith("|")]
        assert len(lines) == 2 + len(table.rows) + len(table.summary)
        assert len({len(re.findall(r"(?<!\\)\|", line)) for line in lines}) == 1


def test_latex_is_balanced_and_escaped():
    """Braces balance, rows have as many cells as columns, and no special character is bare."""
    for table in awkward():
        text = render([table], "latex")
        bare = re.sub(r"\\[{}]", "", text)
        assert bare.count("{") == bare.count("}")
        columns = len(re.search(r"\\begin{tabular}{([lr]+)}", text).group(1))
        for line in text.splitlines():
            if line.endswith(r"\\"):
                assert len(re.findall(r"(?<!\\)&", line)) == columns - 1
                assert not re.search(r"(?<!\\)[%#_]", line)
        assert text.count(r"\toprule") == text.count(r"\bottomrule") == 1


def test_svg_holds_the_numbers():
    """The SVG is well-formed XML with the table's text."""
    image = ElementTree.fromstring(render(report.leaderboard([make_result(image=0.98765)]), "svg"))
    assert "98.77" in "".join(image.itertext())


def printed(table: Table, width: int) -> list[str]:
    console = Console(width=width, file=io.StringIO(), highlight=False)
    console.print(terminal.to_rich(table, width))
    return console.file.getvalue().splitlines()


@pytest.mark.parametrize("width", [40, 60, 80, 200])
def test_numbers_are_whole_on_any_terminal(width):
    """However narrow it is, no line is too wide, no number is cut, and all names are there."""
    values = {"msflow": 1.0, "cflow": 0.98765, "padim": 0.5}
    classes = ("metal nut", "a class with a long name")
    results = [make_result(method, name, image=value) for method, value in values.items() for name in classes]
    table = report.compare(results, list(values))[0]
    lines = printed(table, width)
    assert max(map(cell_len, lines)) <= width
    words = " ".join(lines).split()
    for number in ("100.00", "98.77", "50.00", "-1.23", "-50.00"):
        assert words.count(number) == 3
    assert "…" not in "".join(lines)
    assert "name" in words


@settings(max_examples=60, deadline=None)
@given(
    width=st.integers(30, 120),
    titles=st.lists(st.text("ab ", min_size=1, max_size=20), min_size=1, max_size=9),
    values=st.lists(st.floats(0, 1), min_size=1, max_size=3),
)
def test_any_table_fits_any_terminal(width, titles, values):
    """For any titles, all lines fit and all numbers are complete."""
    numbers = (Column(f"c{n}", title, lambda value: value, "percent") for n, title in enumerate(titles))
    table = Table("t", (Column("name", "name", lambda _: "n"), *numbers), tuple(values))
    lines = printed(table, width)
    assert max(map(cell_len, lines)) <= width
    words = " ".join(lines).split()
    for value in values:
        wanted = tables.cell_text(value, "percent")
        assert words.count(wanted) == len(titles) * [tables.cell_text(v, "percent") for v in values].count(wanted)


def test_a_pipe_gets_plain_and_whole_tables(capsys, monkeypatch):
    """Outside a terminal there is no colour, and nothing is folded, however wide the table is."""
    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.delenv("FORCE_COLOR", raising=False)
    renderers.write([report.list_runs([make_result(overrides={"backbone": "a_backbone_with_a_long_name"})])], "table")
    printed_text = capsys.readouterr().out
    assert "\x1b" not in printed_text
    assert "msflow:backbone=a_backbone_with_a_long_name" in printed_text


def test_sentences_are_folded_in_a_pipe_as_well(capsys, monkeypatch):
    """A table of prose has 80 columns outside a terminal."""
    monkeypatch.delenv("FORCE_COLOR", raising=False)
    words = Column("text", "text", lambda row: row, role="main")
    renderers.write([Table("t", (Column("name", "name", lambda _: "n"), words), ("word " * 60,), prose=True)], "table")
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 80
    assert sum(line.count("word") for line in lines) == 60


def test_people_see_no_mean_of_a_single_row(capsys):
    """It would say the same again; programs have it, as in every table of classes."""
    (alone,) = report.leaderboard([make_result(class_name="a")], by_class=True)
    assert "mean" not in render([alone], "markdown").split("\n\n")[1]
    assert "mean (1)" in render([alone], "json")
    (both,) = report.leaderboard([make_result(class_name=name) for name in "ab"], by_class=True)
    assert "**mean (2)**" in render([both], "markdown")


def test_no_color_is_obeyed(monkeypatch):
    """NO_COLOR removes a terminal's colours."""
    monkeypatch.setenv("NO_COLOR", "1")
    console = Console(file=io.StringIO(), force_terminal=True, width=100)
    console.print(terminal.to_rich(report.compare([make_result("a"), make_result("b", image=0.7)], ["a", "b"])[0], 100))
    assert not re.search(r"\x1b\[[0-9;]*3[1-7]m", console.file.getvalue())


@pytest.mark.parametrize("format_", TEXT_FORMATS)
def test_write_prints_what_render_makes(capsys, format_):
    """Standard output has the document and nothing else."""
    found = report.leaderboard([make_result()])
    renderers.write(found, format_)
    assert capsys.readouterr().out == render(found, format_)


def test_unknown_format_is_refused():
    """An unknown format is an error that lists the known ones."""
    with pytest.raises(ValueError, match=r"'yaml'.*markdown"):
        render([], "yaml")


def test_no_difference_has_no_sign():
    """A difference that rounds to nothing is neither a gain nor a loss."""
    assert [tables.cell_text(value, "points") for value in (1e-9, -1e-9, 0.0123, -0.5)] == [
        "0.00",
        "0.00",
        "+1.23",
        "-50.00",
    ]


# ---------------------------------------------------------------- names of other people


@pytest.mark.parametrize("format_", ["table", "json", "markdown", "latex", "svg"])
def test_no_format_hands_a_terminal_its_commands(capsys, format_):
    """Any class name is safe, and the numbers are still there."""
    renderers.write(hostile(), format_)
    text = capsys.readouterr().out
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e\ud800-\udfff]", text)
    assert ("0.75" if format_ == "json" else "75.00") in text


def test_the_image_is_well_formed_whatever_the_names():
    """XML has no control characters; they are shown as escapes."""
    image = ElementTree.fromstring(render(hostile(), "svg"))
    assert r"\x1b[2J" in "".join(image.itertext())


def test_csv_holds_no_formula_and_numbers_stay_numbers():
    """Cells and headers that begin like a formula get an apostrophe; differences keep their minus sign."""
    text = render(hostile(), "csv")
    rows = list(csv.reader(io.StringIO(text, newline="")))
    assert any(cell == '\'=HYPERLINK("http://x")' for row in rows for cell in row)
    cells = [cell for row in rows for cell in row if cell[:1] in "=+-@" and cell]
    assert cells
    assert all(float(cell) < 0 for cell in cells)


# ---------------------------------------------------------------- narrow terminals


def test_a_split_table_repeats_what_a_row_is_about():
    """At 50 columns each part of the list of runs has class, variant and seed; the run's name is whole."""
    results = [make_result(name, "brick", preset="cpu") for name in ("msflow", "cflow")]
    results = [replace(result, run=f"cpu-seed0-{number:08x}") for number, result in enumerate(results)]
    lines = printed(report.list_runs(results), 50)
    rows = [line for line in lines if re.match(r"brick .*(msflow:cpu|cflow:cpu) +0 ", line)]
    assert len(rows) % 2 == 0
    assert len(rows) >= 4
    assert sum("cpu-seed0-00000001" in line for line in rows) == 1


def test_spare_columns_are_left_out_before_rows_are_split():
    """At 80 columns each run is one row with its name, numbers and state; a note names what a wider terminal shows."""
    results = [make_result(name, "transistor", preset="cpu", dataset="mvtec") for name in ("msflow", "cflow")]
    results = [replace(result, run=f"cpu-seed0-{number:08x}") for number, result in enumerate(results)]
    table = report.list_runs(results, [Standing("unchecked", ("its images are not at hand",))] * 2)
    lines = printed(table, 80)
    assert max(map(cell_len, lines)) <= 80
    for number, name in enumerate(("msflow", "cflow")):
        (row,) = (line for line in lines if f"cpu-seed0-{number:08x}" in line)
        assert row.split()[:5] == ["transistor", f"{name}:cpu", "90.00", "95.00", "85.00"]
    assert "Left out, but for a wider terminal: seed, finished." in lines
    assert "Left out" not in "".join(printed(table, 140))
    assert "2024-01-01 00:00" in "".join(printed(table, 140))


def test_the_main_columns_come_first_where_a_table_is_split():
    """The ranked metric is in the first part, wherever its column is."""
    results = [make_result(f"a_method_{number}", "x", aupro=0.5 + number / 100) for number in range(3)]
    (table,) = report.leaderboard(results, metric="aupro")
    lines = printed(table, 46)
    first = next(number for number, line in enumerate(lines) if line.startswith("───"))
    assert lines[first - 1].split()[:3] == ["rank", "variant", "AUPRO"]
    assert any(re.match(r" +1 +a_method_2 +52.00", line) for line in lines)


def test_a_note_is_said_once(capsys):
    """Tables of one command don't repeat the notes under the first; a single table always has them."""
    found = report.compare([make_result("a"), make_result("b")], ["a", "b"])
    renderers.write(found, "table")
    assert capsys.readouterr().out.count("Protocol:") == 1
    assert all(any(note.startswith("Protocol:") for note in table.notes) for table in found)
