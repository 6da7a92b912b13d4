"""UniAD's features: EfficientNet-B4 from stride 2 on, and any backbone's layers as one map on a grid of tokens."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from adbench import Backbone, Network, backbones
from adbench.api import OptionError, Size

from ..tensorflow_padding import pad_as_tensorflow
from . import BACKBONE

CHANNELS, STRIDES = (24, 32, 56, 160), (2, 4, 8, 16)
"""Of layers 0 to 3. Layers 1 to 3 are those of the backbone efficientnet_b4."""

STAGES = (1, 2, 3, 5)
"""The last part of torchvision's ``features`` in each layer."""

HEAD = ("classifier.", "features.6.", "features.7.", "features.8.")
"""Prefixes of what is not needed."""

TENSORFLOW = ("_conv_stem.", "_bn0.", "_blocks.")
"""Prefixes of the names in the package ``efficientnet_pytorch``, in the order of its state dict; the head follows."""

TENSORFLOW_EPS = 1e-3
"""Of the batch norms that belong to weights from TensorFlow."""


def build(layers: tuple[int, ...], path: Path | None, pretrained: bool) -> Network:
    """Build EfficientNet-B4 up to stride 16. The arguments are those of ``adbench.api.Build``.

    Weights with the names of the package ``efficientnet_pytorch``, which the authors use, come from TensorFlow: with
    them the network pads and normalises as there. torchvision's own weights were trained with torch's padding.

    Raises:
        OptionError: layers other than different ones of 0 to 3.
        WeightsError: the weights can't be found or don't fit.
    """
    import torchvision

    if not layers or len(set(layers)) < len(layers) or not set(layers) <= set(range(len(STRIDES))):
        found = ",".join(map(str, layers)) or "none"
        raise OptionError(f"layers of {BACKBONE}", found=found, wanted="different ones of 0, 1, 2, 3")
    with torch.device("meta" if pretrained else "cpu"):
        net = torchvision.models.efficientnet_b4(weights=None)
    digest = ""
    if pretrained:
        weights = backbones.weights
        state = weights.from_torchvision("efficientnet_b4") if path is None else weights.from_file(path)
        if any(name.startswith(TENSORFLOW) for name in state):
            state = _renamed(net, state)
            _behave_as_tensorflow(net)
        digest = weights.assign(net, state, name=BACKBONE, path=path, head=HEAD)
    channels, strides = (tuple(values[layer] for layer in layers) for values in (CHANNELS, STRIDES))
    return Network(Trunk(net, layers), channels, strides, weights_hash=digest)


class Trunk(nn.Module):
    """The stem and the stages up to the deepest layer; names of parameters are torchvision's."""

    def __init__(self, net: Any, layers: tuple[int, ...]) -> None:
        super().__init__()
        self.layers = layers
        self.features = net.features[: STAGES[max(layers)] + 1]

    def forward(self, x: Tensor) -> list[Tensor]:
        """(B, 3, H, W) -> one tensor (B, C, H / stride, W / stride) for each layer."""
        found = []
        for stage in self.features:
            x = stage(x)
            found.append(x)
        return [found[STAGES[layer]] for layer in self.layers]


def _renamed(net: nn.Module, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Give weights of ``efficientnet_pytorch`` torchvision's names: both list the same parameters in the same order."""
    theirs = [key for key in state if key.startswith(TENSORFLOW) and not key.endswith("num_batches_tracked")]
    ours = [
        key
        for key in net.state_dict()
        if not key.startswith(("classifier.", "features.8.")) and not key.endswith("num_batches_tracked")
    ]
    return {name: state[key] for name, key in zip(ours, theirs, strict=False)}  # what is missing, is an error later


def _behave_as_tensorflow(net: nn.Module) -> None:
    with torch.device("meta"):
        pad_as_tensorflow(net)
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eps = TENSORFLOW_EPS


class Aligned:
    """The layers of a backbone as one map, resized to a grid: the features that are cached.

    Attributes:
        key: names all that changes the features, as a backbone's does.
        channels: of the map.
        strides: pixels of the image per position, about.
        weights_hash: of the backbone.
    """

    def __init__(self, backbone: Backbone, grid: Size, stride: int) -> None:
        self.backbone, self.grid = backbone, grid
        self.key = f"{backbone.key}/aligned {grid[0]}x{grid[1]}"
        self.channels = (sum(backbone.channels),)
        self.strides = (stride,)
        self.weights_hash = backbone.weights_hash

    def __call__(self, images: Tensor) -> list[Tensor]:
        """Map images (B, 3, H, W) to one map (B, sum of C_i, h, w) of the precision of the backbone's features."""
        return [align(self.backbone(images), self.grid)]

    def release_weights(self) -> None:
        """Free the backbone's memory until the next images."""
        self.backbone.release_weights()


def align(features: list[Tensor], grid: Size) -> Tensor:
    """Resize layers L x (B, C_i, h_i, w_i) to a grid and concatenate them: (B, sum of C_i, h, w).

    Bilinear with the corners aligned. Larger layers are only sampled, not averaged, as in the authors' program.
    """
    parts = [F.interpolate(level.float(), grid, mode="bilinear", align_corners=True) for level in features]
    return torch.cat(parts, dim=1).to(features[0].dtype)
