"""DRAEM's two networks, with the names of the authors' checkpoints (arXiv 2108.07610, section 3)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ..flows import at_least_float32

HALVINGS = 5
"""How often the discriminative network halves an image: sides are multiples of 2 to this power."""


def block(inputs: int, middle: int, outputs: int) -> nn.Sequential:
    """Two convolutions of 3 x 3, each with batch norm."""
    return nn.Sequential(*_layer(inputs, middle), *_layer(middle, outputs))


def enlarging(inputs: int, outputs: int) -> nn.Sequential:
    """Twice the size, and a convolution of 3 x 3 with batch norm."""
    return nn.Sequential(nn.UpsamplingBilinear2d(scale_factor=2), *_layer(inputs, outputs))


def _layer(inputs: int, outputs: int) -> tuple[nn.Module, ...]:
    return nn.Conv2d(inputs, outputs, kernel_size=3, padding=1), nn.BatchNorm2d(outputs), nn.ReLU(inplace=True)


class Encoder(nn.Module):
    """Blocks ``block1``, ``block2`` ..., each at half the size of the one before."""

    def __init__(self, inputs: int, widths: Sequence[int]) -> None:
        super().__init__()
        for number, (before, width) in enumerate(zip((inputs, *widths), widths, strict=False), start=1):
            self.add_module(f"block{number}", block(before, width, width))

    def forward(self, images: Tensor) -> list[Tensor]:
        """(B, inputs, H, W) -> the output of each block, (B, widths[i], H / 2^i, W / 2^i)."""
        found: list[Tensor] = []
        for each in self.children():
            found.append(each(nn.functional.max_pool2d(found[-1], 2) if found else images))
        return found


class Reconstructive(nn.Module):
    """An autoencoder that restores the good image: 4 halvings, and no way around the code."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.encoder = Encoder(3, [width, 2 * width, 4 * width, 8 * width, 8 * width])
        self.decoder = Decoder(width)

    def forward(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) -> the same shape, float32."""
        restored: Tensor = self.decoder(self.encoder(images)[-1])
        return restored


class Decoder(nn.Module):
    """Four enlargements of a code, each with a block."""

    def __init__(self, width: int) -> None:
        super().__init__()
        plan = ((8, 8, 4), (4, 4, 2), (2, 2, 1), (1, 1, 1))  # inputs, middle and outputs of the blocks, in widths
        for number, (inputs, middle, outputs) in enumerate(plan, start=1):
            self.add_module(f"up{number}", enlarging(inputs * width, inputs * width))
            self.add_module(f"db{number}", block(inputs * width, middle * width, outputs * width))
        self.fin_out = nn.Sequential(nn.Conv2d(width, 3, kernel_size=3, padding=1))

    def forward(self, code: Tensor) -> Tensor:
        """(B, 8 width, h, w) -> (B, 3, 16 h, 16 w), float32."""
        *layers, last = self.children()
        for layer in layers:
            code = layer(code)
        return _exactly(last, code)


class Discriminative(nn.Module):
    """A U-Net that sees the reconstruction and the image."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.encoder_segment = Encoder(6, [width, 2 * width, 4 * width, *[8 * width] * 3])
        self.decoder_segment = SkipDecoder(width)

    def forward(self, pairs: Tensor) -> Tensor:
        """Reconstruction and image (B, 6, H, W) -> logits of good and anomalous (B, 2, H, W), float32."""
        logits: Tensor = self.decoder_segment(self.encoder_segment(pairs))
        return logits


class SkipDecoder(nn.Module):
    """Five enlargements, each joined with the encoder's features of its size."""

    def __init__(self, width: int) -> None:
        super().__init__()
        plan = (("b", 8, 8, 8), ("1", 8, 4, 8), ("2", 4, 2, 4), ("3", 2, 1, 2), ("4", 1, 1, 1))
        for name, inputs, outputs, skipped in plan:  # channels in widths; those that skip come from the encoder
            self.add_module(f"up_{name}" if name == "b" else f"up{name}", enlarging(inputs * width, outputs * width))
            joined = block((outputs + skipped) * width, outputs * width, outputs * width)
            self.add_module(f"db_{name}" if name == "b" else f"db{name}", joined)
        self.fin_out = nn.Sequential(nn.Conv2d(width, 2, kernel_size=3, padding=1))

    def forward(self, levels: Sequence[Tensor]) -> Tensor:
        """The six outputs of the encoder, from fine to coarse -> (B, 2, H, W), float32."""
        *layers, last = self.children()
        *skips, found = levels
        for larger, joined, skip in zip(layers[::2], layers[1::2], reversed(skips), strict=True):
            found = joined(torch.cat((larger(found), skip), dim=1))
        return _exactly(last, found)


def _exactly(layer: nn.Module, features: Tensor) -> Tensor:
    """The last layer in float32: bf16 would round different scores to the same."""
    with torch.autocast(features.device.type, enabled=False):
        found: Tensor = layer(at_least_float32(features))
    return found


def initialise(module: nn.Module) -> None:
    """Draw the weights of convolutions around 0 and those of batch norm around 1, with a deviation of 0.02."""
    if isinstance(module, nn.Conv2d):
        nn.init.normal_(module.weight, 0.0, 0.02)
    elif isinstance(module, nn.BatchNorm2d):
        nn.init.normal_(module.weight, 1.0, 0.02)
        nn.init.zeros_(module.bias)
