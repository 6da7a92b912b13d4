"""Batches: each image once, exact numbers, the same features with and without cache, repeatable rotated copies."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torchvision.transforms.functional import rotate as torchvisions_rotate

from adbench.api.data import Sample
from adbench.backbones.feature_cache import DISK_VARIABLE, FeatureCache
from adbench.data.image_store import Store
from adbench.data.images import Batch, Images
from adbench.data.transforms import Rotation, rotate
from adbench.util.errors import TaskError

CPU = torch.device("cpu")
COUNT, HEIGHT, WIDTH = 11, 12, 20


class Backbone(nn.Module):
    """Two levels that depend on image and position, and a count of the images seen."""

    def __init__(self, key: str = "fake") -> None:
        super().__init__()
        self.key, self.seen = key, 0
        self.scale = nn.Parameter(torch.tensor(2.0))

    def forward(self, pixels: torch.Tensor) -> list[torch.Tensor]:
        """Map (B, 3, H, W) to halves and quarters."""
        self.seen += len(pixels)
        return [nn.functional.avg_pool2d(pixels * self.scale, side) for side in (2, 4)]


@pytest.fixture
def store(tmp_path) -> Store:
    pixels = np.random.default_rng(5).integers(0, 256, (COUNT, HEIGHT, WIDTH, 3), dtype=np.uint8)
    path = tmp_path / "pictures.bin"
    path.write_bytes(pixels.tobytes())
    mapped = np.memmap(path, np.uint8, mode="r", shape=pixels.shape)
    samples = tuple(Sample(tmp_path / f"{number}.png") for number in range(COUNT))
    return Store("key", samples, mapped, None, ((HEIGHT, WIDTH),) * COUNT, "content")


@pytest.fixture
def cache(tmp_path) -> FeatureCache:
    return FeatureCache(folder=tmp_path / "features")


def images(store: Store, *, shuffle: bool = False, **options: object) -> Images:
    return Images(store, CPU, 4, shuffle=shuffle, **options)


def all_images(batches: Iterator[Batch] | Images) -> torch.Tensor:
    return torch.cat([batch.images for batch in batches])


def all_features(source: Images, backbone: Backbone) -> list[torch.Tensor]:
    return [torch.cat(level) for level in zip(*source.features(backbone), strict=True)]


def assert_equal(expected: list[torch.Tensor], found: list[torch.Tensor]) -> None:
    for want, got in zip(expected, found, strict=True):
        assert torch.equal(want, got)


# ---------------------------------------------------------------- batches


def test_pixels_are_exact(store):
    """A byte is divided by 255, in the order of the store, channels first, on the device."""
    expected = torch.from_numpy(np.array(store.images)).permute(0, 3, 1, 2).double() / 255
    source = images(store)
    batches = list(source)
    assert [len(batch) for batch in batches] == [4, 4, 3]
    assert {batch.size for batch in batches} == {source.size} == {(HEIGHT, WIDTH)}
    found = all_images(batches)
    assert found.dtype == torch.float32
    assert torch.equal(expected.float(), found)
    assert found.min() == 0
    assert found.max() == 1


def test_batches_may_be_changed(store):
    """A method's changes to its batch reach neither the next batch nor the store."""
    source = images(store)
    before = all_images(source)
    for batch in source:
        batch.images.zero_()
    assert torch.equal(before, all_images(source))


@given(size=st.integers(1, COUNT + 3), seed=st.integers(0, 1000), shuffle=st.booleans())
@settings(max_examples=20, deadline=None)
def test_every_image_once(size, seed, shuffle):
    """For any batch size and order, each image comes once, and the last batch has the rest."""
    pixels = np.arange(COUNT, dtype=np.uint8)[:, None, None, None].repeat(3, axis=3)
    samples = tuple(Sample(None) for _ in range(COUNT))
    source = images(Store("key", samples, pixels, None, ((1, 1),) * COUNT, ""), shuffle=shuffle)
    torch.manual_seed(seed)
    batches = list(source.batches(size))
    assert [len(batch) for batch in batches[:-1]] == [size] * (len(batches) - 1)
    seen = (all_images(batches) * 255).round()[:, 0, 0, 0].int().tolist()
    assert sorted(seen) == list(range(COUNT)) if shuffle else seen == list(range(COUNT))


def test_shuffling_follows_torchs_seed(store):
    """The order comes from torch's generator: the same after the same seed, another one in the next iteration."""
    source = images(store, shuffle=True)
    torch.manual_seed(1)
    first, second = all_images(source), all_images(source)
    torch.manual_seed(1)
    assert torch.equal(first, all_images(source))
    assert torch.equal(second, all_images(source))
    assert not torch.equal(first, second)


def test_order_draws_nothing_from_the_generator(store):
    """Iterating over test images in order leaves the random state unchanged."""
    before = torch.get_rng_state()
    all_images(images(store))
    assert torch.equal(before, torch.get_rng_state())


