"""Rotated copies and any other transform of images: which version comes when, and what is cached."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from image_doubles import COUNT, Backbone, all_features, all_images, assert_equal, images, noisy
from torchvision.transforms.functional import rotate as torchvisions_rotate

from adbench.api.data import Sample
from adbench.data.image_store import Store
from adbench.data.images import Images
from adbench.data.transforms import Rotation, rotate
from adbench.util.errors import TaskError


def test_rotated_copies_take_turns(store, cache):
    """Each iteration takes the next version, the first after the last, and all are the same next time."""
    turned = images(store, cache=cache).augmented(rotation=20, copies=3)
    versions = [all_images(turned) for _ in range(4)]
    assert torch.equal(versions[0], versions[3])
    assert len({version.sum().item() for version in versions[:3]}) == 3
    torch.manual_seed(99)
    again = images(store).augmented(rotation=20, copies=3, start=4)
    assert torch.equal(versions[1], all_images(again))
    assert torch.equal(all_images(images(store)), all_images(images(store, cache=cache)))


def test_a_broken_off_iteration_counts(store):
    """An iteration that stops early has used its version, too."""
    turned = images(store).augmented(rotation=20, copies=3)
    next(iter(turned))
    expected = all_images(images(store).augmented(rotation=20, copies=3, start=1))
    assert torch.equal(expected, all_images(turned))


def test_rotated_features_are_cached_for_each_version(store, cache):
    """Features of every version are those of its images, computed once, and separate from the unrotated ones."""
    backbone = Backbone()
    source = images(store, cache=cache, shuffle=True)
    all_features(source, backbone)
    turned = source.augmented(rotation=20, copies=2)
    for _ in range(4):
        for batch in turned:
            assert_equal(Backbone()(batch.images), batch.features(backbone))
    assert backbone.seen == 3 * COUNT
    all_features(source.augmented(rotation=10, copies=2), backbone)
    assert backbone.seen == 4 * COUNT


def test_versions_do_not_depend_on_the_order(store):
    """An image has the same angle in a version, whatever batch it is in."""
    ordered = images(store).augmented(rotation=20, copies=2)
    shuffled = images(store, shuffle=True).augmented(rotation=20, copies=2)
    expected = {pixel_image.sum().item() for pixel_image in all_images(ordered)}
    assert expected == {pixel_image.sum().item() for batch in shuffled.batches(3) for pixel_image in batch.images}


def test_new_angles_each_time(store, cache):
    """Without copies each iteration draws new angles by torch's seed; a batch's images and features agree."""
    backbone = Backbone()
    turned = images(store, cache=cache).augmented(rotation=20, copies=0)
    torch.manual_seed(3)
    first, second = all_images(turned), all_images(turned)
    assert not torch.equal(first, second)
    torch.manual_seed(3)
    assert torch.equal(first, all_images(turned))
    for batch in turned:
        assert torch.equal(batch.images, batch.images)
        assert_equal(Backbone()(batch.images), batch.features(backbone))
    assert backbone.seen == COUNT


@given(degrees=st.floats(0.1, 90), copies=st.integers(0, 4), number=st.integers(0, 3))
@settings(max_examples=30, deadline=None)
def test_angles_are_uniform(degrees, copies, number):
    """Angles are within the bounds, of both signs, and uniform."""
    angles = Rotation(degrees, copies, number).angles(torch.arange(4000), 4000)
    assert angles.abs().max() <= degrees
    assert abs(angles.mean()) < 0.05 * degrees
    assert abs(angles.std() / (degrees / 3**0.5) - 1) < 0.05


@given(angle=st.floats(-180, 180), height=st.integers(24, 48), width=st.integers(24, 48))
@settings(max_examples=40, deadline=None)
def test_rotation_is_torchvisions(angle, height, width):
    """Images of any shape rotate as in torchvision, except for a few pixels where two are equally near."""
    pixels = torch.rand(1, 3, height, width, generator=torch.Generator().manual_seed(0))
    expected = torchvisions_rotate(pixels, angle)
    found = rotate(pixels, torch.tensor([angle]))
    assert (expected != found).float().mean() < 0.02


def test_rotation_is_counter_clockwise():
    """A quarter turn is numpy's rot90; an angle of 0 changes nothing; each image has its own angle."""
    pixels = torch.rand(2, 3, 9, 9)
    found = rotate(pixels, torch.tensor([90.0, 0.0]))
    assert torch.equal(torch.rot90(pixels[0], dims=(1, 2)), found[0])
    assert torch.equal(pixels[1], found[1])


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_on_a_gpu(store):
    """Batches on a GPU have the same pixels, rotated or not."""
    device = torch.device("cuda", 0)
    on_gpu = Images(store, device, 4, shuffle=False)
    assert torch.allclose(all_images(images(store)), all_images(on_gpu).cpu(), rtol=0, atol=1e-7)
    turned = all_images(on_gpu.augmented(rotation=20, copies=2)).cpu()
    expected = all_images(images(store).augmented(rotation=20, copies=2))
    assert ((turned - expected).abs() > 1e-6).float().mean() < 0.02


