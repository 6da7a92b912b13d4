"""Regions with saturations on their way from a data set's files to the ground truth."""

from __future__ import annotations

import numpy as np
import published_files as made
import pytest
from adbench_datasets import mvtec_loco

from adbench.data.framing import Framing
from adbench.data.ground_truth import open_ground_truth
from adbench.data.image_store import open_store


@pytest.fixture
def task(tmp_path, monkeypatch):
    monkeypatch.setenv("ADBENCH_CACHE", str(tmp_path / "cache"))
    (dataset,) = mvtec_loco.adbench_datasets()
    return dataset.load(made.loco(tmp_path), "pushpins")


def opened(task, framing, eval_size=None):
    store = open_store(task.test, root=task.root, framing=framing)
    return open_ground_truth(store, framing, eval_size=eval_size, rules=task.region_rules)


def test_in_their_own_pixels_saturations_are_those_of_the_data_set(task):
    """Each file is a region with its kind, and its pixels are those that it marks."""
    found = opened(task, Framing((4, 4)), "native").saturated
    assert found.saturations.tolist() == [12, 30, 4]
    assert found.kinds == ("logical", "logical", "structural")
    assert [len(each) for each in found.positions] == [20, 30, 9]
    assert [task.test[image].defect.partition("_")[0] for image in found.images] == list(found.kinds)


def test_at_another_size_a_saturation_is_the_same_share(task):
    """A mask that shrinks to a quarter of its pixels has about a quarter of the saturation."""
    own, small = opened(task, Framing((4, 4)), "native"), opened(task, Framing((4, 4)))
    areas = [[len(each) for each in truth.saturated.positions] for truth in (own, small)]
    assert np.all(np.array(areas[1]) < areas[0])
    shares = [truth.saturated.saturations / area for truth, area in zip((own, small), areas, strict=True)]
    np.testing.assert_allclose(shares[1], np.maximum(shares[0], 1 / np.array(areas[1])))


def test_what_a_crop_cuts_off_is_left_out(task):
    """The regions lie at the top: a crop of the middle shows a part of some, with that share of their saturation."""
    found = opened(task, Framing((4, 4), resize_to=(8, 8)), "native").saturated
    assert found.sizes == ((4, 4),) * len(found.sizes)
    assert [len(each) for each in found.positions] == [2, 8]
    assert found.saturations.tolist() == pytest.approx([12 * 2 / 20, 8])


def test_without_rules_there_are_none(task):
    """Other data sets have no regions with saturations."""
    store = open_store(task.test, root=task.root, framing=Framing((4, 4)))
    assert open_ground_truth(store, Framing((4, 4))).saturated is None
