"""Backbones of vision transformers with random weights, from files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from vit_networks import CPU, create

from adbench.backbones import registry


@pytest.fixture(scope="module")
def weights_of(tmp_path_factory) -> Callable[[str], Path]:
    """Files with the weights of ``create``, with the classifier."""
    folder = tmp_path_factory.mktemp("vit")

    def write(name: str) -> Path:
        path = folder / f"{name.removeprefix('timm:')}.pt"
        if not path.exists():
            torch.save(create(name).state_dict(), path)
        return path

    return write


@pytest.fixture
def load(weights_of) -> Callable[..., registry.Backbone]:
    def load_(name: str, **changes: Any) -> registry.Backbone:
        return registry.load(name, **{"weights": weights_of(name), "device": CPU, "layers": (2,), **changes})

    return load_
