"""Citations come from CITATION.cff and from the methods' pages."""

from __future__ import annotations

from configparser import ConfigParser

import pytest
from doc_blocks import ROOT

from adbench.api import registry
from docsite import citing, methods


def test_every_method_is_cited():
    """Each method that has a paper has its citation, from the authors to the link of that paper."""
    known = registry.load()
    found = citing.papers(known, ROOT)
    with_paper = [method for method in methods.own(known) if method.paper]
    assert sorted(found) == sorted(method.name for method in with_paper)
    for method in with_paper:
        assert found[method.name].endswith(f"({methods.ARXIV}{method.paper.removeprefix('arXiv ')})")
        assert '"' in found[method.name]


def test_bibtex_has_the_fields_of_the_citation():
    """People stand by family name, groups in braces, and fields that are missing are left out."""
    citation = {
        "title": "adbench: a suite",
        "version": "1.2",
        "license": "Apache-2.0",
        "authors": [{"family-names": "Doe", "given-names": "Jo"}, {"name": "The authors"}],
    }
    assert citing.bibtex(citation).splitlines() == [
        "@software{adbench,",
        "  title   = {{adbench: a suite}},",
        "  author  = {Doe, Jo and {The authors}},",
        "  version = {1.2},",
        "  license = {Apache-2.0},",
        "}",
    ]


def test_the_facts_cite_this_version():
    """CITATION.cff has the version and the licence of setup.cfg, and the page shows them."""
    pytest.importorskip("yaml", reason='the site needs pip install -e ".[docs]"')
    declared = ConfigParser()
    declared.read(ROOT / "setup.cfg", encoding="utf-8")
    text = citing.facts(registry.load(), ROOT)
    assert f"version = {{{declared['metadata']['version']}}}" in text
    assert f"license = {{{declared['metadata']['license']}}}" in text
