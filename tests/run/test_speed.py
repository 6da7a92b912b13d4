"""Speed is measured from images on the host to maps on the host, at several sizes."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from runs import job_for, made_method, one_epoch, registry_of, run_one

from adbench import Scores
from adbench.run import speed
from adbench.run.speed import Effort
from adbench.util.errors import CheckpointError

pytestmark = pytest.mark.usefixtures("one_thread")

QUICK = Effort(seconds=0.0, largest=4)


def checkpoint_of(score, data, tmp_path):
    """The checkpoint of a run of a method with this ``score`` at 64 x 64, and its registry."""
    method = made_method(one_epoch, score)
    _, folder = run_one(method, job_for(method, data, tmp_path))
    return folder.checkpoint("last"), registry_of(method)


def test_every_size_has_one_image_and_the_best_batch(tiny_data, tmp_path):
    """Batches double while that pays; a size that the method refuses is skipped with its reason."""
    seen = []

    def score(self, batch):
        if batch.size == (48, 32):
            raise CheckpointError("made", found="48 rows", wanted="64")
        seen.append((len(batch), batch.size, batch.images.dtype))
        maps = batch.images.mean(1)
        return Scores(maps.amax((1, 2)), maps)

    path, registry = checkpoint_of(score, tiny_data, tmp_path)
    seen.clear()
    found = speed.of_model(path, registry, device="cpu", sizes=[(64, 64), (48, 32), (32, 32)], effort=QUICK)
    assert [each.size for each in found.single] == [each.size for each in found.best] == [(64, 64), (32, 32)]
    assert {each.batch for each in found.single} == {1}
    assert [(each.size, each.reason) for each in found.skipped] == [((48, 32), "found 48 rows, wanted 64")]
    assert found.latency() == found.single[0].median > 0
    assert all(each.p95 >= each.median and each.peak_memory_bytes > 0 for each in (*found.single, *found.best))
    assert found.single[0].repeats == speed.LEAST
    assert seen.count((1, (64, 64), torch.float32)) == speed.WARM_UP + speed.LEAST
    assert found.program.startswith("torch ")
    assert found.device == "cpu"


def test_out_of_memory_ends_the_search(tiny_data, tmp_path):
    """The batches that fit are measured; too little memory for one image skips the size."""

    def score(self, batch):
        if len(batch) * batch.size[0] > 128:
            raise torch.OutOfMemoryError
        return Scores(batch.images.mean((1, 2, 3)))

    path, registry = checkpoint_of(score, tiny_data, tmp_path)
    found = speed.of_model(path, registry, device="cpu", sizes=[(64, 64), (256, 256)], effort=QUICK)
    assert found.best[0].batch <= 2
    assert found.skipped[0].reason == "too little memory"


def test_an_error_at_the_own_size_is_raised(tiny_data, tmp_path):
    """A model that can't score is no skipped size."""
    calls = []

    def score(self, batch):
        calls.append(1)
        if len(calls) > 40:
            raise CheckpointError("made", found="nothing")
        return Scores(batch.images.mean((1, 2, 3)))

    path, registry = checkpoint_of(score, tiny_data, tmp_path)
    calls.extend([1] * 40)
    with pytest.raises(CheckpointError, match="found nothing"):
        speed.of_model(path, registry, device="cpu", sizes=[(64, 64)], effort=QUICK)


def test_made_images_have_their_size():
    """They are the same each time, and no plain colour."""
    images = speed.made_images(2, (50, 33))
    assert (images.shape, images.dtype) == ((2, 50, 33, 3), np.uint8)
    assert images.std() > 10
    np.testing.assert_array_equal(images, speed.made_images(2, (50, 33)))
