"""Several classes as one set of images: every image once, with the cached features of single classes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from adbench.api.data import Sample
from adbench.backbones.feature_cache import FeatureCache
from adbench.data.framing import Framing
from adbench.data.image_store import Store, empty_store
from adbench.data.images import Images
from adbench.data.joint_images import JointImages, joined

CPU = torch.device("cpu")
HEIGHT, WIDTH = 6, 10


class Backbone:
    """Two levels that depend on image and position, and a count of the images seen."""

    key = "fake"

    def __init__(self) -> None:
        self.seen = 0

    def __call__(self, pixels: torch.Tensor) -> list[torch.Tensor]:
        """Map (B, 3, H, W) to itself and to halves."""
        self.seen += len(pixels)
        return [pixels * 2, torch.nn.functional.avg_pool2d(pixels, 2)]


def made_store(name: str, count: int) -> Store:
    pixels = np.random.default_rng(list(name.encode())).integers(0, 256, (count, HEIGHT, WIDTH, 3), dtype=np.uint8)
    samples = tuple(Sample(Path(f"{name}/{number}.png")) for number in range(count))
    return Store(name, samples, pixels, None, ((HEIGHT, WIDTH),) * count, f"content of {name}")


def parts(*counts: int, cache: FeatureCache | None = None, shuffle: bool = False) -> list[Images]:
    stores = [made_store(f"class{number}", count) for number, count in enumerate(counts)]
    return [Images(store, CPU, 4, shuffle=shuffle, cache=cache) for store in stores]


def all_images(images: Images) -> torch.Tensor:
    return torch.cat([batch.images for batch in images])


def all_features(images: Images, backbone: Backbone) -> list[torch.Tensor]:
    return [torch.cat(level) for level in zip(*images.features(backbone), strict=True)]


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(1, 9), min_size=1, max_size=4), st.booleans())
def test_every_image_of_every_class_comes_once(counts, shuffle):
    """Images come in order, or in an order of torch's seed that mixes the classes."""
    separate = torch.cat([all_images(each) for each in parts(*counts)])
    joint = JointImages(parts(*counts, shuffle=shuffle))
    assert len(joint) == sum(counts) == len(joint.store.samples)
    found = all_images(joint)
    if shuffle:
        order = [int((separate == image).flatten(1).all(1).nonzero()[0]) for image in found]
        assert sorted(order) == list(range(sum(counts)))
        found, separate = found[0], separate[order[0]]
    assert torch.equal(found, separate)


@pytest.mark.parametrize("shuffle", [False, True])
def test_cached_features_are_the_direct_ones(tmp_path, shuffle):
    """Each row comes from the table of its own class, at any place of the batch."""
    cache, backbone = FeatureCache(folder=tmp_path), Backbone()
    cached = JointImages(parts(5, 3, 9, cache=cache, shuffle=shuffle))
    torch.manual_seed(4)
    found = all_features(cached, backbone)
    torch.manual_seed(4)
    expected = all_features(JointImages(parts(5, 3, 9, shuffle=shuffle)), Backbone())
    assert all(torch.equal(one, other) for one, other in zip(found, expected, strict=True))
    assert backbone.seen == 17


def test_features_are_shared_with_runs_of_single_classes(tmp_path):
    """Features computed in a run of one class are not computed again, nor the other way round."""
    cache, backbone = FeatureCache(folder=tmp_path), Backbone()
    one, other = parts(5, 3, cache=cache)
    all_features(one, backbone)
    all_features(JointImages(parts(5, 3, cache=cache)), backbone)
    assert backbone.seen == 5 + 3
    all_features(other, backbone)
    assert backbone.seen == 5 + 3


def test_a_place_without_space_computes_each_time(tmp_path, monkeypatch):
    """If no table fits, features are still right."""
    monkeypatch.setenv("ADBENCH_FEATURE_DISK", "0")
    cache, backbone = FeatureCache(budget=0, folder=tmp_path), Backbone()
    joint = JointImages(parts(5, 3, cache=cache))
    found = all_features(joint, backbone)
    expected = all_features(JointImages(parts(5, 3)), Backbone())
    assert all(torch.equal(one, other) for one, other in zip(found, expected, strict=True))


def test_augmented_copies_are_of_the_joint_set(tmp_path):
    """Rotated copies have their own tables, and don't change the unrotated images."""
    joint = JointImages(parts(5, 3, cache=FeatureCache(folder=tmp_path)))
    plain = all_images(joint)
    turned = joint.augmented(rotation=20, copies=2)
    backbone = Backbone()
    first = all_features(turned, backbone)[0]
    assert first.shape == (8, 3, HEIGHT, WIDTH)
    assert not torch.equal(first, 2 * plain)
    assert torch.equal(all_images(joint), plain)


def test_no_image_is_an_iteration_without_batches():
    """A zero-shot method may iterate over its training images, too; a class without any adds none."""
    nothing = Images(empty_store(Framing((HEIGHT, WIDTH))), CPU, 4, shuffle=True)
    backbone = Backbone()
    assert (len(nothing), list(nothing), list(nothing.features(backbone))) == (0, [], [])
    joint = JointImages([*parts(3), nothing])
    assert len(all_images(joint)) == len(joint) == 3


def test_what_was_left_out_of_each_class_is_told():
    """There are masks if all stores have some; the skipped files of all are listed."""
    one, other = made_store("a", 2), made_store("b", 3)
    assert joined([one, other]).masks is None
    masks = [np.full((len(each.samples), HEIGHT, WIDTH), number, np.uint8) for number, each in enumerate((one, other))]
    both = joined([replace(each, masks=mask) for each, mask in zip((one, other), masks, strict=True)])
    assert both.masks[np.array([4, 0, 2])].max(axis=(1, 2)).tolist() == [1, 0, 1]
    assert both.sizes == one.sizes + other.sizes
