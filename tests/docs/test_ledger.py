"""The page of the ledger says of each method what is known to move its number."""

from __future__ import annotations

import re

from doc_blocks import ROOT
from made_ledgers import known_result, make_ledger

from adbench.api import registry
from adbench.report import ledger_page

PAGE = (ROOT / "docs" / "ledger.md").read_text(encoding="utf-8")


def test_each_method_with_published_numbers_has_its_list():
    """The sections are sorted, and none of a method that adbench ships is missing."""
    sections = re.findall(r"^### (.*)$", PAGE, re.MULTILINE)
    shipped = {name for name, method in registry.load().methods.items() if method.published}
    assert sections == sorted(sections)
    assert shipped - set(sections) == set()


def test_its_table_has_the_columns_of_the_summary():
    """Rows of ``ledger.md`` can be added to the page as they are."""
    page = ledger_page.to_markdown(make_ledger([known_result()]))
    header = next(line for line in page.splitlines() if line.startswith("| method |"))
    assert header in PAGE.splitlines()
