"""The table of what each format does to each method."""

from __future__ import annotations

import pytest

from benchmarks import export


def test_every_method_has_a_row():
    """Those of the installed plugins, but not anomalib's; and some with other options."""
    names = [each.name for each in export.variants(None)]
    assert {"padim", "random", "uniad"} <= set(names)
    assert not [name for name in names if name.startswith("anomalib")]
    assert [each.name for each in export.variants(["dfm"])] == ["dfm", "dfm (score=likelihood)"]


@pytest.mark.slow
def test_a_table_is_printed(capsys):
    """One method that is exported, and one that says why not."""
    export.run(export.variants(["padim", "random"])[:2], ["torch"], "markdown")
    text = capsys.readouterr().out
    assert "| padim | yes |" in text
    assert "hash of the image" in text
