"""Frozen feature extractors: from images to feature maps.

A backbone normalises its input itself, never trains, and runs only up to the deepest layer it needs. Its weights are
found or there is an error (see weights.py). Those of torchvision's networks take no memory before the first image,
which never comes if all features are cached.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from ..api.backbone import BackboneEntry, Build, Network
from ..api.backbone_table import TIMM_PREFIX, BackboneInfo, backbone_names, describe
from ..api.context import BuildContext
from ..api.data import Size
from ..api.options import BackboneOptions
from ..util import devices
from ..util.errors import OptionError, SizeError, TaskError, UnknownNameError, WeightsError, type_text
from . import efficientnet_lite, levels, torchvision
from . import timm as timm_backbone
from . import weights as weights_module
from .efficientnet_lite import SameConv2d
from .extractor import PADDINGS, POOLS, Extractor, Padding, Pool
from .vit import BlockOptions, Blocks, Positions, Tokens
from .weights import file_digest

__all__ = ["Backbone", "BackboneInfo", "backbone_names", "describe", "file_digest", "from_options", "load"]


class Backbone(nn.Module):
    """A frozen network; ``load`` and ``from_options`` make it.

    Attributes:
        name: as on the command line.
        layers: the levels of the outputs, in this order: 1 to 4 are strides 4, 8, 16 and 32. Those of a vision
            transformer are its blocks, from 1.
        channels: of each layer.
        strides: pixels of the image per position of each layer, including the pool's stride.
        multiple: the height and width of images must be multiples of it.
        weights_hash: 12 hex digits of the loaded weights.
        key: names everything that changes the outputs: network, weights, layers, padding, pool, type.
    """

    mean: Tensor
    std: Tensor
    weights_hash = ""

    def __init__(
        self,
        name: str,
        build: Build,
        *,
        layers: tuple[int, ...],
        weights: Path | None,
        padding: Padding,
        pool: Pool,
        amp: devices.Amp,
        device: torch.device,
        words: tuple[str, ...] = (),
    ) -> None:
        """Build the network once, to know its weights. Arguments as in ``load``; ``words`` count in the key as well."""
        super().__init__()
        self.name, self.layers, self.padding, self.amp, self._pool = name, layers, padding, amp, pool
        self._build, self._weights = build, weights
        self._extractor: Extractor | None = None
        network = self._built(pretrained=True)
        self.channels, self.multiple = network.channels, network.multiple
        self.strides = tuple(stride * (1 if pool == "none" else 2) for stride in network.strides)
        self.weights_hash = _hash(network)
        self.key = "/".join(
            (name, self.weights_hash, "fp32", "layers" + ",".join(map(str, layers)), padding, pool, amp, *words)
        )
        self.register_buffer("mean", torch.tensor(network.mean).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(network.std).view(1, 3, 1, 1), persistent=False)
        self.to(device)
        if not isinstance(network.module, levels.Levels):  # its values are in memory already
            self._extractor = self._frozen(network)
        self.train()

    @property
    def network(self) -> nn.Module:
        """The running network with its weights, made on first use.

        Raises:
            WeightsError: the weights have changed since the backbone was made.
        """
        return self._running().network

    def release_weights(self) -> None:
        """Free the network's memory until the next images; its weights must still exist then."""
        self._extractor = None

    def trainable_copy(self, *, pretrained: bool = True) -> Extractor:
        """Make the same network for training, such as a student: with gradients, and with its norms unmerged.

        It is a new ``nn.Module`` in training mode, on the backbone's device, with the same layers, padding and pool;
        the names in its state dict are the network's own. Each call makes another one.

        Args:
            pretrained: start from the backbone's weights. If False the values are random, drawn from torch's global
                generator, which has the run's seed.

        Returns:
            A module from float RGB in [0, 1], (B, 3, H, W), to one (B, C, h, w) tensor per layer, with gradients. They
            are computed in float32 unless autocast is on. It raises the same errors as the backbone for images.

        Raises:
            WeightsError: the weights have changed since the backbone was made.
        """
        with torch.inference_mode(False):
            network = self._built(pretrained=pretrained)
            borrowed = weights_module.places(network.module)
            made = self._extracting(network).requires_grad_(True).train().to(self.mean.device)
            weights_module.own(network.module, borrowed)
        return made

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
            One (B, C, h, w) tensor per layer, computed in float32 and rounded to the precision of ``amp``; after them,
            if ``load`` was asked for tokens, one (B, C, 1, P) tensor per layer.

        Raises:
            SizeError: H or W is no multiple of ``multiple``.
            OptionError: the images are too small for padding by reflection.
        """
        return [each.to(devices.DTYPES[self.amp]) for each in self._running()(images)]

    def require_size(self, size: Size) -> None:
        """Refuse images of a height and width that the network can't take. Raises ``SizeError``."""
        if size[0] % self.multiple or size[1] % self.multiple:
            raise SizeError(self.name, size, self.multiple)

    def _running(self) -> Extractor:
        if self._extractor is None:
            with torch.inference_mode(False):  # it may be used elsewhere, too
                self._extractor = self._frozen(self._built(pretrained=True))
        return self._extractor

    def _built(self, *, pretrained: bool) -> Network:
        """Build the network anew; its weights must be the same each time."""
        with torch.random.fork_rng(devices=[]) if pretrained else nullcontext():  # random values are replaced
            network: Any = self._build(self.layers, self._weights, pretrained)
        if not isinstance(network, Network):
            raise TaskError(f"backbone {self.name}: build returned {type_text(network)}", wanted="a Network")
        if self._extractor is not None and self._extractor.network is network.module:
            raise TaskError(f"backbone {self.name}: build returned the same module again", wanted="a new one")
        if not len(network.channels) == len(network.strides) == len(self.layers):
            found = f"{len(network.channels)} channels and {len(network.strides)} strides"
            raise TaskError(f"backbone {self.name}", found=found, wanted=f"{len(self.layers)}, one for each layer")
        found = _hash(network) if pretrained else ""
        if pretrained and found != (self.weights_hash or found):
            raise WeightsError(
                f"weights file {self._weights}" if self._weights else f"weights of {self.name}",
                found=f"others ({found})",
                wanted=f"those that were there when the run began ({self.weights_hash})",
                hint="Run again, and leave the file alone meanwhile",
            )
        if self.padding == "reflect":
            _reflect(network.module, self.name)
        return network

    def _extracting(self, network: Network) -> Extractor:
        return Extractor(self.name, network, layers=self.layers, padding=self.padding, pool=self._pool)

    def _frozen(self, network: Network) -> Extractor:
        """The network in its fastest form on its device, in memory of its own."""
        borrowed = weights_module.places(network.module)
        made = self._extracting(network).requires_grad_(False).eval().to(self.mean.device)
        if isinstance(network.module, levels.Levels):
            levels.fold_norms(network.module)
        network.module.to(memory_format=torch.channels_last)
        weights_module.own(network.module, borrowed)
        return made


