"""Random scores: random from image to image, and otherwise as repeatable as any method's."""

from __future__ import annotations

import io

import pytest
import torch
from adbench_plugins.random import adbench_methods, build
from flow_doubles import TinyBatch
from method_laws import assert_listing_needs_no_torch

from adbench import Options
from adbench.api.detector import Detector
from adbench.metrics import metrics

CPU = torch.device("cpu")


def make(seed: int = 0) -> Detector:
    torch.manual_seed(seed)
    return build(Options(), CPU)


def some_images(count: int) -> torch.Tensor:
    drawn = torch.randint(256, (count, 3, 32, 48), generator=torch.Generator().manual_seed(2))
    return drawn / 255


def test_it_ranks_at_one_half():
    """Image and pixel AUROC are 0.5, and AUPRO is half of its limit, within what chance allows."""
    images = some_images(400)
    labels = torch.arange(400) % 2
    masks = torch.zeros(400, 32, 48, dtype=torch.bool)
    masks[1::2, 8:20, 10:30] = True

    scores = make().score(TinyBatch(images))

    found = metrics.evaluate(labels=labels, image_scores=scores.image, masks=masks, maps=scores.map)
    assert found.image_auroc == pytest.approx(0.5, abs=0.1)  # 3.5 standard deviations
    assert found.pixel_auroc == pytest.approx(0.5, abs=0.01)
    assert found.aupro == pytest.approx(0.15, abs=0.01)


def test_an_image_alone_scores_as_in_a_batch():
    """Only its own pixels count: neither another image's nor its position."""
    detector = make()
    images = some_images(4)
    together = detector.score(TinyBatch(images))

    for number, image in enumerate(images):
        alone = detector.score(TinyBatch(image[None].contiguous(memory_format=torch.channels_last)))
        assert torch.equal(alone.image[0], together.image[number])
        assert torch.equal(alone.map[0], together.map[number])


def test_it_depends_on_the_seed_and_on_each_pixel():
    """The same seed gives the same scores; another seed or another grey level does not."""
    images = some_images(1)
    scores = make(1).score(TinyBatch(images))
    assert torch.equal(scores.map, make(1).score(TinyBatch(images)).map)
    assert not torch.equal(scores.map, make(2).score(TinyBatch(images)).map)
    images[0, 0, 0, 0] = (images[0, 0, 0, 0] + 1 / 255) % 1
    assert not torch.equal(scores.map, make(1).score(TinyBatch(images)).map)


def test_state_goes_into_a_fresh_detector():
    """A checkpoint gives the scores of its run."""
    detector, fresh = make(1), make(2)
    file = io.BytesIO()
    torch.save(detector.state_dict(), file)
    file.seek(0)

    fresh.load_state_dict(torch.load(file, weights_only=True))

    batch = TinyBatch(some_images(2))
    assert torch.equal(detector.score(batch).map, fresh.score(batch).map)


def test_fit_reports_one_epoch():
    """There is nothing to learn, and no epoch is left after a resume."""
    detector = make()
    assert [(epoch.number, epoch.total) for epoch in detector.fit([])] == [(1, 1)]
    detector.epoch = 1
    assert list(detector.fit([])) == []


def test_the_plugin_offers_random_without_torch():
    """Listing the methods imports no torch; it has every preset that other methods have."""
    (method,) = adbench_methods()
    assert (method.name, sorted(method.presets)) == ("random", ["cpu", "paper", "quick"])
    assert_listing_needs_no_torch("random")
