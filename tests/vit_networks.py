"""Small vision transformers of timm whose random values all matter, for the tests of backbones."""

from __future__ import annotations

from typing import Any

import torch

CPU = torch.device("cpu")
SMALL = "timm:test_vit"  # 6 blocks of 64 channels, patches of 16 pixels, a class token
TINY = "timm:vit_tiny_patch16_224"
DINOV2 = "timm:vit_small_patch14_dinov2"
REGISTERS = "timm:vit_small_patch14_reg4_dinov2"


def create(name: str, **changes: Any) -> torch.nn.Module:
    """A model of timm whose random values all matter: also norms, tokens and positions are drawn."""
    import timm

    with torch.random.fork_rng():
        torch.manual_seed(7)
        net = timm.create_model(name.removeprefix("timm:"), **changes).eval()
        with torch.no_grad():
            for key, value in net.named_parameters():
                value.add_(torch.randn_like(value) * (0.5 if "embed" in key or "token" in key else 0.05))
    return net


def images(height: int, width: int) -> torch.Tensor:
    return torch.rand(2, 3, height, width, generator=torch.Generator().manual_seed(0))
