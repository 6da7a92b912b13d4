"""The pages of data sets have the facts that their plugins declare."""

from __future__ import annotations

from adbench.api import registry
from docsite import data_sets

PAGES = {page.path: page.text for page in data_sets.pages(registry.load())}


def test_every_data_set_has_a_page():
    """Each of adbench's own data sets has one, and the list links to it."""
    assert set(PAGES) == {f"data-sets/{name}.md" for name in ("index", "demo", "folder", "mvtec", "visa")}
    assert all(f"]({name}.md)" in PAGES["data-sets/index.md"] for name in ("demo", "folder", "mvtec", "visa"))


def test_options_and_needs_are_shown():
    """A reader's options stand there; a data set that makes its images needs no folder."""
    assert "| `test_share` |" in PAGES["data-sets/folder.md"]
    assert "(`--data-root`, or `ADBENCH_DATA`): yes" in PAGES["data-sets/mvtec.md"]
    assert "(`--data-root`, or `ADBENCH_DATA`): no" in PAGES["data-sets/demo.md"]
    assert "](../methods/msflow.md#published-numbers)" in PAGES["data-sets/visa.md"]
    assert "Published numbers" not in PAGES["data-sets/demo.md"]
