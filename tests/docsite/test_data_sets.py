"""The pages of data sets have the facts that their plugins declare."""

from __future__ import annotations

import pytest

from adbench.api import registry
from docsite import data_sets

KNOWN = registry.load()
PAGES = {page.path: page.text for page in data_sets.pages(KNOWN)}


@pytest.mark.parametrize("dataset", data_sets.own(KNOWN), ids=lambda each: each.name)
def test_every_data_set_has_a_page_with_its_facts(dataset):
    """The list links to it; it has the page, the files, the classes and the number of images of each."""
    text = PAGES[f"data-sets/{dataset.name}.md"]
    assert f"]({dataset.name}.md)" in PAGES["data-sets/index.md"]
    if dataset.facts:
        assert dataset.facts.page in text
        for archive in dataset.facts.archives:
            assert archive.url in text
        for name, counts in dataset.facts.counts.items():
            (row,) = [
                line for line in text.splitlines() if line.startswith(f"| {name.replace('_', '&#95;') or 'all'} |")
            ]
            assert counts.bad is None or f" {counts.bad} |" in row


def test_data_sets_are_those_of_adbench():
    """Four of them are known by name, and nothing else is in the folder."""
    assert {"demo", "folder", "mvtec", "visa"} <= {each.name for each in data_sets.own(KNOWN)}
    assert len(PAGES) == len(data_sets.own(KNOWN)) + 1


def test_options_and_needs_are_shown():
    """A reader's options stand there; a data set that makes its images needs no folder."""
    assert "| `test_share` |" in PAGES["data-sets/folder.md"]
    assert "- `--data-root` is needed: yes" in PAGES["data-sets/mvtec.md"]
    assert "- `--data-root` is needed: no" in PAGES["data-sets/demo.md"]
    assert "](../methods/msflow.md#published-numbers)" in PAGES["data-sets/visa.md"]
    assert "Published results" not in PAGES["data-sets/demo.md"]
