"""torchvision's networks with IMAGENET1K_V1, the weights of many papers' published programs."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ..api.backbone import Network
from ..api.backbone_table import STRIDES, find
from . import weights as weights_module
from .levels import Levels, check_layers

# Where torchvision's ``features`` are cut: after the last block at strides 4, 8, 16 and 32.
_MOBILENET_ENDS = (4, 7, 13, 16)
_EFFICIENTNET_ENDS = (3, 4, 6, 8)


def build(name: str, layers: tuple[int, ...], weights: Path | None, pretrained: bool) -> Network:
    """Build a network of torchvision; see ``adbench.api.backbone.Build``.

    Raises:
        OptionError: there are no such layers.
        WeightsError: the weights can't be found or don't fit.
    """
    check_layers(name, layers)
    net = whole(name, meta=pretrained)
    digest = ""
    if pretrained:
        state = weights_module.from_torchvision(name) if weights is None else weights_module.from_file(weights)
        digest = weights_module.assign(net, state, name=name, path=weights, head=_head(net))
    channels = find(name).channels
    return Network(
        Levels(net, _stages(net, name), layers),
        channels=tuple(channels[layer - 1] for layer in layers),
        strides=tuple(STRIDES[layer - 1] for layer in layers),
        weights_hash=digest,
    )


def whole(name: str, *, meta: bool) -> Any:
    """The whole network; on the meta device, where no value can stay random, it draws no random numbers."""
    import torchvision

    with torch.device("meta" if meta else "cpu"):
        return torchvision.models.get_model(name, weights=None)


def _head(net: Any) -> tuple[str, ...]:
    """Prefixes of the classifier's names."""
    if not hasattr(net, "features"):
        return ("fc.",)
    return ("classifier.", f"features.{len(net.features) - 1}.")


def _stages(net: nn.Module, name: str) -> list[list[str]]:
    """Paths of the modules of four parts that end at strides 4, 8, 16 and 32."""
    if hasattr(net, "features"):
        ends = _MOBILENET_ENDS if name.startswith("mobilenet") else _EFFICIENTNET_ENDS
        return [[f"features.{number}" for number in range(start, end)] for start, end in pairwise((0, *ends))]
    return [["conv1", "bn1", "relu", "maxpool", "layer1"], ["layer2"], ["layer3"], ["layer4"]]
