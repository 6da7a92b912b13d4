"""Trainable copies of backbones: the same network with gradients, for students and adapters."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import torchvision
from torch import nn

from adbench.api.backbone_table import LITE0
from adbench.api.module_backbone import as_backbone
from adbench.backbones import efficientnet_lite, registry
from adbench.util.errors import OptionError, TaskError, WeightsError

CPU = torch.device("cpu")
NAMES = ("resnet18", "mobilenet_v3_large", LITE0, "timm:test_resnet")


@pytest.fixture
def images() -> torch.Tensor:
    return torch.rand(2, 3, 64, 96, generator=torch.Generator().manual_seed(1))


@pytest.fixture(scope="module")
def weights_of(weight_files, tmp_path_factory) -> Callable[[str], Path]:
    """Files of random weights, also for models of timm."""

    def path_of(name: str) -> Path:
        if not name.startswith("timm:"):
            return weight_files(name)
        timm = pytest.importorskip("timm")
        path = tmp_path_factory.mktemp("timm") / "weights.pt"
        with torch.random.fork_rng():
            torch.manual_seed(4)
            torch.save(timm.create_model(name.removeprefix("timm:")).state_dict(), path)
        return path

    return path_of


@pytest.mark.parametrize("name", NAMES)
def test_a_copy_gives_the_features_of_its_backbone(name, weights_of, images):
    """In eval mode a copy of the weights gives what the frozen backbone gives: layers, order, pool, normalisation."""
    for changes in ({"layers": (3, 1)}, {"layers": (2,), "pool": "avg"}):
        backbone = registry.load(name, weights=weights_of(name), device=CPU, **changes)
        copy = backbone.trainable_copy().eval()
        for expected, found in zip(backbone(images), copy(images), strict=True):
            assert found.requires_grad
            torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-4)


def test_a_copy_pads_as_its_backbone(weights_of, images):
    """Reflection is copied, and refused where the maps are too small for it, as by the backbone."""
    backbone = registry.load(LITE0, padding="reflect", weights=weights_of(LITE0), layers=(4,), device=CPU)
    copy = backbone.trainable_copy().eval()
    larger = images.repeat(1, 1, 2, 2)
    torch.testing.assert_close(copy(larger)[0], backbone(larger)[0], rtol=1e-3, atol=1e-4)
    with pytest.raises(OptionError, match="larger --size"):
        copy(images)


@pytest.mark.parametrize("name", NAMES)
def test_every_part_of_a_copy_trains(name, weights_of, images):
    """A new copy is in training mode: gradients reach all parameters and the images, and norms use batch statistics."""
    backbone = registry.load(name, weights=weights_of(name), layers=(1, 2), device=CPU)
    copy = backbone.trainable_copy()
    assert copy.training
    norms = [module for module in copy.modules() if isinstance(module, nn.BatchNorm2d)]
    before = norms[0].running_mean.clone()
    images.requires_grad_(True)
    sum(level.square().mean() for level in copy(images)).backward()
    assert norms
    assert not torch.equal(norms[0].running_mean, before)
    assert images.grad.abs().sum() > 0
    assert [key for key, value in copy.named_parameters() if value.grad is None] == []


def test_training_a_copy_changes_nothing_else(weights_of, images):
    """The backbone, other copies and the file with the weights keep their values."""
    path = weights_of("resnet18")
    content = path.read_bytes()
    backbone = registry.load("resnet18", weights=path, layers=(1, 2), device=CPU)
    expected, first, second = backbone(images), backbone.trainable_copy(), backbone.trainable_copy()
    optimizer = torch.optim.SGD(first.parameters(), lr=0.1)
    sum(level.mean() for level in first(images)).backward()
    optimizer.step()
    assert not torch.allclose(first.eval()(images)[0], expected[0], rtol=1e-3)
    torch.testing.assert_close(second.eval()(images)[0], expected[0], rtol=1e-3, atol=1e-4)
    assert torch.equal(backbone(images)[0], expected[0])
    assert path.read_bytes() == content


@pytest.mark.parametrize("name", ["resnet18", "mobilenet_v3_large", LITE0])
def test_names_in_its_state_are_the_networks_own(name, weights_of):
    """The state dict has the network's names up to the deepest layer, and loads the network's own."""
    own = efficientnet_lite.EfficientNetLite() if name == LITE0 else torchvision.models.get_model(name, weights=None)
    copy = registry.load(name, weights=weights_of(name), layers=(1, 2), device=CPU).trainable_copy()
    state = own.state_dict()
    assert set(copy.state_dict()) < set(state)
    assert copy.load_state_dict(state, strict=False).missing_keys == []
    assert all(torch.equal(value, state[key]) for key, value in copy.state_dict().items())
    own.load_state_dict({**state, **copy.state_dict()})


@pytest.mark.parametrize("name", ["resnet18", "timm:test_resnet"])
def test_state_is_saved_and_loaded_within_another_module(name, weights_of):
    """In a larger module the names follow that module's, and a strict load brings every value back."""
    backbone = registry.load(name, weights=weights_of(name), layers=(1, 2), device=CPU)
    whole = nn.ModuleDict({"student": backbone.trainable_copy(pretrained=False), "head": nn.Conv2d(3, 3, 1)})
    other = nn.ModuleDict({"student": backbone.trainable_copy(), "head": nn.Conv2d(3, 3, 1)})
    state = whole.state_dict()
    assert {key.partition(".")[0] for key in state} == {"student", "head"}
    assert any(key.startswith("student.layer1.0.conv1.") for key in state)
    other.load_state_dict(state)
    assert all(torch.equal(value, other.state_dict()[key]) for key, value in state.items())
    with pytest.raises(RuntimeError, match="layer1"):
        other.load_state_dict({key: value for key, value in state.items() if "layer1" not in key})


@pytest.mark.parametrize("name", NAMES)
def test_random_values_come_from_the_seed(name, weights_of):
    """Without weights the values follow torch's generator; with weights nothing is drawn from it."""
    backbone = registry.load(name, weights=weights_of(name), layers=(1,), device=CPU)

    def drawn(seed: int) -> torch.Tensor:
        torch.manual_seed(seed)
        copy = backbone.trainable_copy(pretrained=False)
        return torch.cat([value.detach().flatten() for value in copy.parameters()])

    assert torch.equal(drawn(0), drawn(0))
    assert not torch.equal(drawn(0), drawn(1))
    before = torch.get_rng_state()
    given = torch.cat([value.detach().flatten() for value in backbone.trainable_copy().parameters()])
    assert torch.equal(before, torch.get_rng_state())
    assert not torch.equal(given, drawn(0))


def test_features_of_a_copy_are_never_cached(weights_of):
    """A trainable copy is refused where features are cached."""
    copy = registry.load("resnet18", weights=weights_of("resnet18"), layers=(1,), device=CPU).trainable_copy()
    with pytest.raises(TaskError, match="requires a gradient"):
        as_backbone(copy)


def test_weights_that_changed_since_are_refused(tmp_path, weights_of):
    """A copy starts from the weights that the backbone was made with, or there is an error."""
    path = tmp_path / "weights.pt"
    path.write_bytes(weights_of("resnet18").read_bytes())
    backbone = registry.load("resnet18", weights=path, layers=(1,), device=CPU)
    state = torch.load(path, weights_only=True)
    torch.save({key: value + 1 for key, value in state.items()}, path)
    with pytest.raises(WeightsError, match="leave the file alone"):
        backbone.trainable_copy()
    backbone.trainable_copy(pretrained=False)
