"""Backbones: networks that turn images into features, and what builds one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeAlias

if TYPE_CHECKING:
    import torch
    from torch import nn

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
"""Of the red, green and blue values of ImageNet's images, in [0, 1]."""


class Backbone(Protocol):
    """A network that turns images into features; ``adbench.backbones.Backbone`` is one."""

    @property
    def key(self) -> str:
        """Names everything that changes the outputs: features are cached under it."""
        ...

    def __call__(self, images: torch.Tensor, /) -> list[torch.Tensor]:
        """Map float RGB in [0, 1], (B, 3, H, W), to one (B, C, h, w) tensor per layer."""
        ...


AnyBackbone: TypeAlias = "Backbone | nn.Module"
"""The argument of ``features``: a backbone, or a frozen module from images (B, 3, H, W) to features (B, C, h, w)."""


@dataclass(frozen=True, eq=False)
class Network:
    """A network that was built for some layers, and what is known of it.

    Attributes:
        module: maps normalised images (B, 3, H, W) to a list with one map (B, C, h, w) for each layer, in their order.
            It is on the CPU; its values may still be mapped from the file with the weights.
        channels: C of each layer.
        strides: pixels of the image per position of each layer.
        mean: of red, green and blue in [0, 1], which is subtracted from images.
        std: by which they are divided after that.
        multiple: the height and width of images must be multiples of it.
        weights_hash: 12 hex digits of the weights; empty for those of the module's state.
    """

    module: nn.Module
    channels: tuple[int, ...]
    strides: tuple[int, ...]
    mean: tuple[float, ...] = IMAGENET_MEAN
    std: tuple[float, ...] = IMAGENET_STD
    multiple: int = 1
    weights_hash: str = ""


@dataclass(frozen=True)
class BackboneEntry:
    """A backbone as its plugin offers it.

    Attributes:
        name: as in ``-o backbone=NAME``; not one that adbench has itself.
        summary: what it is.
        build: see ``Build``.
        weights: where its published weights come from.
        code: a digest of its source, which adbench fills in: features of other code are never used.
    """

    name: str
    summary: str
    build: Callable[[tuple[int, ...], Path | None, bool], Network]
    weights: str = ""
    code: str = ""


Build: TypeAlias = "Callable[[tuple[int, ...], Path | None, bool], Network]"
"""Builds a network: ``build(layers, weights, pretrained)``.

``layers`` are the outputs that are wanted, in this order; ``OptionError`` refuses those that it doesn't have.
``weights`` is a file with a state dict; None stands for the published weights. Weights that can't be found or don't fit
are a ``WeightsError``, never random values. If ``pretrained`` is False, the values are random instead, drawn from
torch's global generator. Each call makes a new module, with the same weights each time.
"""