def test_loose_images():
    """A batch of given images has their size and their features."""
    pixels = torch.rand(3, 3, HEIGHT, WIDTH)
    batch = Batch.of(pixels)
    assert (len(batch), batch.size) == (3, (HEIGHT, WIDTH))
    assert torch.equal(pixels, batch.images)
    assert_equal(Backbone()(pixels), batch.features(Backbone()))


# ---------------------------------------------------------------- features


@pytest.mark.parametrize("shuffle", [False, True])
def test_cached_features_are_the_direct_ones(store, cache, shuffle):
    """Features from the cache are those computed from the batch's images, and carry no gradient."""
    backbone = Backbone()
    for batch in images(store, shuffle=shuffle, cache=cache):
        found = batch.features(backbone)
        assert_equal(backbone(batch.images), found)
        assert not any(level.requires_grad for level in found)


def test_features_are_computed_once(store, cache):
    """All epochs and all objects over the same images share a table; another backbone has its own table."""
    backbone = Backbone()
    heard = []
    source = images(store, cache=cache, watch=lambda *facts: heard.append(facts))
    expected = all_features(source, backbone)
    assert_equal(expected, all_features(source, backbone))
    assert_equal(expected, all_features(images(store, shuffle=False, cache=cache), backbone))
    assert backbone.seen == COUNT
    assert heard == [("features", 8, COUNT), ("features", COUNT, COUNT)]
    other = Backbone("other")
    all_features(source, other)
    assert other.seen == COUNT


@pytest.mark.parametrize(("budget", "releases"), [(None, 1), (0, 0)])
def test_a_backbone_is_released_once_its_features_are_kept(store, tmp_path, monkeypatch, budget, releases):
    """Training then has its memory; if nothing is cached and each batch needs the backbone, it stays."""
    monkeypatch.setenv(DISK_VARIABLE, "0")
    backbone, calls = Backbone(), []
    backbone.release_weights = lambda: calls.append(backbone.seen)
    source = images(store, cache=FeatureCache(budget, tmp_path / "features"))
    for _ in range(2):
        all_features(source, backbone)
    assert calls == [COUNT] * releases


def test_a_backbone_is_loaded_once_for_companions(store, tmp_path):
    """The companions' features are computed with those of the unrotated images, before the backbone is released."""
    backbone, events = Backbone(), []
    backbone.release_weights = lambda: events.append(backbone.seen)
    cache = FeatureCache(folder=tmp_path / "features")
    training = images(store, cache=cache)
    test = images(replace(store, content="others", samples=store.samples[:5]), cache=cache)
    training.prefetch_with(test)
    turned = training.augmented(rotation=90, copies=2)
    for source in (turned, turned, training, test):
        all_features(source, backbone)
    assert events == [COUNT, 2 * COUNT, 3 * COUNT + 5]


def test_what_is_found_on_disk_releases_nothing(store, cache):
    """A network that only another table needed stays for later uses."""
    backbone, calls = Backbone(), []
    all_features(images(store, cache=cache), backbone)
    backbone.release_weights = lambda: calls.append(backbone.seen)
    all_features(images(store, cache=FeatureCache(folder=cache.files.folder)), backbone)
    assert backbone.seen == COUNT
    assert not calls


def test_a_network_of_a_plugins_own_computes_only_what_is_asked_for(store, cache):
    """A network without ``release_weights`` may be made for training images only."""
    backbone, training = Backbone(), images(store, cache=cache)
    training.prefetch_with(images(replace(store, content="others"), cache=cache))
    all_features(training, backbone)
    assert backbone.seen == COUNT


