"""Pillow's resampling as products with matrices, so that a file can contain what training does to its images.

Pillow resizes rows and columns one after the other, in whole numbers, and rounds to 8 bits after each
(``Image.resize``). A filter is separable, so each of the two is a product with a matrix: (h, H) @ image @ (W, w). An
output pixel weighs the pixels around its place by the filter, which is stretched by the scale where an image becomes
smaller (that is antialiasing). The matrices depend on the image's size alone. They are computed from it inside the
file, or once where it is fixed.

Weights have 22 bits, too many for float32 to add up exactly. So each matrix is two, of the upper and the lower bits of
its weights: their products are whole numbers below 2^24, and come out as Pillow's do, bit by bit.

Pillow 13 begins with the columns if the height shrinks much more than the width, older ones always with the rows. Which
one is installed shows by resizing an image. A file for images of any size does both, and takes what the installed one
does with that size.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from ...api.data import Size
from ...api.options import Interpolation
from ...data.framing import Framing

BITS, HALF = 22, 2048
"""Bits of Pillow's weights, and the unit of their upper half."""

PI_UPPER, PI_LOWER = 3.1415927410125732, math.pi - 3.1415927410125732
"""Pi as the sum of two numbers of float32, since exporters write numbers in that type: pi alone would lose half."""

Part = tuple[Tensor, Tensor, Tensor, Tensor]
"""Left, top, right and bottom in pixels of the image, float64 without dimensions."""


class Preprocessing(nn.Module):
    """Resizes images (B, 3, H, W) of values 0 to 255 to the input's size, with values in [0, 1].

    Args:
        framing: which part is shown, at what size.
        fixed: the only height and width that will come; the matrices are then computed once. None for any.
    """

    down: Tensor
    across: Tensor

    def __init__(self, framing: Framing, fixed: Size | None = None) -> None:
        super().__init__()
        self.framing, self.fixed, self.turns = framing, fixed, pillow_turns()
        self.columns_first = False
        if fixed and framing.interpolation != "bilinear-aliased":
            self.columns_first = self.turns and bool(begins_with_columns(framing.size, sides_of(fixed)))
            down, across = matrices(framing, *sides_of(fixed), *fixed)
            self.register_buffer("down", down, persistent=False)
            self.register_buffer("across", across, persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) -> (B, 3, h, w)."""
        own = (images.shape[2], images.shape[3])
        if self.framing.interpolation == "bilinear-aliased":
            return _aliased(images, self.framing).float() / 255
        down, across = (self.down, self.across) if self.fixed else matrices(self.framing, *sides_of(own), *own)
        if self.fixed or not self.turns:
            return (_columns_first if self.columns_first else _rows_first)(images, down, across) / 255
        begins = begins_with_columns(self.framing.size, sides_of(own))
        return torch.where(begins, _columns_first(images, down, across), _rows_first(images, down, across)) / 255


def sides_of(size: Size) -> tuple[Tensor, Tensor]:
    """Height and width as tensors, float64 without dimensions; in a file they depend on its input."""
    height, width = (torch.full((), side, dtype=torch.float64) for side in size)
    return height, width


def _rows_first(images: Tensor, down: Tensor, across: Tensor) -> Tensor:
    return rounded(down[0] @ (wide := rounded(*(images @ each.T for each in across))), down[1] @ wide)


def _columns_first(images: Tensor, down: Tensor, across: Tensor) -> Tensor:
    narrow = rounded(*(each @ images for each in down))
    return rounded(*(narrow @ each.T for each in across))


def begins_with_columns(size: Size, own: tuple[Tensor, Tensor]) -> Tensor:
    """Whether Pillow 13 resizes the columns first of an image of height and width ``own``: bool without dimensions."""
    shorter, narrower = own[0] - size[0], own[1] - size[1]
    return (shorter > 0) & (2 * narrower < shorter)


@lru_cache(maxsize=1)
def pillow_turns() -> bool:
    """Whether the installed Pillow begins with the columns where ``begins_with_columns``."""
    image = np.random.default_rng(0).integers(0, 2, (40, 20, 3), dtype=np.uint8) * 255
    size = (10, 30)
    wanted = torch.from_numpy(np.array(Image.fromarray(image).resize(size[::-1], Image.Resampling.LANCZOS)))
    own = (image.shape[0], image.shape[1])
    down, across = matrices(Framing(size), *sides_of(own), *own)
    images = torch.from_numpy(image).permute(2, 0, 1).float()
    rows, columns = (
        float((each(images, down, across).permute(1, 2, 0) - wanted).abs().sum())
        for each in (_rows_first, _columns_first)
    )
    return columns < rows


def rounded(upper: Tensor, lower: Tensor) -> Tensor:
    """Grey levels from products with the upper and the lower halves of weights, halves rounded upwards."""
    units = upper + HALF // 2  # of which HALF make a grey level
    whole = (units / HALF).floor()
    rest = units - whole * HALF + lower / HALF
    return (whole + (rest / HALF).floor()).clamp(0, 255)


def matrices(framing: Framing, height: Tensor, width: Tensor, rows: int, columns: int) -> tuple[Tensor, Tensor]:
    """The matrices that resize an image, float32 (2, h, H) for its columns and (2, w, W) for its rows.

    The first of two has the upper halves of the weights, the second one the lower halves.

    Args:
        framing: which part is shown, at what size.
        height: H of the image, float64 without dimensions.
        width: W of the image.
        rows: the height as a number, since that of a tensor can't be read in a file.
        columns: likewise the width.
    """
    left, top, right, bottom = shown_part(framing, height, width)
    kind = framing.interpolation
    down = resampling(kind, framing.size[0], rows, top, bottom)
    across = resampling(kind, framing.size[1], columns, left, right)
    return halves(down), halves(across)


def halves(weights: Tensor) -> Tensor:
    """Weights (N, M) in whole numbers of BITS, as their upper and lower halves: float32 (2, N, M)."""
    whole = (weights * 2**BITS + 0.5).floor()
    upper = (whole / HALF + 0.5).floor()
    return torch.stack([upper, whole - upper * HALF]).float()


def resampling(kind: Interpolation, count: int, length: int, start: Tensor, stop: Tensor) -> Tensor:
    """The matrix that makes ``count`` pixels of the part from ``start`` to ``stop`` of ``length`` pixels.

    Args:
        kind: the interpolation.
        count: number of pixels that come out.
        length: number of pixels of the image.
        start: where the part begins, float64 without dimensions.
        stop: where it ends.

    Returns:
        float64 (count, length).
    """
    start, stop = start.float(), stop.float()  # as Pillow has borders
    scale = (stop - start).double() / count
    centres = start.double() + (torch.arange(count, dtype=torch.float64) + 0.5) * scale
    pixels = torch.arange(length, dtype=torch.float64)
    if kind == "nearest":
        steps = torch.cat([(start.double() + 0.5 * scale).reshape(1), scale.repeat(count - 1)])
        return (pixels == steps.cumsum(0).floor()[:, None]).double()  # Pillow adds up, too, and on edges that shows
    stretch = scale.clamp_min(1)
    weights = FILTERS[kind]((pixels + 0.5 - centres[:, None]) / stretch)
    return weights / weights.sum(1, keepdim=True)


def _aliased(images: Tensor, framing: Framing) -> Tensor:
    """Images (B, 3, H, W) by their four nearest pixels, float64 (B, 3, h, w): in Pillow's order, decimals cut off.

    Pillow computes ``first + (second - first) * share`` in float64, along the rows and then along the columns. A
    product with a matrix would round otherwise where the result is a whole number.
    """
    left, top, right, bottom = shown_part(framing, *sides_of((images.shape[2], images.shape[3])))
    found = images.double()
    for dim, count, start, stop in ((3, framing.size[1], left, right), (2, framing.size[0], top, bottom)):
        places = start + (torch.arange(count, dtype=torch.float64) + 0.5) * ((stop - start) / count) - 0.5
        low, last = places.floor(), images.shape[dim] - 1
        first, second = (found.index_select(dim, each.long().clamp(0, last)) for each in (low, low + 1))
        found = first + (second - first) * (places - low).view(-1, *[1] * (3 - dim))
    return found.floor()


def _bilinear(x: Tensor) -> Tensor:
    return (1 - x.abs()).clamp_min(0)


def _bicubic(x: Tensor) -> Tensor:
    """Keys' cubic with a = -0.5, as Pillow's."""
    near = x.abs()
    inner = (1.5 * near - 2.5) * near * near + 1
    outer = ((near - 5) * near + 8) * near * -0.5 + 2
    return torch.where(near < 1, inner, torch.where(near < 2, outer, 0.0))


def _lanczos(x: Tensor) -> Tensor:
    """Sinc within three periods, windowed by a wider one."""
    return torch.where(x.abs() < 3, _sinc(x) * _sinc(x / 3), 0.0)


def _sinc(x: Tensor) -> Tensor:
    is_zero = x == 0
    x = torch.where(is_zero, 0.5, x)
    angle = x * PI_UPPER + x * PI_LOWER
    return torch.where(is_zero, 1.0, angle.sin() / angle)


FILTERS: dict[str, Callable[[Tensor], Tensor]] = {"lanczos": _lanczos, "bicubic": _bicubic, "bilinear": _bilinear}
"""Pillow's antialiased filters, of the distance in output pixels."""


