"""Templates: users' text never becomes markup, and every output character is allowed."""

from __future__ import annotations

import subprocess
import sys
from xml.etree import ElementTree

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from adbench.report.page.charts import Chart
from adbench.report.page.templates import breakable, chart_svg, stacked, table_html
from adbench.report.tables import Column, Table
from adbench.util.text import printable

ANY = st.text(st.characters())
"""Any text: markup, control characters, halves of surrogate pairs."""


@settings(max_examples=100, deadline=None)
@given(ANY, ANY)
@example('</title><script>"', "\x00\x1b]0;title\x07\udc80\ufffe")
def test_any_text_and_attribute_comes_back_as_it_was(text, attribute):
    """A parser reads the original text; forbidden characters are shown as escapes."""
    table = Table(text, (Column("a", attribute, lambda row: row),), (text,), notes=(attribute,))
    read = ElementTree.fromstring(f"<div>{table_html(table)}</div>")
    assert read.find("div").get("aria-label") == printable(text)
    assert "".join(read.find("p").itertext()) == printable(text)
    assert "".join(read.find(".//tbody//th").itertext()) == printable(text)
    assert read.find(".//thead//th").text or printable(attribute) == ""
    assert {each.tag for each in read.iter()} <= {"div", "p", "table", "thead", "tbody", "tr", "th", "ul", "li", "wbr"}


@settings(max_examples=50, deadline=None)
@given(ANY)
def test_a_chart_is_well_formed_with_any_label(label):
    """The label of a separate SVG file would be read, too."""
    read = ElementTree.fromstring(chart_svg(Chart(label, "", ())))
    assert read.get("aria-label") == printable(label)


def test_the_ranked_metric_comes_right_after_the_name():
    """What is said of a number stands below it; programs and terminals keep their own order."""

    def column(key, **more):
        return Column(key, key, lambda row: 0.5, **more)

    columns = (
        column("rank", kind="count", role="key"), column("variant", role="key"), column("seeds", kind="count"),
        column("best", role="main"), column("auroc", kind="percent", role="main"), column("95 %", beside=True),
        column("aupro", kind="percent"), column("sd", kind="percent", beside=True),
    )  # fmt: skip
    found = [(each.key, [one.key for one in below]) for each, below in stacked(Table("t", columns, (1,)))]
    assert found == [
        ("rank", []), ("variant", []), ("auroc", ["95 %"]), ("best", []), ("seeds", []), ("aupro", ["sd"]),
    ]  # fmt: skip


def test_lines_may_break_inside_names():
    """Lines may break after commas, colons and slashes, but not before a space or at the end."""
    assert breakable("a:b,c/d, e:") == "a:<wbr/>b,<wbr/>c/<wbr/>d, e:"
    assert breakable("<,>") == "&lt;,<wbr/>&gt;"


@pytest.mark.parametrize(
    ("module", "absent"),
    [
        ("adbench.report, adbench.cli.stored", ["jinja2", "torch", "numpy"]),
        ("adbench.report.page", ["torch", "adbench.run.reopen"]),
    ],
)
def test_what_a_module_does_not_import(module, absent):
    """Tables and commands start without Jinja2 and NumPy; the page's code can't score, and needs no torch."""
    program = f"import sys, {module}; print([name for name in {absent} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
