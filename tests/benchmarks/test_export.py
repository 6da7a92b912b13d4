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


def test_rows_are_kept_as_they_come(tmp_path, monkeypatch, capsys):
    """A benchmark that was killed goes on after its last row, and prints all of them."""
    kept, asked = tmp_path / "rows.jsonl", []

    def made(chosen, targets, folder, done):
        for variant in chosen:
            if (variant.name, "onnx") not in done:
                asked.append(variant.name)
                yield export.Row(variant.name, "onnx", "a program", "", 1e-7, None, 0, 9, 2.0)

    monkeypatch.setattr(export, "rows_of", made)
    export.run(export.variants(["padim"])[:1], ["onnx"], "markdown", kept)
    export.run(export.variants(["padim", "random"]), ["onnx"], "markdown", kept)
    assert asked == ["padim", "random", "padim (resnet18)"]
    assert len(kept.read_text().splitlines()) == 3
    assert "| padim | yes | 1e-07 | - | 0 |" in capsys.readouterr().out


@pytest.mark.slow
def test_a_table_is_printed(capsys):
    """One method that is exported, and one that says why not."""
    export.run(export.variants(["padim", "random"])[:2], ["torch"], "markdown")
    text = capsys.readouterr().out
    assert "| padim | yes |" in text
    assert "hash of the image" in text