def load(
    name: str,
    *,
    layers: tuple[int, ...] = (1, 2, 3),
    weights: str | Path | None = None,
    padding: Padding = "zeros",
    pool: Pool = "none",
    amp: Literal["auto", "off", "bf16", "fp16"] = "off",
    device: torch.device,
    norm: bool = False,
    tokens: Tokens = "none",
    positions: Positions = "timm",
    offered: Mapping[str, BackboneEntry] | None = None,
) -> Backbone:
    """Build a frozen backbone with its weights. ``norm``, ``tokens`` and ``positions`` are for vision transformers.

    Args:
        name: one of ``backbone_names()``, "timm:NAME", or one of those ``offered``.
        layers: levels of the outputs, 1 to 4 for strides 4, 8, 16 and 32; of a vision transformer its blocks, from 1.
        weights: a file with a state dict; None for the published ImageNet weights.
        padding: of the convolutions. "reflect" keeps the weights.
        pool: 3 x 3 pooling with stride 2 and padding 1 on each output, as in MSFlow (arXiv 2308.15300).
        amp: precision of the outputs. The network itself always runs in float32: rounding each of its
            steps to bf16 moves EfficientNet-Lite0's features by several percent, and image AUROC with them.
        device: where it runs.
        norm: apply the norm that follows the last block to the output of each layer.
        tokens: give out, after the maps of all layers, for each layer the class token ("class"), or the class token
            and then the registers ("all"), as (B, C, 1, P).
        positions: how position embeddings are interpolated to other grids than that of pretraining: "timm" is bicubic
            and antialiased, "dinov2" as DINOv2's program (``vit.dinov2_positions``).
        offered: plugins' backbones, such as ``context.backbones``.

    Raises:
        UnknownNameError: no such backbone.
        OptionError: layers or other arguments that don't fit the network.
        WeightsError: the weights can't be found or don't fit.
        UsageError: timm is needed and not installed.
    """
    for option, value, known in (("padding", padding, PADDINGS), ("pool", pool, POOLS)):
        if value not in known:
            raise OptionError(f"{option} of {name}", found=f"'{value}'", wanted=f"one of {', '.join(known)}")
    blocks = BlockOptions(norm, tokens, positions)
    blocks.check(name)
    entry = (offered or {}).get(name)
    of_timm = [timm_backbone.version(name)] if name.startswith(TIMM_PREFIX) else []
    return Backbone(
        name, _family(name, blocks, offered or {}), layers=layers, weights=None if weights is None else Path(weights),
        padding=padding, pool=pool, amp=devices.resolve_amp(amp, device), device=device,
        words=(*blocks.words, *of_timm, *([f"code={entry.code}"] if entry else [])),
    )  # fmt: skip