def shown_part(framing: Framing, height: Tensor, width: Tensor) -> Part:
    """``Framing.shown_part`` for a size that is known only when the file runs; float64 without dimensions."""
    zero = torch.zeros_like(height)
    tall, wide = (float(side) for side in framing.size)
    if framing.resize_to is None:
        if framing.resize == "stretch":
            return zero, zero, width, height
        scale = torch.maximum(wide / width, tall / height)
        across, down = torch.minimum(wide / scale, width), torch.minimum(tall / scale, height)
        left, top = (width - across) / 2, (height - down) / 2
        return left, top, left + across, top + down
    whole_height, whole_width = _resized(framing, height, width)
    top, left = ((whole_height - tall) / 2).round(), ((whole_width - wide) / 2).round()
    down, across = height / whole_height, width / whole_width
    right, bottom = torch.minimum((left + wide) * across, width), torch.minimum((top + tall) * down, height)
    return left * across, top * down, right, bottom


def _resized(framing: Framing, height: Tensor, width: Tensor) -> tuple[Tensor, Tensor]:
    """Height and width of the whole resized image, as ``Framing`` rounds them."""
    assert framing.resize_to is not None
    tall, wide = (torch.zeros_like(height) + float(side) for side in framing.resize_to)
    if framing.resize == "stretch":
        return tall, wide
    by_height = tall * width >= wide * height
    return (
        torch.where(by_height, tall, (wide * height / width).floor()),
        torch.where(by_height, (tall * width / height).floor(), wide),
    )
