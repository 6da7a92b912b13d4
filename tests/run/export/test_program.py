"""A model is traced with its preprocessing and its threshold, or the message says why not."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from adbench.data import memory_store
from adbench.run.export import program
from adbench.util.errors import TaskError, UsageError


@pytest.mark.parametrize("kind", ["uint8", pytest.param("float", marks=pytest.mark.slow)])
def test_a_program_scores_images_as_they_are_decoded(model, samples, kind):
    """Three images of another size than the one that was traced give the model's scores, maps and verdicts."""
    traced, facts = program.trace(model, "bolts", kind)
    chosen = samples[2:5]
    images = torch.from_numpy(np.stack([np.asarray(Image.open(each.path)) for each in chosen]))
    if kind == "float":
        images = images.permute(0, 3, 1, 2) / 255
    score, found, verdict = traced.module()(images)
    wanted = model.score(memory_store.read(chosen, model.framing))
    assert facts.outputs == ("score", "map", "verdict")
    torch.testing.assert_close(score.double(), wanted.image, rtol=1e-5, atol=0)
    torch.testing.assert_close(found, wanted.maps, rtol=1e-5, atol=1e-6)
    assert verdict.tolist() == (wanted.image > facts.threshold).tolist()


def test_a_method_that_says_so_is_not_traced(model):
    """Its own words are the message, and nothing is tried."""
    model.detector.not_exportable = "made of dice"
    with pytest.raises(UsageError, match="tiny can't be exported: found made of dice"):
        program.trace(model, "bolts", "uint8")


@pytest.mark.slow
def test_a_method_that_reads_values_is_explained(model, monkeypatch):
    """An error of torch's exporter becomes a sentence without its words."""
    own = type(model.detector).score

    def score(self, batch):
        if batch.images.mean().item() > 0.5:
            raise AssertionError
        return own(self, batch)

    monkeypatch.setattr(type(model.detector), "score", score)
    with pytest.raises(TaskError, match="tiny can't be exported: found a step") as caught:
        program.trace(model, "bolts", "uint8")
    assert "Guard" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            "No decompositions registered for aten.linalg_eigh.default",
            "an operation that the format lacks, linalg_eigh",
        ),
        ("Could not guard on data-dependent expression u0 > 1", "a step whose sizes depend on the values of the image"),
        ("something odd\nand more", "something odd"),
    ],
)
def test_errors_of_exporters_are_in_plain_words(text, words):
    """Known messages are named by what they mean, others by their first line."""
    assert program.failed("made", ValueError(text)).parts["found"].endswith(words)
