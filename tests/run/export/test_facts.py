"""The metadata of files survive the way into a file and back."""

from __future__ import annotations

from dataclasses import replace

import pytest

from adbench.run.export.facts import Facts
from adbench.util.errors import UsageError

FACTS = Facts(
    method="made", dataset="demo", class_name="brick", input="uint8", size=(64, 48), image_size=None, threshold=0.1,
    threshold_rule="mean", outputs=("score", "verdict"), run="a", provenance={"numerics": 2},
    options={"size": [64, 48]},
)  # fmt: skip


@pytest.mark.parametrize("facts", [FACTS, replace(FACTS, image_size=(100, 90), threshold=None)])
def test_facts_are_read_back(facts):
    """What was written is read, with or without a threshold and a size."""
    assert Facts.of_text(facts.to_text(), "a.onnx") == facts


@pytest.mark.parametrize(("text", "words"), [("", "another program"), ("[]", "a list"), ('{"method": 3}', "no field")])
def test_other_files_are_refused(text, words):
    """A file without the metadata, or with others, is one message that names it."""
    with pytest.raises(UsageError, match=rf"a\.onnx.*{words}"):
        Facts.of_text(text, "a.onnx")
