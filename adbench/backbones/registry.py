"""Frozen feature extractors: from images to feature maps.

A backbone normalises its input itself, never trains, and runs only up to the deepest layer it needs. Its weights are
found or there is an error (see weights.py). They take no memory before the first image, which never comes if all
features are cached. torchvision's networks get IMAGENET1K_V1, the weights of both papers' published programs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_weights

from ..api.context import BuildContext
from ..api.options import BackboneOptions
from ..util import devices
from ..util.errors import OptionError, UnknownNameError, WeightsError
from . import efficientnet_lite
from . import timm as timm_backbone
from . import weights as weights_module
from .efficientnet_lite import EfficientNetLite0, SameConv2d
from .table import LITE0, STRIDES, TIMM_PREFIX, BackboneInfo, backbone_names, describe
from .weights import file_digest

__all__ = ["Backbone", "BackboneInfo", "backbone_names", "describe", "file_digest", "from_options", "load"]

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)

PADDINGS = ("zeros", "reflect")
POOLS = ("none", "avg", "max")

Padding = Literal["zeros", "reflect"]
Pool = Literal["none", "avg", "max"]

# Where torchvision's ``features`` are cut: after the last block at strides 4, 8, 16 and 32.
_MOBILENET_ENDS = (4, 7, 13, 16)
_EFFICIENTNET_ENDS = (3, 4, 6, 8)


class Backbone(nn.Module):
    """A frozen network; ``load`` and ``from_options`` make it.

    Attributes:
        name: as on the command line.
        layers: the levels of the outputs, in this order: 1 to 4 are strides 4, 8, 16 and 32.
        channels: of each output.
        strides: pixels of the image per position of each output, including the pool's stride.
        weights_hash: 12 hex digits of the loaded weights.
        key: names everything that changes the outputs: network, weights, layers, padding, pool, type.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        name: str,
        make: Callable[[], nn.Module],
        *,
        layers: tuple[int, ...],
        channels: tuple[int, ...],
        mean: Sequence[float],
        std: Sequence[float],
        weights_hash: str,
        padding: Padding,
        pool: Pool,
        amp: devices.Amp,
        device: torch.device,
    ) -> None:
        super().__init__()
        self.name, self.layers, self.channels, self.weights_hash = name, layers, channels, weights_hash
        self.padding, self.amp = padding, amp
        self.strides = tuple(STRIDES[layer - 1] * (1 if pool == "none" else 2) for layer in layers)
        self.key = "/".join((name, weights_hash, "fp32", "layers" + ",".join(map(str, layers)), padding, pool, amp))
        self._make = make
        self._network: nn.Module | None = None
        self.pool = _pool(pool)
        self.register_buffer("mean", torch.tensor(mean).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).view(1, 3, 1, 1), persistent=False)
        self.train()
        self.to(device)

    @property
    def network(self) -> nn.Module:
        """The running network with its weights, made on first use.

        Raises:
            WeightsError: the weights have changed since the backbone was made.
        """
        if self._network is None:
            with torch.inference_mode(False):  # it may be used elsewhere, too
                self._network = self._make().eval().requires_grad_(False)
        return self._network

    def release_weights(self) -> None:
        """Free the network's memory until the next images; its weights must still exist then.

        A timm network stays, since only timm can make it.
        """
        self._network = None

    def train(self, mode: bool = True) -> Backbone:
        """Stay in eval mode, whatever the argument."""
        super().train(False)
        return self

    @torch.no_grad()
    def forward(self, images: Tensor) -> list[Tensor]:
        """Compute the feature maps.

        Args:
            images: float RGB in [0, 1], (B, 3, H, W), on the backbone's device.

        Returns:
            One (B, C, h, w) tensor per layer, computed in float32 and rounded to the precision of ``amp``.

        Raises:
            OptionError: the images are too small for padding by reflection.
        """
        x = ((images - self.mean) / self.std).contiguous(memory_format=torch.channels_last)
        try:
            maps = self.network(x)
        except RuntimeError as error:
            if self.padding == "reflect" and "Padding size" in str(error):
                raise self._too_small(images) from error
            raise
        return [self.pool(each).to(devices.DTYPES[self.amp]) for each in maps]

    def _too_small(self, images: Tensor) -> OptionError:
        height, width = images.shape[2:]
        return OptionError(
            f"size {height}x{width} with padding by reflection in {self.name} up to layer {max(self.layers)}",
            found="a feature map not larger than its padding",
            hint="Choose a larger --size, lower layers, or padding=zeros",
        )


