"""A grid of test images: the image, its ground truth, and the maps of several runs over it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ...run.montage import Montage, Row
from ...util.text import plural
from .style import new_figure, shown

if TYPE_CHECKING:
    from matplotlib.figure import Figure

GAP = 0.04
"""Inches between two images."""

SIDE, TOP, LINE = 0.16, 0.08, 0.14
"""Inches at the left for the types of defects, at the top, and for a line of a title."""

LETTER = 0.062
"""Inches, about the width of a letter of a title."""


def draw(montage: Montage, *, width: float = 7.0) -> Figure:
    """Draw a row for each image, in its own shape, all images of a column of one width.

    Defects are white in the ground truth. The colours of the maps get lighter from low to high, so that they can be
    read in grey.

    Args:
        montage: the images and their maps.
        width: of the figure in inches.
    """
    masked = any(row.mask is not None for row in montage.rows)
    titles = ["image", *(["ground truth"] if masked else []), *map(shown, montage.labels)]
    each = (width - SIDE - GAP * (len(titles) - 1)) / len(titles)
    folded = [_folded(title, max(4, int(each / LETTER))) for title in titles]
    head = TOP + LINE * max(title.count("\n") + 1 for title in folded)
    heights = [each * row.image.shape[0] / row.image.shape[1] for row in montage.rows]
    height = head + sum(heights) + GAP * len(heights)
    figure = new_figure(width, height)
    up = height - head
    for row, tall in zip(montage.rows, heights, strict=True):
        up -= tall
        for number, (title, pixels) in enumerate(zip(folded, _cells(row, masked), strict=True)):
            left = SIDE + number * (each + GAP)
            axes = figure.add_axes((left / width, up / height, each / width, tall / height))
            axes.set_axis_off()
            axes.imshow(pixels, interpolation="none", aspect="auto", cmap="gray", vmin=0, vmax=255)
            if row is montage.rows[0]:
                figure.text((left + each / 2) / width, (up + tall + 0.03) / height, title, ha="center", va="bottom")
        name = shown(row.defect)
        figure.text(0.02 / width, (up + tall / 2) / height, name, rotation=90, ha="left", va="center", fontsize=7)
        up -= GAP
    return figure


def described(montage: Montage) -> str:
    """What the figure shows, in a line: the images, from top to bottom."""
    listed = ", ".join(shown(row.path) for row in montage.rows)
    return f"{plural(len(montage.rows), 'image')}, from top to bottom: {listed}."


def _cells(row: Row, masked: bool) -> list[Any]:
    """The images of a row; a good image's ground truth is black."""
    blank = np.zeros(row.image.shape[:2], np.uint8)
    truth = [blank if row.mask is None else row.mask * np.uint8(255)] if masked else []
    return [row.image, *truth, *row.overlays]


def _folded(title: str, letters: int) -> str:
    """Break a variant's name into lines, after its punctuation."""
    from ..render.folding import fold

    return "\n".join(fold(title, letters))
