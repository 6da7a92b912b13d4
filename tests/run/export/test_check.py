"""A file that scores otherwise than its model is seen."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from adbench.api.scores import Metrics
from adbench.data.decode import fit
from adbench.run.export import check
from adbench.run.export.check import Check, Difference
from adbench.run.export.program import facts_of
from adbench.run.export.runners import Runner
from adbench.util.errors import DataError, UsageError

ALIKE = Check(7, 0, Difference(0.0, 1.0), None, 0, Metrics(image_auroc=0.9), Metrics(image_auroc=0.9))


def runner_of(model, *, times=1.0, image_size=None):
    """A file that resizes with Pillow and scores with the model itself; ``times`` multiplies its scores."""
    from PIL import Image

    facts = facts_of(model, "bolts", "uint8", image_size, has_map=True)

    def compute(images):
        import torch

        fitted = [np.asarray(fit(Image.fromarray(each), model.framing, "lanczos")) for each in images]
        batch = torch.from_numpy(np.stack(fitted)).permute(0, 3, 1, 2) / 255
        with torch.no_grad():
            score, found = model.detector.module()(batch)
        score = score.numpy() * times
        return [score, found.numpy(), score > facts.threshold]

    return Runner(Path("a.onnx"), facts, "onnx", "made 1.0", compute)


def test_the_same_model_is_the_same(model, samples):
    """Scores, maps, verdicts and metrics agree, and there is no problem."""
    found = check.compare(model, runner_of(model), samples)
    assert (found.images, found.verdicts, found.problem) == (len(samples), 0, "")
    assert found.score.share < 1e-5
    assert found.map.share < 1e-5
    assert found.model == found.file
    assert found.model.image_auroc is not None
    assert found.model.aupro is not None


def test_other_scores_are_a_problem(model, samples):
    """Scores that are a hundredth higher are more than a thousandth of the spread away."""
    assert "of their spread" in check.compare(model, runner_of(model, times=1.01), samples).problem


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, ""),
        ({"score": Difference(9e-4, 1.0)}, ""),
        ({"score": Difference(2e-3, 1.0)}, "scores that differ by 0.002"),
        ({"score": Difference(float("nan"), 1.0)}, "scores that differ by nan"),
        ({"score": Difference(1e-9, 0.0)}, "scores that differ by inf"),
        ({"file": Metrics(image_auroc=0.9001)}, ""),
        ({"file": Metrics(image_auroc=0.8997)}, "image AUROC 89.970, wanted 90.000 to 0.02 points"),
    ],
)
def test_limits(changes, words):
    """A thousandth of the spread, or 0.02 points of AUROC."""
    found = replace(ALIKE, **changes).problem
    assert found.startswith(words)
    assert bool(found) == bool(words)


def test_images_of_another_size_are_left_out(model, samples):
    """A file for one size gets images of that size; without any, the message offers the size that there is."""
    assert check.compare(model, runner_of(model, image_size=(80, 80)), samples).left_out == 0
    with pytest.raises(UsageError, match=r"no test image of this size.*--image-size 80x80"):
        check.of_size(samples, (81, 80))
    with pytest.raises(DataError, match="--images DIR"):
        check.of_size([], None)


def test_a_folder_of_images(tiny_data, tmp_path):
    """All images below a folder count as good ones; an empty folder and a missing one are refused."""
    found = check.images_in(tiny_data / "bolts")
    assert {each.label for each in found} == {0}
    assert len(found) > 10
    (tmp_path / "empty").mkdir()
    for name in ("empty", "missing"):
        with pytest.raises(DataError, match=name):
            check.images_in(tmp_path / name)
