"""Draws anomaly maps: one colour scale for many maps, and the outline of the ground truth on top.

The colours are those of *inferno* (Smith and van der Walt, 2015). Their lightness rises evenly, so that they look the
same in grey and to colour-blind people.
"""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

if TYPE_CHECKING:
    import torch

    from .map_file import MapFile

Bytes = NDArray[np.uint8]
Floats = NDArray[np.floating]

INFERNO = (
    (0, 0, 4), (31, 12, 72), (87, 16, 110), (136, 34, 106), (188, 55, 84), (227, 89, 51), (249, 142, 9),
    (249, 201, 50), (252, 255, 164),
)  # fmt: skip
"""Red, green and blue in even steps from low to high."""

LOW_PERCENTILE, HIGH_PERCENTILE = 50.0, 99.5
"""Percentiles of all pixels: below the first a map is dark, above the second it is brightest."""

STRONGEST = 0.75
"""Share of the colour in the hottest spot of an overlay; the rest is the image."""

UNSEEN = (110, 110, 110)
"""The colour of an image's part that the detector's input did not reach."""

GAP = 4
"""White pixels between two images beside each other."""

WIDE = 1.6
"""Images that are wider than so many times their height are shown below each other."""

Polygon = tuple[tuple[float, float], ...]
"""Corners as (x, y) in pixels; closed."""


@dataclass(frozen=True)
class Scale:
    """The map values that are shown darkest and brightest."""

    low: float
    high: float

    @classmethod
    def of(cls, maps: Floats) -> Scale:
        """The common scale of maps (N, H, W), by percentiles, so that one hot pixel doesn't darken the rest."""
        low, high = np.percentile(maps, [LOW_PERCENTILE, HIGH_PERCENTILE])
        return cls(float(low), float(high))

    @classmethod
    def of_many(cls, maps: torch.Tensor | MapFile) -> Scale:
        """The common scale of a whole test set's maps (N, H, W) on any device, from a sixteenth of the pixels."""
        import torch

        return cls.of(maps[:, ::4, ::4].cpu().numpy() if isinstance(maps, torch.Tensor) else maps.sample())

    @classmethod
    def of_all(cls, maps: Floats | MapFile) -> Scale:
        """The common scale of maps (N, H, W), from all pixels, or from some where they are in a file."""
        return cls.of(maps if isinstance(maps, np.ndarray) else maps.sample())

    def fractions(self, values: Floats) -> Floats:
        """Scale map values to [0, 1]; if the scale has no width, a value above it counts as 1."""
        width = self.high - self.low
        if width <= 0:
            return (values > self.high).astype(np.float32)
        fractions: Floats = np.clip((values - self.low) / width, 0, 1)
        return fractions


def heat(values: Floats, scale: Scale) -> Bytes:
    """Colour a map (H, W) as RGB (H, W, 3); NaN is grey."""
    steps = np.linspace(0, 1, len(INFERNO))
    fractions = scale.fractions(np.nan_to_num(values, nan=scale.low))
    channels = [np.interp(fractions, steps, channel) for channel in np.array(INFERNO).T]
    colours: Bytes = np.rint(np.stack(channels, axis=-1)).astype(np.uint8)
    colours[np.isnan(values)] = UNSEEN
    return colours


def overlay(image: Bytes, values: Floats, mask: Bytes | None, scale: Scale) -> Bytes:
    """Draw a map (H, W) over its image (H, W, 3), hot spots strongest, with the mask's outline.

    Where the map is NaN the image shows as it is.
    """
    share = (STRONGEST * scale.fractions(np.nan_to_num(values, nan=scale.low)))[..., None]
    mixed = np.rint(image * (1 - share) + heat(values, scale) * share).astype(np.uint8)
    return mixed if mask is None else outlined(mixed, mask)


def outlined(image: Bytes, mask: Bytes) -> Bytes:
    """Draw a white line with a black one around it just outside the mask (H, W), so that no defect is covered."""
    from skimage.morphology import dilation

    inside = mask > 0
    once = dilation(inside, np.ones((3, 3), bool))
    twice = dilation(once, np.ones((3, 3), bool))
    drawn: Bytes = image.copy()
    drawn[twice & ~once] = 0
    drawn[once & ~inside] = 255
    return drawn


def polygons(mask: Bytes) -> tuple[Polygon, ...]:
    """Outlines of a mask (H, W) as polygons around its regions and holes, accurate to a third of a pixel."""
    from skimage.measure import approximate_polygon, find_contours

    padded = np.pad(mask > 0, 1).astype(np.float32)  # so that regions at the edge close
    found = [approximate_polygon(line, 0.3) for line in find_contours(padded, 0.5)]
    # find_contours counts from pixel centres, and the padding shifted everything by one
    return tuple(tuple((float(x) - 0.5, float(y) - 0.5) for y, x in line) for line in found if len(line) > 3)


def outline_around(mask: Bytes, distance: int) -> tuple[Polygon, ...]:
    """Outlines as ``polygons``, but ``distance`` pixels outside the mask, so that a line doesn't cover a thin crack."""
    from skimage.morphology import dilation, disk

    return polygons(dilation(mask > 0, disk(distance)).astype(np.uint8))


def beside(first: Bytes, second: Bytes) -> Bytes:
    """Two images of one size (H, W, 3) beside each other, or below each other if they are wide."""
    axis = 0 if first.shape[1] > WIDE * first.shape[0] else 1
    shape = (GAP, first.shape[1], 3) if axis == 0 else (first.shape[0], GAP, 3)
    joined: Bytes = np.concatenate([first, np.full(shape, 255, np.uint8), second], axis=axis)
    return joined


def encode(image: Bytes, side: int, *, quality: int = 80) -> bytes:
    """Write an image (H, W, 3) as WebP, its longer side at most ``side`` pixels."""
    canvas = Image.fromarray(image)
    canvas.thumbnail((side, side), Image.Resampling.LANCZOS)
    stream = io.BytesIO()
    canvas.save(stream, "WEBP", quality=quality, method=4)
    return stream.getvalue()


def legend(scale: Scale, lines: Sequence[str]) -> Bytes:
    """Draw the colour scale with its two values and a few lines of text."""
    bar, line = 18, 14
    ruler = ImageDraw.Draw(Image.new("RGB", (1, 1)))
    lines = [_drawable(text) for text in lines]
    width = max([420, *(math.ceil(ruler.textlength(text)) + 20 for text in lines)])
    canvas = Image.new("RGB", (width, bar + line * (len(lines) + 1) + 30), "white")
    ramp = np.broadcast_to(np.linspace(0, 1, width - 20), (bar, width - 20))
    canvas.paste(Image.fromarray(heat(ramp, Scale(0, 1))), (10, 10))
    draw = ImageDraw.Draw(canvas)
    below = bar + 14
    low, high = f"{scale.low:.4g}", f"{scale.high:.4g}"
    draw.text((10, below), low, fill="black")
    draw.text((width - 10 - draw.textlength(high), below), high, fill="black")
    for number, text in enumerate(lines, 1):
        draw.text((10, below + line * number), text, fill="black")
    return np.asarray(canvas)


def _drawable(text: str) -> str:
    """Replace what the built-in font lacks: a class's name may have line breaks and letters of any script."""
    plain = "".join(letter if letter.isprintable() else " " for letter in text)
    return plain.encode("latin-1", "replace").decode("latin-1")
