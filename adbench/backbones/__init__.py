"""Backbones: networks that turn images into features.

Names are imported on first use, so that ``adbench list backbones`` needs no torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..api.backbone_table import BackboneInfo, backbone_names, describe
    from . import weights
    from .registry import Backbone, from_options, load
    from .weights import file_digest

__all__ = [
    "Backbone",
    "BackboneInfo",
    "backbone_names",
    "describe",
    "file_digest",
    "from_options",
    "load",
    "weights",
]

_MODULES = {
    "Backbone": ".registry",
    "from_options": ".registry",
    "load": ".registry",
    "BackboneInfo": "..api.backbone_table",
    "backbone_names": "..api.backbone_table",
    "describe": "..api.backbone_table",
    "file_digest": ".weights",
}


def __getattr__(name: str) -> Any:
    from importlib import import_module

    if name == "weights":
        return import_module(".weights", __name__)
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_MODULES[name], __name__), name)