@pytest.mark.parametrize("change", [{"key": "another"}, {"content": "another"}])
def test_other_images_have_other_features(store, cache, change):
    """A table never serves other images, be it other files or other bytes."""
    backbone = Backbone()
    all_features(images(store, cache=cache), backbone)
    darker = replace(store, images=np.array(store.images) // 2, **change)
    found = all_features(images(darker, cache=cache), backbone)
    assert_equal(all_features(images(darker), backbone), found)


def test_without_cache(store, cache):
    """For measuring, everything is computed each time, without progress."""
    heard = []
    backbone = Backbone()
    source = images(store, cache=cache, watch=lambda *f: heard.append(f), step=lambda *f: heard.append(f))
    plain = source.without_cache()
    for times in (1, 2):
        found = all_features(plain, backbone)
        assert backbone.seen == times * COUNT
    assert not heard
    assert not any(level.requires_grad for level in found)
    assert_equal(all_features(source, backbone), found)
    assert backbone.seen == 3 * COUNT
    assert heard


def test_steps_are_reported(store):
    """The number of images is reported after each batch, for each iteration anew."""
    heard = []
    source = images(store, step=lambda *facts: heard.append(facts))
    for number, _ in enumerate(source):
        assert len(heard) == number
    assert heard == [(4, COUNT), (8, COUNT), (COUNT, COUNT)]
    list(source.features(Backbone(), 6))
    assert heard[3:] == [(6, COUNT), (COUNT, COUNT)]


# ---------------------------------------------------------------- turned copies


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


# ---------------------------------------------------------------- any transform


def noisy(pixels: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Add an offset to each channel, and noise."""
    offsets = torch.rand(len(pixels), 3, 1, 1, generator=generator).to(pixels.device)
    return pixels + offsets + torch.rand(pixels.shape, generator=generator).to(pixels.device)


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


# ---------------------------------------------------------------- a validation of the method's own


@given(count=st.integers(2, 40), share=st.floats(0.01, 0.99), seed=st.integers(0, 9))
@settings(max_examples=30, deadline=None)
def test_a_split_keeps_every_image_once(count, share, seed):
    """The two parts have all images and no one twice, at least one each, about as many as asked for."""
    pixels = np.arange(count, dtype=np.uint8)[:, None, None, None].repeat(3, axis=3)
    store = Store("k", tuple(Sample(None) for _ in range(count)), pixels, None, ((1, 1),) * count, "")
    kept, held_out = images(store, shuffle=True).split(share, seed)
    numbers = [(all_images(part) * 255).round()[:, 0, 0, 0].int().tolist() for part in (kept, held_out)]
    assert sorted(numbers[0] + numbers[1]) == list(range(count))
    assert numbers[1] == sorted(numbers[1])
    assert (len(kept), len(held_out)) == tuple(map(len, numbers))
    assert abs(len(held_out) - share * count) <= 1 or len(kept) == 1 or len(held_out) == 1
    again = images(store).split(share, seed)[1]
    assert (all_images(again) * 255).round()[:, 0, 0, 0].int().tolist() == numbers[1]


def test_a_split_shares_features_and_is_noted(store, cache):
    """Both parts use the features of all images; the images know the share, and other seeds hold out others."""
    backbone, source = Backbone(), images(store, cache=cache, shuffle=True)
    assert source.validation == 0
    kept, held_out = source.split(0.3)
    for part in (kept, held_out):
        for batch in part:
            assert_equal(Backbone()(batch.images), batch.features(backbone))
    assert backbone.seen == COUNT
    assert source.validation == 0.3
    assert len({all_images(images(store).split(0.3, seed)[1]).sum().item() for seed in range(6)}) > 1


def test_a_split_can_be_augmented(store):
    """The images to train on keep their own versions when they are changed."""
    kept, _ = images(store).split(0.3)
    rows = kept._rows.tolist()
    changed = kept.augmented(noisy, key="noise", copies=1)
    whole = all_images(images(store).augmented(noisy, key="noise", copies=1))
    assert torch.equal(whole[rows], all_images(changed))
    assert [batch.images.shape[0] for batch in changed] == [len(part) for part in kept]


@pytest.mark.parametrize("share", [0, 1, -0.1, float("nan")])
def test_a_share_that_is_none_is_refused(store, share):
    """Nothing or all held out is no split."""
    with pytest.raises(TaskError, match="wanted a number above 0 and below 1"):
        images(store).split(share)


def test_one_image_cannot_be_split(store):
    """As with one shot."""
    one = replace(store, samples=store.samples[:1], images=store.images[:1])
    with pytest.raises(TaskError, match="wanted at least 2"):
        images(one).split(0.5)


# ---------------------------------------------------------------- modules as backbones


def module() -> nn.Module:
    net = nn.Sequential(nn.Conv2d(3, 4, 3, 2, 1), nn.BatchNorm2d(4), nn.ReLU())
    return net.eval().requires_grad_(False)


def test_a_frozen_module_is_a_backbone(store, cache):
    """Its features are kept under its class and state: computed once, and anew when its state changed."""
    net, calls = module(), []
    net.register_forward_hook(lambda *_: calls.append(1))
    source = images(store, cache=cache)
    first = all_features(source, net)
    seen = len(calls)
    assert_equal(first, all_features(source, net))
    assert len(calls) == seen
    torch.testing.assert_close(first[0], net(all_images(source)))
    net[0].weight.mul_(2)
    second = all_features(source, net)
    torch.testing.assert_close(second[0], net(all_images(source)))
    assert not torch.equal(first[0], second[0])


def test_a_module_may_return_a_list_or_a_dict(store):
    """As feature extractors do."""

    class Pyramid(nn.Module):
        def forward(self, x):
            return {"a": x[:, :1], "b": x[:, 1:]}

    found = all_features(images(store), Pyramid().eval())
    assert [level.shape[1] for level in found] == [1, 2]


def test_a_module_that_trains_is_refused(store):
    """With what is wrong and how to freeze it: kept features would be those of another state."""
    with pytest.raises(TaskError, match=r"Sequential as a backbone: found 0.weight that requires a gradient. Freeze"):
        all_features(images(store), module().requires_grad_(True))
    net = module()
    net[1].train()
    with pytest.raises(TaskError, match="found 1 in training mode"):
        all_features(images(store), net)


@pytest.mark.parametrize(
    ("wrong", "text"),
    [(nn.Flatten(), r"found shape \(4, 720\)"), (nn.Identity, "found a type"), (lambda x: [x], "found a function")],
)
def test_what_is_no_backbone_is_refused(store, wrong, text):
    """Features that are no maps, and things that are no module."""
    with pytest.raises(TaskError, match=text):
        all_features(images(store), wrong.eval() if isinstance(wrong, nn.Module) else wrong)
