"""What counts as a defect pixel: rules for masks, and what a user leaves out. Standard library only.

Every data set has these options beside those of its own reader. They move no image and no label.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from pathlib import Path

from ..util.errors import OptionError, UsageError, absent

AUTO, NONZERO, ALPHA, INVERTED, ABOVE = "auto", "nonzero", "alpha", "inverted", "above:"

RULES = "auto, nonzero, above:N with N from 0 to 254, inverted or alpha"
"""The rules for masks, for messages."""

_ABOVE = re.compile(rf"{ABOVE}(\d{{1,3}})")


@dataclass(frozen=True)
class Marking:
    """What a user asked to count as defect pixels; by default, what the data set defines."""

    mask_rule: str = AUTO
    """What a mask marks: auto (see docs/own-images.md), nonzero, above:N of 255, inverted or alpha."""
    min_defect_area: int = 0
    """Regions of fewer pixels, in the mask's own, count in no metric of pixels; 0 for none."""
    ignore_mask: str | None = None
    """An image that marks the pixels that count in no metric of pixels, or a folder with CLASS.png."""

    def __post_init__(self) -> None:
        limit = threshold(self.mask_rule)
        if limit is None and self.mask_rule not in (AUTO, NONZERO, ALPHA, INVERTED):
            raise OptionError("--mask-rule", found=f"'{self.mask_rule}'", wanted=RULES)
        if limit is not None and limit > 254:
            raise OptionError("--mask-rule", found=f"'{self.mask_rule}'", wanted=RULES, hint="A mask's white is 255")
        if self.min_defect_area < 0:
            raise OptionError("--min-defect-area", found=str(self.min_defect_area), wanted="a number of pixels")

    def ignored_in(self, class_name: str) -> Path | None:
        """The file that marks a class's ignored pixels; None if a folder has none for it.

        Raises:
            UsageError: there is no such file or folder.
        """
        if self.ignore_mask is None:
            return None
        place = Path(self.ignore_mask).expanduser()
        if place.is_dir():
            wanted = unicodedata.normalize("NFC", f"{class_name}.png")  # names of files may be composed in another form
            return next((each for each in place.iterdir() if unicodedata.normalize("NFC", each.name) == wanted), None)
        if not place.is_file():
            found_there = absent(place, "file")
            raise UsageError(f"--ignore-mask {place}", found=found_there, wanted="an image, or a folder with CLASS.png")
        return place


def threshold(rule: str) -> int | None:
    """The value of the rule "above:N"; None for another rule."""
    found = _ABOVE.fullmatch(rule)
    return int(found[1]) if found else None


USUAL = Marking()
"""What the data set defines."""
