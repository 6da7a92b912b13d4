"""Framing: how an image is resized to the input's size or cut into tiles of it, and which part of it is shown."""

from __future__ import annotations

from dataclasses import dataclass

from ..api.data import EvalSize, Size
from ..api.options import Interpolation, Options, Resize
from .tiling import Grid

Box = tuple[float, float, float, float]
"""A part of an image, in its pixels: left, top, right, bottom."""


@dataclass(frozen=True)
class Framing:
    """How images are resized to ``size``, the height and width of the input.

    Attributes:
        size: size of the part that is cut out of the centre of the resized image.
        resize: "stretch" ignores the aspect ratio, "crop" keeps it.
        resize_to: height and width to which the whole image is stretched, or which it covers with "crop"; None for
            ``size``. With tiles: what they are cut out of, fitted as without tiles; None for the image's own pixels.
        interpolation: how pixels are computed.
        overlap: pixels that neighbouring tiles of ``size`` have in common; None where images are not cut into tiles.
    """

    size: Size
    resize: Resize = "stretch"
    resize_to: Size | None = None
    interpolation: Interpolation = "lanczos"
    overlap: int | None = None

    @classmethod
    def of(cls, options: Options) -> Framing:
        """The framing in a method's options."""
        overlap = None if options.tile is None else options.overlap
        return cls(options.size, options.resize, options.resize_to, options.interpolation, overlap)

    @property
    def is_tiled(self) -> bool:
        """Whether images are cut into tiles."""
        return self.overlap is not None

    def grid(self, own: Size) -> Grid:
        """The tiles of an image of height and width ``own``."""
        assert self.overlap is not None
        return Grid(self.resize_to or own, self.size, self.overlap)

    def of_whole(self, own: Size) -> Framing:
        """The framing of a whole image of height and width ``own``, before it is cut into tiles; else the same."""
        if not self.is_tiled:
            return self
        return Framing(self.resize_to or own, self.resize if self.resize_to else "stretch", None, self.interpolation)

    def compared(self, eval_size: EvalSize | None) -> EvalSize | None:
        """The size at which maps are compared with masks: None for the input's, which the maps of tiles don't have."""
        return (self.resize_to or "native") if eval_size is None and self.is_tiled else eval_size

    @property
    def facts(self) -> tuple[object, ...]:
        """Facts that name decoded images; for a framing of adbench 0.1 they are the same as there."""
        later = (self.resize_to, self.interpolation)
        tiled = ("tiles", self.overlap) if self.is_tiled else ()
        return (self.size, self.resize, *(later if later != (None, "lanczos") else ()), *tiled)

    def shown_part(self, own: Size) -> Box:
        """The part that is shown of an image of height and width ``own``."""
        if self.is_tiled:
            return self.of_whole(own).shown_part(own)
        if self.resize_to is None:
            return self._fitted(own)
        height, width = self._resized(own)
        top, left = (round((whole - part) / 2) for whole, part in zip((height, width), self.size, strict=True))
        down, across = own[0] / height, own[1] / width
        right, bottom = min((left + self.size[1]) * across, own[1]), min((top + self.size[0]) * down, own[0])
        return left * across, top * down, right, bottom

    def _fitted(self, own: Size) -> Box:
        """The largest part around the centre with the aspect ratio of ``size``; with "stretch" the whole image."""
        if self.resize == "stretch":
            return 0, 0, own[1], own[0]
        scale = max(self.size[1] / own[1], self.size[0] / own[0])
        across, down = min(self.size[1] / scale, own[1]), min(self.size[0] / scale, own[0])
        left, top = (own[1] - across) / 2, (own[0] - down) / 2
        return left, top, left + across, top + down

    def _resized(self, own: Size) -> Size:
        """Height and width of the whole resized image, in whole pixels as torchvision's ``Resize`` rounds them."""
        assert self.resize_to is not None
        height, width = self.resize_to
        if self.resize == "stretch":
            return height, width
        if height * own[1] >= width * own[0]:  # the height needs the larger scale
            return height, int(height * own[1] / own[0])
        return int(width * own[0] / own[1]), width
