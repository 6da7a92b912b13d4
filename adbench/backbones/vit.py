"""timm's vision transformers as backbones: each block is a layer, counted from 1, and gives a map."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call

from ..api.backbone import Network
from ..util.errors import OptionError, WeightsError
from . import weights as weights_module
from .extractor import hide_in_state_dict

Tokens = Literal["none", "class", "all"]
Positions = Literal["timm", "dinov2"]

TOKENS: tuple[Tokens, ...] = ("none", "class", "all")
POSITIONS: tuple[Positions, ...] = ("timm", "dinov2")

HEADS = ("head", "fc_norm", "attn_pool", "pre_logits", "mask_token")
"""Beginnings of the names of parameters after the last block's norm, and of those that only pretraining uses."""

PARTS = ("blocks", "patch_embed", "feature_info", "forward_intermediates", "prune_intermediate_layers")
"""What timm's vision transformers have; the maps of all their blocks have one size."""

TRANSFORMERS_NAMES = (
    (r"^(dinov2|dinov2_with_registers)\.", ""),
    (r"^embeddings\.patch_embeddings\.projection\.", "patch_embed.proj."),
    (r"^embeddings\.position_embeddings$", "pos_embed"),
    (r"^embeddings\.", ""),
    (r"^encoder\.layer\.", "blocks."),
    (r"\.attention\.attention\.(query|key|value)\.", r".attn.\1."),
    (r"\.attention\.output\.dense\.", ".attn.proj."),
    (r"\.layer_scale(1|2)\.lambda1$", r".ls\1.gamma"),
    (r"\.mlp\.weights_in\.", ".mlp.w12."),
    (r"\.mlp\.weights_out\.", ".mlp.w3."),
    (r"^layernorm\.", "norm."),
)
"""From the names of DINOv2 in the package transformers to its authors' own, in this order."""

DINOV2_OFFSET = 0.1
"""Added to the sides of the new grid in DINOv2's interpolation (github.com/facebookresearch/dinov2)."""


@dataclass(frozen=True)
class BlockOptions:
    """What a vision transformer gives out, as in ``load``; networks of other kinds take only the defaults."""

    norm: bool = False
    tokens: Tokens = "none"
    positions: Positions = "timm"

    def check(self, name: str) -> None:
        """Refuse unknown values. Raises ``OptionError``."""
        for option, value, known in (("tokens", self.tokens, TOKENS), ("positions", self.positions, POSITIONS)):
            if value not in known:
                raise OptionError(f"{option} of {name}", found=f"'{value}'", wanted=f"one of {', '.join(known)}")

    def refuse(self, name: str) -> None:
        """Refuse everything but the defaults, for a network that is no transformer. Raises ``OptionError``."""
        for option, default in vars(BlockOptions()).items():
            if (value := getattr(self, option)) != default:
                raise OptionError(
                    f"{option} of {name}", found=str(value), wanted=str(default),
                    hint="Only vision transformers (timm:vit_...) have more",
                )  # fmt: skip

    @property
    def words(self) -> tuple[str, ...]:
        """Their part of a backbone's key: nothing for the defaults."""
        given = {"norm": self.norm, "tokens": self.tokens, "positions": self.positions}
        return tuple(f"{key}={value}" for key, value in given.items() if value != getattr(BlockOptions(), key))


def create(timm: Any, model: str, *, pretrained: bool = False) -> Any | None:
    """Create a model of timm if it is a vision transformer for images of any size; otherwise None."""
    try:
        net = timm.create_model(model, pretrained=pretrained, num_classes=0, dynamic_img_size=True)
    except TypeError:  # its constructor has no such argument
        return None
    if not all(hasattr(net, part) for part in PARTS):
        return None
    return net if len({info["reduction"] for info in net.feature_info}) == 1 else None


def network(name: str, net: Any, options: BlockOptions, layers: tuple[int, ...]) -> Network:
    """The blocks of a transformer that has its weights; what follows the last one that is needed is dropped.

    Args:
        name: of the backbone.
        net: timm's model.
        options: what it gives out.
        layers: the numbers of its blocks, from 1.

    Raises:
        OptionError: the model has no such blocks, tokens, norm or positions.
    """
    depth = len(net.blocks)
    if not layers or len(set(layers)) < len(layers) or not all(1 <= layer <= depth for layer in layers):
        found = ",".join(map(str, layers)) or "none"
        raise OptionError(f"layers of {name}", found=found, wanted=f"different blocks of 1 to {depth}")
    _require_parts(name, net, options)
    digest = weights_module.state_digest(_body(net.state_dict()))  # of all blocks, whichever are used
    channels = [int(info["num_chs"]) for info in net.feature_info]
    patch = int(net.feature_info[0]["reduction"])
    net.prune_intermediate_layers([layer - 1 for layer in layers], prune_norm=not options.norm, prune_head=True)
    return Network(
        Blocks(net, patch, layers, options),
        channels=tuple(channels[layer - 1] for layer in layers),
        strides=(patch,) * len(layers),
        mean=tuple(net.pretrained_cfg["mean"]),
        std=tuple(net.pretrained_cfg["std"]),
        multiple=patch,
        weights_hash=digest,
    )


def _require_parts(name: str, net: Any, options: BlockOptions) -> None:
    """Refuse options for which the model lacks a part. Raises ``OptionError``."""
    if options.norm and isinstance(net.norm, nn.Identity):
        raise OptionError(f"norm of {name}", found="no norm after its last block", wanted="False")
    if options.tokens == "class" and getattr(net, "cls_token", None) is None:
        raise OptionError(f"tokens of {name}", found="no class token", wanted="none, or all for its registers")
    if options.tokens == "all" and not net.num_prefix_tokens:
        raise OptionError(f"tokens of {name}", found="neither a class token nor registers", wanted="none")
    if options.positions == "dinov2" and getattr(net, "pos_embed", None) is None:
        raise OptionError(f"positions of {name}", found="no learned position embedding", wanted="timm")


