"""Every method that comes with adbench is described."""

from __future__ import annotations

import pytest
from doc_blocks import ROOT

from adbench.api import registry

BUILT_IN = sorted(name for name in registry.load().methods if name != "random" and not name.startswith("anomalib:"))
"""Those of anomalib have one page, docs/anomalib.md."""


@pytest.mark.parametrize("name", BUILT_IN)
def test_a_method_has_a_page_and_stands_in_the_lists(name):
    """README names it, docs/methods lists it, and its page shows how to run it and where it is from."""
    page = (ROOT / "docs" / "methods" / f"{name}.md").read_text(encoding="utf-8")
    assert f"adbench run -m {name} " in page
    assert "https://arxiv.org/abs/" in page
    assert f"]({name}.md)" in (ROOT / "docs" / "methods" / "README.md").read_text(encoding="utf-8")
    assert f"`{name}`" in (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_list_of_methods_is_one_table_with_each_method_once():
    """No row stands outside the table, where it would be text, and none stands twice."""
    blocks = (ROOT / "docs" / "methods" / "README.md").read_text(encoding="utf-8").split("\n\n")
    tables = [block for block in blocks if "|" in block]
    assert len(tables) == 1
    header, _, *rows = tables[0].strip().splitlines()
    assert header.startswith("| method |")
    assert sorted(row.split("](")[0].removeprefix("| [") for row in rows) == BUILT_IN
