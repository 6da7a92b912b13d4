"""UniAD's EfficientNet-B4: its layers, its two kinds of weights, and the aligned map that is cached."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from adbench_plugins.tensorflow_padding import TensorFlowConv2d
from adbench_plugins.uniad import BACKBONE, adbench_backbones
from adbench_plugins.uniad.extractor import Aligned, align, build
from flow_doubles import TinyBackbone, assert_near
from torch import nn
from torchvision.models import efficientnet_b4

from adbench.backbones import Backbone, load
from adbench.util.errors import OptionError, WeightsError

CPU = torch.device("cpu")

pytestmark = pytest.mark.usefixtures("one_thread")

PACKAGE = ("_expand_conv", "_bn0", "_depthwise_conv", "_bn1", "_se_reduce", "_se_expand", "_project_conv", "_bn2")
"""Parts of a block in ``efficientnet_pytorch``."""

TORCHVISION = ("0.0", "0.1", "1.0", "1.1", "2.fc1", "2.fc2", "3.0", "3.1")
"""The same parts in torchvision; a block that doesn't expand begins at 1 there, which counts as 0."""


def own(layers: tuple[int, ...], weights: Path) -> Backbone:
    offered = {entry.name: entry for entry in adbench_backbones()}
    return load(BACKBONE, layers=layers, weights=weights, device=CPU, offered=offered)


@pytest.fixture(scope="module")
def network() -> nn.Module:
    """Torchvision's network with random weights and running statistics."""
    torch.manual_seed(0)
    net = efficientnet_b4(weights=None).eval()
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.uniform_(-0.1, 0.1)
            module.running_var.uniform_(0.5, 1.5)
    return net


def package_state(network: nn.Module) -> dict[str, torch.Tensor]:
    """The network's weights with the names of ``efficientnet_pytorch``, by name and not by order."""
    state = network.state_dict()
    found = {}

    def take(ours: str, theirs: str) -> None:
        for kind in ("weight", "bias", "running_mean", "running_var"):
            if f"{ours}.{kind}" in state:
                found[f"{theirs}.{kind}"] = state[f"{ours}.{kind}"]

    take("features.0.0", "_conv_stem")
    take("features.0.1", "_bn0")
    number = 0
    for stage in range(1, 8):
        for block in range(len(network.features[stage])):
            expands = len(network.features[stage][block].block) == 4
            for theirs, ours in zip(PACKAGE, TORCHVISION, strict=True):
                place = int(ours[0]) - (0 if expands else 1)
                if place >= 0:
                    take(f"features.{stage}.{block}.block.{place}{ours[1:]}", f"_blocks.{number}.{theirs}")
            number += 1
    take("features.8.0", "_conv_head")
    take("features.8.1", "_bn1")
    take("classifier.1", "_fc")
    return found


def test_layers_are_the_ends_of_strides_2_to_16(network: nn.Module, tmp_path: Path) -> None:
    """24, 32, 56 and 160 channels; with torchvision's weights they are outputs of torchvision's own network."""
    torch.save(network.state_dict(), tmp_path / "b4.pt")
    backbone = own((0, 1, 2, 3), tmp_path / "b4.pt")
    images = torch.rand(1, 3, 64, 96, generator=torch.Generator().manual_seed(1))
    assert (backbone.channels, backbone.strides) == ((24, 32, 56, 160), (2, 4, 8, 16))

    found = backbone(images)

    normal = (images - backbone.mean) / backbone.std
    with torch.no_grad():
        for level, last in zip(found, (1, 2, 3, 5), strict=True):
            assert_near(network.features[: last + 1](normal).numpy(), level, 1e-4)
    assert [tuple(level.shape[2:]) for level in found] == [(32, 48), (16, 24), (8, 12), (4, 6)]
    torch.testing.assert_close(own((2, 0), tmp_path / "b4.pt")(images), [found[2], found[0]])


def test_weights_of_the_authors_package_behave_as_in_tensorflow(network: nn.Module, tmp_path: Path) -> None:
    """The package's names load; convolutions pad as there, and batch norms have TensorFlow's epsilon."""
    state = package_state(network)
    torch.save(state, tmp_path / "package.pt")
    backbone = own((3,), tmp_path / "package.pt")
    features = backbone.network.features
    loaded = backbone.network.state_dict()
    assert all(torch.equal(value, network.state_dict()[name]) for name, value in loaded.items())
    norms = [module for module in features.modules() if isinstance(module, nn.BatchNorm2d)]
    assert {norm.eps for norm in norms} == {1e-3}
    halving = [module for module in features.modules() if isinstance(module, nn.Conv2d) and module.stride == (2, 2)]
    assert len(halving) == 4
    assert all(isinstance(module, TensorFlowConv2d) for module in halving)


def test_weights_of_another_network_are_refused(network: nn.Module, tmp_path: Path) -> None:
    """Under both kinds of names."""
    state = package_state(network)
    del state["_blocks.3._depthwise_conv.weight"]
    torch.save(state, tmp_path / "cut.pt")
    torch.save({"conv1.weight": torch.zeros(1)}, tmp_path / "other.pt")
    for name in ("cut", "other"):
        with pytest.raises(WeightsError, match=BACKBONE):
            own((3,), tmp_path / f"{name}.pt")


def test_layers_that_are_not_there_are_refused() -> None:
    """Stride 32 is not built, and no layer comes twice."""
    for layers in ((4,), (1, 1), ()):
        with pytest.raises(OptionError, match=r"layers of efficientnet_b4_272: found .* of 0, 1, 2, 3"):
            build(layers, None, False)


def test_a_random_copy_needs_no_weights() -> None:
    """It stops at the deepest layer."""
    network = build((0,), None, False)
    assert (network.channels, network.strides, len(network.module.features)) == ((24,), (2,), 2)


def test_aligned_layers_have_one_grid() -> None:
    """Corners stay corners, shallow layers come first, and the precision is that of the features."""
    features = [torch.randn(2, 3, 9, 13).bfloat16(), torch.randn(2, 5, 3, 4).bfloat16()]
    found = align(features, (5, 7))
    assert (found.shape, found.dtype) == ((2, 8, 5, 7), torch.bfloat16)
    assert torch.equal(found[:, :3], features[0][:, :, ::2, ::2])  # every second position exactly
    for row, column in ((0, 0), (-1, -1), (0, -1)):
        assert torch.equal(found[:, 3:, row, column], features[1][:, :, row, column])


def test_the_cached_features_are_named_by_backbone_and_grid() -> None:
    """Another grid is another key; the channels are those of all layers."""

    class Named(TinyBackbone):
        key, weights_hash = "tiny/1", "0123"

    one, other = (Aligned(Named(), grid, 4) for grid in ((8, 12), (4, 6)))
    assert one.key.startswith("tiny/1/")
    assert one.key != other.key
    assert (one.channels, one.weights_hash) == ((19,), "0123")
    assert [tuple(level.shape) for level in one(torch.rand(2, 3, 32, 48))] == [(2, 19, 8, 12)]