class Blocks(nn.Module):
    """Returns the outputs of a transformer's blocks as maps, and after these their tokens where they are wanted."""

    def __init__(self, net: Any, patch: int, layers: Sequence[int], options: BlockOptions) -> None:
        super().__init__()
        self.net, self.patch, self.layers, self.options = net, patch, tuple(layers), options
        hide_in_state_dict(self, "net")

    def forward(self, x: Tensor) -> list[Tensor]:
        """Run the blocks.

        Args:
            x: normalised images (B, 3, H, W).

        Returns:
            For each layer a map (B, C, h, w); with tokens, after the maps for each layer its tokens (B, C, 1, P): the
            class token comes first, and then the registers.
        """
        embed, grid = self.net.patch_embed, (x.shape[2] // self.patch, x.shape[3] // self.patch)
        if self.options.positions == "dinov2" and grid != tuple(embed.grid_size):
            return self._on(grid, x)
        order = sorted(self.layers)
        found = self.net.forward_intermediates(
            x, indices=[layer - 1 for layer in order], return_prefix_tokens=self.options.tokens != "none",
            norm=self.options.norm, intermediates_only=True,
        )  # fmt: skip
        by_layer = dict(zip(order, found, strict=True))
        outputs = [by_layer[layer] for layer in self.layers]
        if self.options.tokens == "none":
            return outputs
        last = 1 if self.options.tokens == "class" else None
        return [*(maps for maps, _ in outputs), *(all_[:, :last].mT[:, :, None] for _, all_ in outputs)]

    def _on(self, grid: tuple[int, int], x: Tensor) -> list[Tensor]:
        """Run the blocks with position embeddings interpolated to a grid as in DINOv2."""
        embed, net = self.net.patch_embed, self.net
        before = tuple(embed.grid_size)
        prefix = 0 if net.no_embed_class else net.num_prefix_tokens
        resized = dinov2_positions(net.pos_embed, prefix, before, grid)
        embed.grid_size = grid  # the embedding fits now, and timm leaves it as it is
        try:
            outputs: list[Tensor] = functional_call(self, {"net.pos_embed": resized}, (x,))
        finally:
            embed.grid_size = before
        return outputs


def dinov2_positions(embedding: Tensor, prefix: int, old: Sequence[int], new: Sequence[int]) -> Tensor:
    """Interpolate position embeddings as DINOv2's program does: bicubic, not antialiased, with sides 0.1 longer.

    Args:
        embedding: (1, prefix + old positions, C).
        prefix: tokens before the grid, which stay.
        old: height and width of the grid.
        new: the wanted ones.

    Returns:
        (1, prefix + new positions, C).
    """
    grid = embedding[:, prefix:].mT.reshape(1, -1, *old)  # (1, C, h, w)
    scale = [(after + DINOV2_OFFSET) / before for before, after in zip(old, new, strict=True)]
    grid = F.interpolate(grid, scale_factor=scale, mode="bicubic")
    return torch.cat([embedding[:, :prefix], grid.flatten(2).mT], dim=1)


def load_file(net: Any, name: str, path: Path) -> None:
    """Load a file's weights: names of timm, of the authors whose names timm knows, or of DINOv2 in transformers.

    Raises:
        WeightsError: something is missing, of another shape, or left over.
    """
    state: Mapping[str, Tensor] = {key: value.float() for key, value in weights_module.from_file(path).items()}
    state = from_transformers(state)
    patches = "patch_embed.proj.weight"
    if patches in state and state[patches].ndim == 4:  # timm would resample those of another size
        weights_module.check({patches: net.state_dict()[patches]}, state, name=name, path=path)
    convert = getattr(sys.modules[type(net).__module__], "checkpoint_filter_fn", None)
    if convert is not None:
        try:
            state = convert(dict(state), net)
        except (KeyError, RuntimeError, ValueError, AttributeError, AssertionError) as error:
            raise WeightsError(
                f"weights for {name} in {path}", found="names or shapes of another network",
                hint=f"Give a state dict of {name}, or choose the --backbone that the file is for",
            ) from error  # fmt: skip
    weights_module.check(_body(net.state_dict()), _body(state), name=name, path=path, whole=True)
    net.load_state_dict(_body(state), strict=False)  # its head is never used


def from_transformers(state: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
    """Rename a state dict of DINOv2 in the package transformers as its authors do; others are returned unchanged.

    Its three projections of each attention become one, ``qkv``. What has no name of the authors keeps its own.
    """
    if not any(key.endswith("embeddings.patch_embeddings.projection.weight") for key in state):
        return state
    renamed = {}
    for key, value in state.items():
        for pattern, name in TRANSFORMERS_NAMES:
            key = re.sub(pattern, name, key)
        renamed[key] = value
    for key in [key for key in renamed if ".attn.query." in key]:
        parts = [key.replace(".query.", f".{part}.") for part in ("query", "key", "value")]
        if all(part in renamed for part in parts):
            renamed[key.replace(".query.", ".qkv.")] = torch.cat([renamed.pop(part) for part in parts])
    renamed.setdefault("mask_token", torch.empty(0))  # by which timm knows DINOv2
    return renamed


def _body(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A state dict without the head, which a file may lack."""
    return {key: value for key, value in state.items() if not key.startswith(HEADS)}
