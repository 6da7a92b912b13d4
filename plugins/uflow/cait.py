"""U-Flow's two CaiT transformers (arXiv 2103.17239) as one backbone: the second one sees the image at half its size."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from adbench import Network, UsageError, backbones
from adbench.api import OptionError, WeightsError

from . import CAIT

MODELS = ("cait_m48_448", "cait_s24_224")
"""timm's names of layers 1 and 2."""

BLOCKS = (41, 21)
"""Blocks of each that are used."""

SIDE = 448
"""Pixels of the image's sides: position embeddings are not interpolated."""

STRIDES = (16, 32)
"""In pixels of the image. Both have patches of 16 x 16, the second one of an image of half the size."""


class Transformers(nn.Module):
    """Runs each transformer up to its last block, and applies its norm."""

    def __init__(self, nets: dict[str, Any]) -> None:
        """Take timm's models by their names, in the order of the layers."""
        super().__init__()
        self.nets = nn.ModuleDict(nets)

    def forward(self, x: Tensor) -> list[Tensor]:
        """Map normalised images (B, 3, SIDE, SIDE) to one map (B, C, h, w) for each transformer."""
        levels = []
        for net in self.nets.values():
            side = tuple(net.patch_embed.img_size)
            resized = x if x.shape[2:] == side else F.interpolate(x, side, mode="bicubic", align_corners=True)
            last = [len(net.blocks) - 1]
            levels += net.forward_intermediates(resized, indices=last, norm=True, intermediates_only=True)
        return levels


def build(layers: tuple[int, ...], path: Path | None, pretrained: bool) -> Network:
    """Build the transformers of some layers. The arguments are those of ``adbench.api.backbone.Build``.

    A file holds both state dicts under timm's names, each with the name of its model and a point in front.

    Raises:
        OptionError: a layer other than 1 and 2.
        UsageError: timm isn't installed.
        WeightsError: the weights can't be found or don't fit.
    """
    if not layers or len(set(layers)) < len(layers) or not set(layers) <= {1, 2}:
        raise OptionError(f"layers of {CAIT}", found=",".join(map(str, layers)) or "none", wanted="1, 2, or both")
    try:
        import timm
    except ImportError as error:
        raise UsageError(f"backbone {CAIT}", found="no timm", hint='pip install -e ".[timm]"') from error
    weights = backbones.weights
    state = None if path is None or not pretrained else weights.from_file(path)
    nets = {}
    for layer in layers:
        name = MODELS[layer - 1]
        with weights.download_hints(name, f"https://huggingface.co/timm/{name}"):
            net = timm.create_model(name, pretrained=pretrained and state is None, num_classes=0)
        if state is not None:
            own = {key.removeprefix(f"{name}."): value for key, value in state.items() if key.startswith(f"{name}.")}
            if not own:
                raise WeightsError(f"weights for {CAIT} in {path}", found=f"no parameter of {name}", wanted=f"{name}.*")
            weights.check(net.state_dict(), own, name=name, path=path)
            net.load_state_dict({key: value.float() for key, value in own.items()}, strict=False)  # but for the head
        net.prune_intermediate_layers([BLOCKS[layer - 1] - 1], prune_norm=False, prune_head=True)
        nets[name] = net
    found = list(nets.values())
    return Network(
        Transformers(nets),
        channels=tuple(net.embed_dim for net in found),
        strides=tuple(STRIDES[layer - 1] for layer in layers),
        mean=tuple(found[0].pretrained_cfg["mean"]),
        std=tuple(found[0].pretrained_cfg["std"]),
        multiple=SIDE,
    )
