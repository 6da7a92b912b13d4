"""Batches: each image once, exact numbers, the same features with and without cache."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from image_doubles import COUNT, HEIGHT, WIDTH, Backbone, all_features, all_images, assert_equal, images, noisy
from torch import nn

from adbench.api.data import Sample
from adbench.backbones.feature_cache import DISK_VARIABLE, FeatureCache
from adbench.data.image_store import Store
from adbench.data.images import Batch
from adbench.util.errors import TaskError

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
