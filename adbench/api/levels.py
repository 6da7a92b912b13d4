"""Levels: which values of an image stand for black and for white, where it has more than 8 bits."""

from __future__ import annotations

import math
from dataclasses import dataclass

from ..util.errors import OptionError

DARK = 32
"""Brightest value of 255 below which an image counts as nearly black."""


@dataclass(frozen=True)
class Levels:
    """The values that stand for black and white in images of more than 8 bits; what lies beyond is clipped.

    Images of 8 bits don't depend on them. All images of a model are read with the same levels.

    Attributes:
        black: becomes 0 of 255.
        white: becomes 255 of 255.
    """

    black: float
    white: float

    @classmethod
    def parse(cls, text: str, option: str = "--range") -> Levels:
        """Read "0:4095".

        Raises:
            OptionError: it isn't two finite numbers, the lower one first.
        """
        try:
            black, white = (float(part) for part in text.split(":"))
        except ValueError:
            black = white = math.nan
        if not (math.isfinite(black) and math.isfinite(white) and black < white):
            raise OptionError(option, found=f"'{text}'", wanted="BLACK:WHITE, such as 0:4095")
        return cls(black, white)

    @property
    def is_known(self) -> bool:
        """Whether anything says what is white; see ``UNKNOWN``."""
        return self.black < self.white

    @property
    def text(self) -> str:
        """As the option ``--range`` takes it: "0:4095"."""
        return f"{self.black:.9g}:{self.white:.9g}"

    def clips(self, low: float, high: float) -> bool:
        """Whether values from ``low`` to ``high`` reach beyond."""
        return low < self.black or high > self.white

    def darkens(self, high: float) -> bool:
        """Whether an image with values up to ``high`` is nearly black: of another kind than the range was found for."""
        return (high - self.black) / (self.white - self.black) < DARK / 255


UNKNOWN = Levels(0, 0)
"""Levels of images of which nothing says what is white: those of more than 8 bits are refused."""
