"""Links of plain files become links of the site."""

from __future__ import annotations

import pytest
from doc_blocks import ROOT

from docsite import links


@pytest.mark.parametrize(
    ("uri", "text", "expected"),
    [
        ("index.md", "[a](docs/speed.md)", "[a](speed.md)"),
        ("index.md", "![a](docs/report.png)", "![a](report.png)"),
        ("index.md", "[a](docs/speed.md#x)", "[a](speed.md#x)"),
        ("methods/padim.md", "[a](../performance.md#disk)", "[a](../performance.md#disk)"),
        ("methods/padim.md", "[a](../../CHANGELOG.md)", "[a](../changelog.md)"),
        ("performance.md", "[a](../plugins/coupling.py)", "[a](source/plugins/coupling.py.md)"),
        (
            "index.md",
            "[a](docs/sample_plugin/adbench_sample.py)",
            "[a](source/docs/sample_plugin/adbench_sample.py.md)",
        ),
        ("contributing.md", "[a](docs/plugin-guide.md)", "[a](plugin-guide.md)"),
        ("index.md", "[a](https://example.org/docs/speed.md)", "[a](https://example.org/docs/speed.md)"),
        ("index.md", "values[a](b) and [c](#d)", "values[a](b) and [c](#d)"),
        ("index.md", "[gone](docs/gone.md)", "[gone](docs/gone.md)"),
        ("index.md", "[out](../../etc/passwd)", "[out](../../etc/passwd)"),
    ],
)
def test_links_lead_to_pages(uri, text, expected):
    """A link to a file leads to its page; addresses, anchors, code and what isn't there stay."""
    assert links.rewritten(text, uri, ROOT) == expected


def test_linked_sources_are_pages():
    """A file outside the site's pages is shown on a page of its own, once, in whole."""
    texts = {"a.md": "[a](../plugins/coupling.py) [b](../plugins/coupling.py#L1)", "b.md": "[c](../README.md)"}
    (page,) = links.sources(texts, ROOT)
    assert page.path == "source/plugins/coupling.py.md"
    assert (ROOT / "plugins/coupling.py").read_text(encoding="utf-8").rstrip() in page.text
