"""The facts of each method are those that its plugin declares."""

from __future__ import annotations

import pytest

from adbench import Method, Options, Preset, Published
from adbench.api import registry
from adbench.api.options import option_types
from docsite import methods

KNOWN = registry.load()


@pytest.mark.parametrize("method", methods.own(KNOWN), ids=lambda method: method.name)
def test_facts_have_all_that_is_declared(method):
    """Each preset, option, setting and requirement stands there, and each source of published numbers."""
    text = methods.facts(method)
    for preset in method.presets:
        assert f"| `{preset}` |" in text
    for option in option_types(method.options):
        assert f"\n| `{option}` |" in text
    for setting in method.settings:
        assert f"`{setting}`" in text
    for need in (*method.requirements.packages, *method.requirements.auxiliary):
        assert f"\n| `{need.name}` |" in text
    assert ("None are shipped" in text) == (not method.published)


def test_means_are_of_the_source_or_of_its_classes():
    """The source's own mean is taken as it is; without one it is the mean of the classes, which are counted."""

    def number(name: str, value: float, source: str) -> Published:
        return Published("mvtec", name, "image_auroc", value, "oracle", source)

    given = [number("mean", 0.9, "A"), number("screw", 0.6, "A"), number("nut", 0.8, "B"), number("screw", 0.5, "B")]
    lines = "\n".join(methods.published(given)).splitlines()
    rows = [line for line in lines if line.startswith(("| 1 ", "| 2 "))]
    assert rows == [
        "| 1 | mvtec | one-class | - | oracle | 1 | 90.00 | - | - |",
        "| 2 | mvtec | one-class | - | oracle | 2 | 65.00 | - | - |",
    ]
    assert lines.count("1. A") == lines.count("2. B") == 1
    folded = lines[lines.index('??? note "mvtec · one-class · oracle · B"') :]
    assert "    | nut | 80.00 |" in folded
    assert not any(line.startswith('??? note "mvtec · one-class · oracle · A') for line in lines)


def test_names_from_plugins_are_no_marks():
    """Text of a plugin can't become Markdown or HTML."""
    method = Method(
        "odd", "a *b* <i>c</i> | d", lambda options, context: None, presets={"p|q": Preset(Options(), "_e_")}
    )
    text = methods.facts(method)
    assert "<i>" not in text
    assert "&#42;b&#42; &#60;i&#62;c&#60;/i&#62; &#124; d." in text
    assert "&#95;e&#95;" in text


@pytest.mark.parametrize(
    ("paper", "link"),
    [
        ("arXiv 2011.08785", "[arXiv 2011.08785](https://arxiv.org/abs/2011.08785)"),
        ("Smith 1990", "Smith 1990"),
        ("", "-"),
    ],
)
def test_papers_of_arxiv_are_links(paper, link):
    """A paper on arXiv is a link; another one, or none, is text."""
    assert methods.paper_link(paper) == link