class Levels(nn.Module):
    """Runs a network's stages in order and returns the outputs of the layers."""

    def __init__(self, stages: Sequence[nn.Module], layers: tuple[int, ...]) -> None:
        super().__init__()
        self.layers = layers
        self.stages = nn.ModuleList(stages[: max(layers)])

    def forward(self, x: Tensor) -> list[Tensor]:
        """(B, 3, H, W) -> one (B, C, h, w) per layer."""
        outputs = []
        for stage in self.stages:
            x = stage(x)
            outputs.append(x)
        return [outputs[layer - 1] for layer in self.layers]


def load(
    name: str,
    *,
    layers: tuple[int, ...] = (1, 2, 3),
    weights: str | Path | None = None,
    padding: Padding = "zeros",
    pool: Pool = "none",
    amp: Literal["auto", "off", "bf16", "fp16"] = "off",
    device: torch.device,
) -> Backbone:
    """Build a frozen backbone with its weights.

    Args:
        name: one of ``backbone_names()``, or "timm:NAME".
        layers: levels of the outputs, 1 to 4 for strides 4, 8, 16 and 32.
        weights: a file with a state dict; None for the published ImageNet weights.
        padding: of the convolutions. "reflect" keeps the weights.
        pool: 3 x 3 pooling with stride 2 and padding 1 on each output, as in MSFlow (arXiv 2308.15300).
        amp: precision of the outputs. The network itself always runs in float32: rounding each of its
            steps to bf16 moves EfficientNet-Lite0's features by several percent, and image AUROC with them.
        device: where it runs.

    Raises:
        UnknownNameError: no such backbone.
        OptionError: layers, padding, pool or amp that don't fit.
        WeightsError: the weights can't be found or don't fit.
        UsageError: timm is needed and not installed.
    """
    _check(name, layers, padding, pool)
    shared: dict[str, Any] = {
        "layers": layers, "padding": padding, "pool": pool, "amp": devices.resolve_amp(amp, device), "device": device,
    }  # fmt: skip
    if name.startswith(TIMM_PREFIX):
        timm = timm_backbone.load(name, layers, weights)
        if padding == "reflect":
            _reflect(timm.trunk, name)
        timm.trunk.to(device).to(memory_format=torch.channels_last)
        return Backbone(
            name, lambda: timm.trunk, channels=timm.channels, mean=timm.mean, std=timm.std,
            weights_hash=timm.weights_hash, **shared,
        )  # fmt: skip
    info = next((info for info in describe() if info.name == name), None)
    if info is None:
        raise UnknownNameError("backbone", name, backbone_names(), hint="Any timm model is there as timm:NAME")
    lite = name == LITE0
    _, _, digest = _read(name, layers, weights, padding)
    return Backbone(
        name,
        partial(_network, name, layers, weights, padding, digest, device),
        channels=tuple(info.channels[layer - 1] for layer in layers),
        mean=efficientnet_lite.MEAN if lite else IMAGENET_MEAN,
        std=efficientnet_lite.STD if lite else IMAGENET_STD,
        weights_hash=digest,
        **shared,
    )


def from_options(options: BackboneOptions, context: BuildContext | torch.device, *, pool: Pool = "none") -> Backbone:
    """Build the backbone of a method's options. Raises the same errors as ``load``.

    Args:
        options: the method's options.
        context: the context in which the method is built, or only the device.
        pool: as in ``load``.
    """
    return load(
        options.backbone,
        layers=options.layers,
        weights=options.weights,
        padding=options.padding,
        pool=pool,
        amp=options.amp,
        device=context.device if isinstance(context, BuildContext) else context,
    )


def _check(name: str, layers: tuple[int, ...], padding: str, pool: str) -> None:
    levels = range(1, len(STRIDES) + 1)
    if not layers or len(set(layers)) < len(layers) or any(layer not in levels for layer in layers):
        found = ",".join(map(str, layers)) or "none"
        raise OptionError(f"layers of {name}", found=found, wanted="different ones of 1, 2, 3, 4")
    for option, value, known in (("padding", padding, PADDINGS), ("pool", pool, POOLS)):
        if value not in known:
            raise OptionError(f"{option} of {name}", found=f"'{value}'", wanted=f"one of {', '.join(known)}")


