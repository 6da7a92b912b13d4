"""Any model of timm (github.com/huggingface/pytorch-image-models) as a backbone: ``timm:NAME``."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ..api.backbone import Network
from ..api.backbone_table import STRIDES, TIMM_PREFIX
from ..util.errors import OptionError, UnknownNameError, UsageError
from . import vit
from . import weights as weights_module
from .extractor import hide_in_state_dict
from .levels import check_layers
from .vit import BlockOptions


class TimmTrunk(nn.Module):
    """Returns a feature model's maps in the order of the layers."""

    def __init__(self, net: nn.Module, order: Sequence[int]) -> None:
        super().__init__()
        self.net = net
        self.order = tuple(order)
        self.channels_behind = "NHWC" in str(getattr(net, "output_fmt", ""))
        hide_in_state_dict(self, "net")

    def forward(self, x: Tensor) -> list[Tensor]:
        """(B, 3, H, W) -> one (B, C, h, w) per layer."""
        maps = self.net(x)
        if self.channels_behind:
            maps = [each.permute(0, 3, 1, 2) for each in maps]
        return [maps[position] for position in self.order]


def build(name: str, blocks: BlockOptions, layers: tuple[int, ...], weights: Path | None, pretrained: bool) -> Network:
    """Build ``timm:NAME``; see ``adbench.api.backbone.Build``. A vision transformer's layers are its blocks.

    Args:
        name: as on the command line.
        blocks: what a vision transformer gives out.
        layers: the outputs.
        weights: a file; None for the published weights.
        pretrained: whether it gets weights.

    Raises:
        UsageError: timm isn't installed, or the model has no feature maps.
        UnknownNameError: timm has no such model.
        OptionError: the model has no level at the stride of a layer, or no such block.
        WeightsError: the weights can't be found or don't fit.
    """
    timm = require(name)
    model = name.removeprefix(TIMM_PREFIX)
    if not timm.is_model(model.partition(".")[0]):
        near = get_close_matches(model, timm.list_models(), n=5, cutoff=0.3)
        raise UnknownNameError("timm model", model, near, hint='See python -c "import timm; timm.list_models()"')
    with torch.random.fork_rng(devices=[]):  # to look at it only
        net = vit.create(timm, model)
    if net is None:
        blocks.refuse(name)
        return _levels(timm, model, name, layers, weights, pretrained)
    if not pretrained:
        net = vit.create(timm, model)
    elif weights is not None:
        vit.load_file(net, name, weights)
    else:
        with _download_hints(name, model), _quiet():
            net = vit.create(timm, model, pretrained=True)
    return vit.network(name, net, blocks, layers)


def _levels(
    timm: Any, model: str, name: str, layers: tuple[int, ...], weights: Path | None, pretrained: bool
) -> Network:
    """A convolutional model, or another one with maps at several strides."""
    check_layers(name, layers)
    with torch.random.fork_rng(devices=[]):
        positions = _positions(_create(timm, model, name), name, layers)
    used = tuple(sorted(set(positions)))
    if pretrained:
        net = _with_weights(timm, model, name, used, weights)
    else:
        net = timm.create_model(model, pretrained=False, features_only=True, out_indices=used)
    channels = dict(zip(used, net.feature_info.channels(), strict=True))
    return Network(
        TimmTrunk(net, [used.index(position) for position in positions]),
        channels=tuple(channels[position] for position in positions),
        strides=tuple(STRIDES[layer - 1] for layer in layers),
        mean=tuple(net.pretrained_cfg["mean"]),
        std=tuple(net.pretrained_cfg["std"]),
    )


def _download_hints(name: str, model: str) -> AbstractContextManager[None]:
    return weights_module.download_hints(name, f"https://huggingface.co/timm/{model}")


def _with_weights(timm: Any, model: str, name: str, used: tuple[int, ...], path: Path | None) -> Any:
    """The feature model with its published weights, or with those of a file."""
    if path is None:
        with _download_hints(name, model), _quiet():
            return timm.create_model(model, pretrained=True, features_only=True, out_indices=used)
    state = weights_module.from_file(path)
    weights_module.check(timm.create_model(model, num_classes=0).state_dict(), state, name=name, path=path)
    overlay = {"state_dict": {key: value.float() for key, value in state.items()}}
    with _quiet():
        return timm.create_model(
            model, pretrained=True, features_only=True, out_indices=used, pretrained_cfg_overlay=overlay
        )


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep timm from warning of the classifier's weights, which are left out on purpose."""
    logger = logging.getLogger("timm")
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(before)


def version(name: str) -> str:
    """The version of timm, another one of which may compute other features. Raises ``UsageError`` without timm."""
    return f"timm={require(name).__version__}"


def require(name: str) -> Any:
    """Import timm for a backbone. Raises ``UsageError`` with the line that installs it."""
    try:
        import timm
    except ImportError as error:
        raise UsageError(f"backbone {name}", found="no timm", hint='pip install -e ".[timm]"') from error
    return timm


def _create(timm: Any, model: str, name: str) -> Any:
    try:
        return timm.create_model(model, pretrained=False, features_only=True)
    except (RuntimeError, AttributeError, AssertionError) as error:
        raise UsageError(f"backbone {name} gives no feature maps", hint="Choose a convolutional model") from error


def _positions(net: Any, name: str, layers: tuple[int, ...]) -> list[int]:
    """Index of each layer among the model's outputs: the last one at its stride."""
    last = {stride: position for position, stride in enumerate(net.feature_info.reduction())}
    there = [layer for layer, stride in enumerate(STRIDES, 1) if stride in last]
    for layer in layers:
        if layer not in there:
            raise OptionError(f"layers of {name}", found=str(layer), wanted=f"some of {there}")
    return [last[STRIDES[layer - 1]] for layer in layers]