def _family(name: str, blocks: BlockOptions, offered: Mapping[str, BackboneEntry]) -> Build:
    """What builds the network of a name."""
    if name.startswith(TIMM_PREFIX):
        return partial(timm_backbone.build, name, blocks)
    blocks.refuse(name)
    if name in efficientnet_lite.SCALES:
        return partial(efficientnet_lite.build, name)
    if name in backbone_names():
        return partial(torchvision.build, name)
    if name in offered:
        return offered[name].build
    raise UnknownNameError(
        "backbone", name, (*backbone_names(), *offered),
        hint="Any timm model is there as timm:NAME, and a plugin's backbone with --plugin FILE",
    )  # fmt: skip


def from_options(
    options: BackboneOptions,
    context: BuildContext | torch.device,
    *,
    pool: Pool = "none",
    norm: bool = False,
    tokens: Tokens = "none",
    positions: Positions = "timm",
) -> Backbone:
    """Build the backbone of a method's options.

    Args:
        options: the method's options.
        context: the context in which the method is built, or only the device.
        pool: as in ``load``.
        norm: as in ``load``.
        tokens: as in ``load``.
        positions: as in ``load``.

    Raises:
        SizeError: the network can't take images of the size in the options.
        UsageError: as in ``load``.
    """
    backbone = load(
        options.backbone,
        layers=options.layers,
        weights=options.weights,
        padding=options.padding,
        pool=pool,
        amp=options.amp,
        device=context.device if isinstance(context, BuildContext) else context,
        norm=norm,
        tokens=tokens,
        positions=positions,
        offered=context.backbones if isinstance(context, BuildContext) else None,
    )
    backbone.require_size(options.size)
    return backbone


def _hash(network: Network) -> str:
    return network.weights_hash or weights_module.state_digest(network.module.state_dict())


def _reflect(trunk: nn.Module, name: str) -> None:
    """Make every padded convolution pad by reflection; its weights stay."""
    if isinstance(trunk, Blocks):
        raise OptionError(f"padding of {name}", found="a transformer, which pads nothing", hint="Use padding=zeros")
    for conv in trunk.modules():
        if not isinstance(conv, nn.Conv2d) or max(conv.kernel_size) == 1:
            continue
        if type(conv) not in (nn.Conv2d, SameConv2d):
            raise OptionError(
                f"padding of {name}", found=f"{type_text(conv)} that cannot reflect", hint="Use padding=zeros"
            )
        conv.padding_mode = "reflect"
