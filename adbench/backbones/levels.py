"""A convolutional network cut into four levels, at strides 4, 8, 16 and 32."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_weights

from ..api.backbone_table import STRIDES
from ..util.errors import OptionError


class Levels(nn.Module):
    """Runs a network's own modules in order and returns the outputs of the layers.

    What the layers don't need is dropped. The rest keeps its names, so that the state dict fits the network's own.
    Neighbouring modules are declared in the order in which they run, on which ``fold_norms`` relies.
    """

    def __init__(self, net: nn.Module, stages: Sequence[Sequence[str]], layers: tuple[int, ...]) -> None:
        """Take over the children of ``net``.

        Args:
            net: the network.
            stages: for each level the paths of its modules, in order. Those within a container are its first ones.
            layers: the levels to return, in this order.
        """
        super().__init__()
        self.layers = layers
        self.stages = tuple(tuple(stage) for stage in stages[: max(layers)])
        paths = [path for stage in self.stages for path in stage]
        for name, child in net.named_children():
            inside = sum(path.startswith(f"{name}.") for path in paths)
            if inside:
                assert isinstance(child, (nn.Sequential, nn.ModuleList))
                self.add_module(name, child[:inside])
            elif name in paths:
                self.add_module(name, child)

    def forward(self, x: Tensor) -> list[Tensor]:
        """(B, 3, H, W) -> one (B, C, h, w) per layer."""
        outputs = []
        for stage in self.stages:
            for path in stage:
                x = self.get_submodule(path)(x)
            outputs.append(x)
        return [outputs[layer - 1] for layer in self.layers]


def check_layers(name: str, layers: tuple[int, ...]) -> None:
    """Refuse layers other than different ones of 1 to 4. Raises ``OptionError``."""
    levels = range(1, len(STRIDES) + 1)
    if not layers or len(set(layers)) < len(layers) or any(layer not in levels for layer in layers):
        found = ",".join(map(str, layers)) or "none"
        raise OptionError(f"layers of {name}", found=found, wanted="different ones of 1, 2, 3, 4")


def fold_norms(trunk: nn.Module) -> None:
    """Merge each batch norm, which is a constant scaling in eval mode, into the convolution declared before it."""
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
