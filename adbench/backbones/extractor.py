"""A network between raw images and features: it checks sizes, normalises, and pools."""

from __future__ import annotations

from collections.abc import MutableMapping
from functools import partial
from typing import Any, Literal

import torch
from torch import Tensor, nn

from ..api.backbone import Network
from ..util.errors import OptionError, SizeError, TaskError, first_line, type_text

PADDINGS = ("zeros", "reflect")
POOLS = ("none", "avg", "max")

Padding = Literal["zeros", "reflect"]
Pool = Literal["none", "avg", "max"]


class Extractor(nn.Module):
    """Turns images into features; ``Backbone.trainable_copy`` returns one.

    It is an ordinary module: ``train()``, ``eval()`` and ``requires_grad_()`` work as usual. The names in its state
    dict are the network's own.

    Attributes:
        name: of the backbone.
        network: from normalised images to features.
        pool: applied to each map.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, name: str, network: Network, *, layers: tuple[int, ...], padding: Padding, pool: Pool) -> None:
        super().__init__()
        self.name, self.layers, self.padding, self.multiple = name, layers, padding, network.multiple
        self.network = network.module
        self.pool = _pool(pool)
        self.register_buffer("mean", torch.tensor(network.mean).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(network.std).view(1, 3, 1, 1), persistent=False)
        hide_in_state_dict(self, "network")

    def forward(self, images: Tensor) -> list[Tensor]:
        """Compute the features.

        Args:
            images: float RGB in [0, 1], (B, 3, H, W), on the module's device.

        Returns:
            One (B, C, h, w) tensor per layer; after them the tokens, if there are any.

        Raises:
            SizeError: H or W is no multiple of what the network needs.
            OptionError: the images are too small for padding by reflection, or of another size than the only one.
            TaskError: the network of a plugin returns something else.
        """
        height, width = images.shape[2:]
        if height % self.multiple or width % self.multiple:
            raise SizeError(self.name, (height, width), self.multiple)
        x = ((images - self.mean) / self.std).contiguous(memory_format=torch.channels_last)
        try:
            found = self.network(x)
        except AssertionError as error:  # a transformer of timm that takes images of one size
            raise OptionError(f"size {height}x{width} with backbone {self.name}", found=first_line(error)) from error
        except RuntimeError as error:
            if self.padding == "reflect" and "Padding size" in str(error):
                raise self._too_small(height, width) from error
            raise
        return self._pooled(found, images.shape[0])

    def _pooled(self, found: Any, images: int) -> list[Tensor]:
        """The maps through the pool; what comes after them is left as it is."""
        count = len(self.layers)
        if not isinstance(found, (list, tuple)) or len(found) < count:
            what = f"{len(found)} tensors" if isinstance(found, (list, tuple)) else type_text(found)
            raise TaskError(f"the network of backbone {self.name} returned", found=what, wanted=f"a list of {count}")
        for each in found:
            if not isinstance(each, Tensor) or each.ndim != 4 or each.shape[0] != images:
                what = f"shape {tuple(each.shape)}" if isinstance(each, Tensor) else type_text(each)
                raise TaskError(f"the network of backbone {self.name} returned", found=what, wanted="(B, C, h, w)")
        return [*(self.pool(each) for each in found[:count]), *found[count:]]

    def _too_small(self, height: int, width: int) -> OptionError:
        return OptionError(
            f"size {height}x{width} with padding by reflection in {self.name} up to layer {max(self.layers)}",
            found="a feature map not larger than its padding",
            hint="Choose a larger --size, lower layers, or padding=zeros",
        )


def _pool(kind: Pool) -> nn.Module:
    if kind == "none":
        return nn.Identity()
    return nn.AvgPool2d(3, 2, 1) if kind == "avg" else nn.MaxPool2d(3, 2, 1)


def hide_in_state_dict(module: nn.Module, child: str) -> None:
    """Leave the name of a child out of the names in a module's state dict, in saving and in loading."""
    module.register_state_dict_post_hook(partial(_shorten, child))  # type: ignore[no-untyped-call]
    module.register_load_state_dict_pre_hook(partial(_lengthen, child))  # type: ignore[no-untyped-call]


def _shorten(child: str, module: nn.Module, state: MutableMapping[str, Any], prefix: str, *_: Any) -> None:
    """Rename "child.weight" to "weight"."""
    for key in [key for key in state if key.startswith(f"{prefix}{child}.")]:
        state[prefix + key.removeprefix(f"{prefix}{child}.")] = state.pop(key)


def _lengthen(child: str, module: nn.Module, state: MutableMapping[str, Any], prefix: str, *_: Any) -> None:
    """Rename "weight" to "child.weight"."""
    for key in [key for key in state if key.startswith(prefix)]:
        state[f"{prefix}{child}.{key.removeprefix(prefix)}"] = state.pop(key)
