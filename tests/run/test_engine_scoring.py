"""Scoring within a run: random generators, the backbone, and the measured speed."""

from __future__ import annotations

import random
import time

import numpy as np
import pytest
import torch
from runs import (
    brightness,
    job_for,
    made_method,
    run_one,
)

from adbench import Epoch, Scores
from adbench.backbones.feature_cache import FeatureCache
from adbench.run import engine, scoring
from adbench.util.errors import WeightsError


def test_scoring_leaves_every_random_generator_as_it_was(tiny_data, tmp_path):
    """A score that draws random numbers doesn't change those of training, in torch, NumPy or Python."""
    drawn = []

    def fit(detector, images):
        for number in (1, 2):
            drawn.append((torch.rand(1).item(), np.random.random(), random.random()))
            yield Epoch(number, 2)

    def score(detector, batch):
        torch.rand(3), np.random.random(3), random.random()
        return brightness(batch)

    method = made_method(fit, score)
    run_one(method, job_for(method, tiny_data, tmp_path / "often", eval_every=1))
    run_one(method, job_for(method, tiny_data, tmp_path / "once", eval_every=0))
    assert drawn[:2] == drawn[2:]


class CountingBackbone:
    """Stands for a frozen network; counts its images and its calls."""

    key = "counting backbone"

    def __init__(self) -> None:
        self.seen = self.calls = 0

    def __call__(self, pixels: torch.Tensor) -> list[torch.Tensor]:
        """Return the images."""
        self.seen += len(pixels)
        self.calls += 1
        return [pixels]


class ReleasedBackbone(CountingBackbone):
    """Also counts how often it is loaded; its weights can be lost."""

    def __init__(self) -> None:
        super().__init__()
        self.loads, self.loaded, self.lost = 0, False, False

    def __call__(self, pixels: torch.Tensor) -> list[torch.Tensor]:
        """Load the released weights."""
        if not self.loaded:
            if self.lost:
                raise WeightsError("weights file", found="no such file")
            self.loads, self.loaded = self.loads + 1, True
        return super().__call__(pixels)

    def release_weights(self) -> None:
        """Release the weights; the next call loads them."""
        self.loaded = False


@pytest.mark.parametrize("holdout", [0.0, 0.5])
@pytest.mark.parametrize("lost", [False, True])
def test_a_backbone_is_loaded_once_for_features_and_a_run_ends_without_it(tiny_data, tmp_path, holdout, lost):
    """Training, test and held-out images share a load; only the speed needs another one, or else is unknown."""
    backbone = ReleasedBackbone()

    def fit(detector, images):
        for _ in images.features(backbone):
            pass
        backbone.lost = lost
        yield Epoch(1, 1)

    def score(detector, batch):
        maps = batch.features(backbone)[0].mean(dim=1)
        return Scores(maps.amax(dim=(1, 2)), maps)

    method, cache = made_method(fit, score), FeatureCache(folder=tmp_path / "features")
    result, _ = run_one(method, job_for(method, tiny_data, tmp_path, holdout=holdout), cache=cache)
    assert backbone.loads == (1 if lost else 2)
    assert (result.timing.images_per_second is None) == lost


def test_features_are_counted_separately_so_that_the_first_method_is_no_slower(tiny_data, tmp_path, monkeypatch):
    """Features that are computed once for all methods count as training of none of them."""
    backbone = CountingBackbone()
    monkeypatch.setattr(time, "monotonic", lambda: float(backbone.calls))  # nothing else takes any time

    def fit(detector, images):
        for number in (1, 2):
            for _ in images.features(backbone):
                pass
            yield Epoch(number, 2)

    def score(detector, batch):
        maps = batch.features(backbone)[0].mean(dim=1)
        return Scores(maps.amax(dim=(1, 2)), maps)

    method, cache = made_method(fit, score), FeatureCache(folder=tmp_path / "features")
    first, second = (
        run_one(method, job_for(method, tiny_data, tmp_path / name), cache=cache)[0].timing for name in ("a", "b")
    )
    assert first.features == 2  # a table of the training images, and one of the test images
    assert second.features == 0
    assert (first.fit, first.score, first.evaluate) == (second.fit, second.score, second.evaluate) == (0, 0, 0)


def test_throughput_is_measured_with_the_backbone_and_without_the_cache(tiny_data, tmp_path, monkeypatch):
    """Scores use cached features; the images per second include computing them."""
    backbone = CountingBackbone()
    seen = []

    def score(detector, batch):
        maps = batch.features(backbone)[0].mean(dim=1)
        return Scores(maps.amax(dim=(1, 2)), maps)

    measure = scoring.images_per_second

    def watched(detector, images, pixels):
        seen.append(backbone.seen)
        return measure(detector, images, pixels)

    monkeypatch.setattr(engine, "images_per_second", watched)

    def fit(detector, images):
        yield Epoch(1, 2)
        yield Epoch(2, 2)

    method = made_method(fit, score)
    result, _ = run_one(method, job_for(method, tiny_data, tmp_path))
    assert seen == [7 + 6]  # two evaluations and a threshold: each of 7 test and 6 training images was seen once
    assert backbone.seen == 7 + 6 + 1 + 4  # one that loads it and a full batch; the smaller last one is not measured
    assert result.timing.images_per_second > 0
