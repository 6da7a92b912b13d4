"""Framing: how an image is resized to the input's size, and which part of it is shown."""

from __future__ import annotations

from dataclasses import dataclass

from ..api.data import Size
from ..api.options import Interpolation, Options, Resize

Box = tuple[float, float, float, float]
"""A part of an image, in its pixels: left, top, right, bottom."""


@dataclass(frozen=True)
class Framing:
    """How images are resized to ``size``, the height and width of the input.

    Attributes:
        size: size of the part that is cut out of the centre of the resized image.
        resize: "stretch" ignores the aspect ratio, "crop" keeps it.
        resize_to: height and width to which the whole image is stretched, or which it covers with "crop"; None for
            ``size``.
        interpolation: how pixels are computed.
    """

    size: Size
    resize: Resize = "stretch"
    resize_to: Size | None = None
    interpolation: Interpolation = "lanczos"

    @classmethod
    def of(cls, options: Options) -> Framing:
        """The framing in a method's options."""
        return cls(options.size, options.resize, options.resize_to, options.interpolation)

    @property
    def facts(self) -> tuple[object, ...]:
        """Facts that name decoded images; for a framing of adbench 0.1 they are the same as there."""
        later = (self.resize_to, self.interpolation)
        return (self.size, self.resize, *(later if later != (None, "lanczos") else ()))

    def shown_part(self, own: Size) -> Box:
        """The part that is shown of an image of height and width ``own``."""
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
