"""CS-Flow's features: EfficientNet-B5 up to block 35, of an image at three scales."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from adbench import Backbone, Network, backbones
from adbench.api import OptionError, SizeError

from ..tensorflow_padding import pad_as_tensorflow
from . import BACKBONE
from .network import SCALES

STRIDE, CHANNELS, LAYER = 32, 304, 4

STAGES = 7
"""Parts of torchvision's ``features`` that are used: those up to block 35."""

HEAD = ("classifier.", "features.7.", "features.8.")
"""Prefixes of what is not needed."""


def build(layers: tuple[int, ...], path: Path | None, pretrained: bool) -> Network:
    """Build EfficientNet-B5 with paddings as in TensorFlow, from which its weights come.

    The authors' extractor, the package ``efficientnet_pytorch``, pads so, too. torchvision pads convolutions with
    stride 2 symmetrically. The arguments are those of ``adbench.api.Build``.

    Raises:
        OptionError: a layer other than 4.
        WeightsError: the weights can't be found or don't fit.
    """
    import torchvision

    if layers != (LAYER,):
        raise OptionError(f"layers of {BACKBONE}", found=",".join(map(str, layers)) or "none", wanted=str(LAYER))
    with torch.device("meta" if pretrained else "cpu"):
        net = torchvision.models.efficientnet_b5(weights=None)
        pad_as_tensorflow(net)
    digest = ""
    if pretrained:
        weights = backbones.weights
        state = weights.from_torchvision("efficientnet_b5") if path is None else weights.from_file(path)
        digest = weights.assign(net, state, name=BACKBONE, path=path, head=HEAD)
    return Network(Trunk(net), (CHANNELS,), (STRIDE,), weights_hash=digest)


class Trunk(nn.Module):
    """The stem and the blocks up to number 35; names of parameters are torchvision's."""

    def __init__(self, net: Any) -> None:
        super().__init__()
        self.features = net.features[:STAGES]

    def forward(self, x: Tensor) -> list[Tensor]:
        """(B, 3, H, W) -> one tensor (B, 304, H / 32, W / 32)."""
        return [self.features(x)]


class Pyramid:
    """One layer of a backbone for an image at full, half and quarter size, as three levels of features.

    Attributes:
        key: names all that changes the features, as a backbone's does.
        channels: of each level.
        strides: pixels of the full image per position of each level.
        weights_hash: of the backbone.
    """

    def __init__(self, backbone: Backbone) -> None:
        """Wrap a backbone. Raises ``OptionError`` unless it has exactly one layer."""
        if len(backbone.channels) != 1:
            found = ",".join(map(str, backbone.layers))
            raise OptionError("-o layers", found=found, wanted="one layer, which is computed for each scale")
        self.backbone = backbone
        self.key = f"{backbone.key}/{SCALES} nearest scales"
        self.channels = backbone.channels * SCALES
        self.strides = tuple(backbone.strides[0] * 2**scale for scale in range(SCALES))
        self.weights_hash = backbone.weights_hash

    def __call__(self, images: Tensor) -> list[Tensor]:
        """Map images (B, 3, H, W) to features (B, C, H / s, W / s), where s is the stride of each level.

        Each scale has the pixels of even rows and columns of the scale before: interpolation to the nearest pixel.
        """
        return [self.backbone(images[:, :, :: 2**scale, :: 2**scale])[0] for scale in range(SCALES)]

    def release_weights(self) -> None:
        """Free the backbone's memory until the next images."""
        self.backbone.release_weights()

    def require_size(self, size: tuple[int, int]) -> None:
        """Refuse images whose levels are not each half as large as the one before. Raises ``SizeError``."""
        multiple = max(self.strides)
        if size[0] % multiple or size[1] % multiple:
            raise SizeError(f"{self.backbone.name} at {SCALES} scales", size, multiple)