@given(size=st.integers(1, COUNT), copies=st.integers(1, 3), start=st.integers(0, 5))
@settings(max_examples=15, deadline=None)
def test_a_version_depends_on_its_row_and_number_alone(size, copies, start):
    """Whatever the batch, its order and the seed: the same image in the same version is the same."""
    pixels = np.random.default_rng(1).integers(0, 256, (COUNT, 4, 6, 3), dtype=np.uint8)
    store = Store("k", tuple(Sample(None) for _ in range(COUNT)), pixels, None, ((4, 6),) * COUNT, "c")
    changed = images(store).augmented(noisy, key="noise", copies=copies, start=start)
    expected = torch.cat(
        [
            noisy(image[None], changed._augmentation.generator(row))
            for row, image in enumerate(all_images(images(store)))
        ]
    )
    torch.manual_seed(start)
    assert torch.equal(expected, torch.cat([batch.images for batch in changed.batches(size)]))
    again = images(store, shuffle=True).augmented(noisy, key="noise", copies=copies, start=start)
    found = torch.cat([batch.images for batch in again])
    assert sorted(expected.sum(dim=(1, 2, 3)).tolist()) == sorted(found.sum(dim=(1, 2, 3)).tolist())


def test_versions_of_a_transform_come_round_and_are_cached(store, cache):
    """Each version's features are computed once, are those of its images, and differ from the others'."""
    backbone = Backbone()
    changed = images(store, cache=cache).augmented(noisy, key="noise", copies=2, start=3)
    versions = [all_features(changed, backbone) for _ in range(4)]
    assert backbone.seen == 2 * COUNT
    assert_equal(versions[0], versions[2])
    assert not torch.equal(versions[0][0], versions[1][0])
    for batch in changed:
        assert_equal(Backbone()(batch.images), batch.features(backbone))


@pytest.mark.parametrize("change", [{"key": "other"}, {"code": "other"}])
def test_another_key_or_code_has_other_features(store, cache, change):
    """A transform that the method's author changed is never served with the old one's features."""
    backbone = Backbone()
    key, code = change.get("key", "noise"), change.get("code", "one")
    all_features(images(store, cache=cache, code="one").augmented(noisy, key="noise", copies=1), backbone)
    all_features(images(store, cache=cache, code=code).augmented(noisy, key=key, copies=1), backbone)
    assert backbone.seen == 2 * COUNT
    all_features(images(store, cache=cache, code=code).augmented(noisy, key=key, copies=1), backbone)
    assert backbone.seen == 2 * COUNT


def test_a_transform_without_copies_is_new_each_time(store, cache):
    """It draws from torch's global generator; a batch's images and features agree, and nothing is kept."""
    backbone = Backbone()
    changed = images(store, cache=cache).augmented(noisy)
    torch.manual_seed(3)
    first, second = all_images(changed), all_images(changed)
    assert not torch.equal(first, second)
    torch.manual_seed(3)
    assert torch.equal(first, all_images(changed))
    for batch in changed:
        assert_equal(backbone(batch.images), batch.features(backbone))
    all_features(changed, backbone)
    assert backbone.seen == 3 * COUNT


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({}, "wanted a transform, or rotation=DEGREES"),
        ({"transform": noisy, "rotation": 5}, "wanted a transform, or rotation=DEGREES"),
        ({"transform": noisy, "copies": 2}, "found no key"),
    ],
)
def test_half_an_augmentation_is_refused(store, arguments, text):
    """Neither, both, or fixed versions without a name."""
    with pytest.raises(TaskError, match=text):
        images(store).augmented(**arguments)


@pytest.mark.parametrize("wrong", [lambda x, _: x[:, :, 1:], lambda x, _: x.numpy()])
def test_a_transform_that_changes_the_shape_is_refused(store, wrong):
    """A batch says its size before its pixels are made."""
    with pytest.raises(TaskError, match=r"the transform of augmented.* returned"):
        all_images(images(store).augmented(wrong))
