"""Writes the anomaly map of a new image over the image, in the image's own shape."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

import numpy as np
from PIL import Image

from ..api.data import Problem
from ..data import image_files
from ..util import files
from ..util.errors import reason
from .overlay import Bytes, Scale, overlay
from .predict import Prediction

LONGEST = 2048
"""Pixels of the longer side; larger images are made smaller."""


class MapWriter:
    """Writes overlays as PNG files below a folder, each under the name of its image.

    Args:
        folder: made if it is missing.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._taken: set[str] = set()

    def write(self, prediction: Prediction, name: str, scale: Scale) -> Path | Problem:
        """Draw a map over its image and write it.

        Args:
            prediction: of a file, with a map.
            name: the path below the folder; its suffix becomes .png, or is kept before it if the name is taken.
            scale: the colours.

        Returns:
            The written file, or what is wrong with the image or the folder.
        """
        image = image_files.read_rgb(Path(prediction.path), prediction.levels)
        if isinstance(image, Problem):
            return image
        place = self.folder / self._free(name)
        drawn = Image.fromarray(in_own_shape(np.asarray(_shrunk(image)), prediction, scale))
        try:
            place.parent.mkdir(parents=True, exist_ok=True)
            files.write(place, lambda stream: drawn.save(stream, "PNG"))
        except OSError as error:
            return Problem(place, f"a map that can't be written ({reason(error)})", "Free some space or permit writing")
        return place

    def _free(self, name: str) -> str:
        inner = PurePosixPath(*(part for part in PurePosixPath(name).parts if part not in ("..", "/")))
        wanted = str(inner.with_suffix(".png"))
        number = 1
        while wanted in self._taken:
            wanted = f"{inner}.png" if number == 1 else f"{inner}-{number}.png"
            number += 1
        self._taken.add(wanted)
        return wanted


def in_own_shape(image: Bytes, prediction: Prediction, scale: Scale) -> Bytes:
    """Draw a map over its image (H, W, 3), which may be a smaller copy; what the model did not see stays as it is."""
    height, width = image.shape[:2]
    full = prediction.full_map(size=(height, width))
    assert full is not None
    return overlay(image, full, None, scale)


def _shrunk(image: Image.Image) -> Image.Image:
    image.thumbnail((LONGEST, LONGEST), Image.Resampling.LANCZOS)
    return image