def _read(
    name: str, layers: tuple[int, ...], weights: str | Path | None, padding: str
) -> tuple[nn.Module, weights_module.State, str]:
    """Read a network, its mapped weights, and their digest."""
    net, head = _build(name)
    state = _state(name, weights)
    digest = weights_module.assign(net, state, name=name, path=weights, head=head)
    trunk = Levels(_stages(net, name), layers)
    if padding == "reflect":
        _reflect(trunk, name)
    return trunk, state, digest


def _network(
    name: str, layers: tuple[int, ...], weights: str | Path | None, padding: str, digest: str, device: torch.device
) -> nn.Module:
    """The network in its fastest form on its device, in memory of its own."""
    trunk, state, found = _read(name, layers, weights, padding)
    if found != digest:
        raise WeightsError(
            f"weights file {weights}" if weights else f"weights of {name}",
            found=f"others ({found})",
            wanted=f"those that were there when the run began ({digest})",
            hint="Run again, and leave the file alone meanwhile",
        )
    trunk.requires_grad_(False).eval().to(device)
    _fold_norms(trunk)
    trunk.to(memory_format=torch.channels_last)
    weights_module.own(trunk, state)
    return trunk


def _build(name: str) -> tuple[Any, tuple[str, ...]]:
    """The whole network without values, and the prefixes of its classifier's names.

    On the meta device no value can stay random, and no random number is drawn.
    """
    import torchvision

    with torch.device("meta"):
        if name == LITE0:
            return EfficientNetLite0(), efficientnet_lite.HEAD
        net = torchvision.models.get_model(name, weights=None)
    if not hasattr(net, "features"):
        return net, ("fc.",)
    return net, ("classifier.", f"features.{len(net.features) - 1}.")


def _state(name: str, path: str | Path | None) -> weights_module.State:
    if path is not None:
        return weights_module.from_file(path)
    return weights_module.from_package() if name == LITE0 else weights_module.from_torchvision(name)


def _stages(net: Any, name: str) -> list[nn.Module]:
    """Cut a network into four parts that end at strides 4, 8, 16 and 32."""
    if isinstance(net, EfficientNetLite0):
        return net.stages()
    if hasattr(net, "features"):
        ends = _MOBILENET_ENDS if name.startswith("mobilenet") else _EFFICIENTNET_ENDS
        return [net.features[start:end] for start, end in pairwise((0, *ends))]
    stem = (net.conv1, net.bn1, net.relu, net.maxpool)
    return [nn.Sequential(*stem, net.layer1), net.layer2, net.layer3, net.layer4]


def _pool(kind: Pool) -> nn.Module:
    if kind == "none":
        return nn.Identity()
    return nn.AvgPool2d(3, 2, 1) if kind == "avg" else nn.MaxPool2d(3, 2, 1)


def _reflect(trunk: nn.Module, name: str) -> None:
    """Make every padded convolution pad by reflection; its weights stay."""
    for conv in trunk.modules():
        if not isinstance(conv, nn.Conv2d) or max(conv.kernel_size) == 1:
            continue
        if type(conv) not in (nn.Conv2d, SameConv2d):
            raise OptionError(
                f"padding of {name}", found=f"a {type(conv).__name__} that cannot reflect", hint="Use padding=zeros"
            )
        conv.padding_mode = "reflect"


def _fold_norms(trunk: nn.Module) -> None:
    """Merge each batch norm, which is a constant scaling in eval mode, into the convolution before it.

    In torchvision's networks and in ours, neighbouring declarations run one after the other.
    """
    for parent in trunk.modules():
        for (_, conv), (name, norm) in pairwise(list(parent.named_children())):
            if isinstance(conv, nn.Conv2d) and type(norm) is nn.BatchNorm2d:
                mean, variance = norm.running_mean, norm.running_var
                assert mean is not None  # torchvision's networks and ours have them
                assert variance is not None
                conv.weight, conv.bias = fuse_conv_bn_weights(
                    conv.weight, conv.bias, mean, variance, norm.eps, norm.weight, norm.bias
                )
                conv.to(memory_format=torch.channels_last)  # one by one: each leaves memory for the next
                setattr(parent, name, nn.Identity())
    trunk.requires_grad_(False)
