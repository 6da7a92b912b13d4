"""Textures that synthetic anomalies are painted with: a folder of images, or photographs that scikit-image has.

DRAEM (arXiv 2108.07610) and GLASS (arXiv 2407.09359) take whole images of the Describable Textures Dataset, 5640 of
them. Without such a folder, random crops of 15 photographs must do. Nothing is downloaded for them, and importing this
module imports neither torch nor an image library.
"""

from __future__ import annotations

from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

from adbench.api import Auxiliary, Size, TaskError, reason

if TYPE_CHECKING:
    from collections.abc import Sequence

    from PIL import Image
    from torch import Tensor

    from .pictures import Pictures


def _check(folder: Path, options: object) -> Sequence[str]:
    from . import pictures

    return pictures.checked(TEXTURES.name, folder)


TEXTURES = Auxiliary(
    name="textures",
    purpose="images that synthetic anomalies are painted with, such as the Describable Textures Dataset",
    source="https://www.robots.ox.ac.uk/~vgg/data/dtd/",
    licence="for research only",
    kind="folder",
    without="crops of 15 photographs of scikit-image are used, which vary less than the 5640 published textures",
    needed=lambda options: False,
    check=_check,
)

PHOTOGRAPHS = (
    "astronaut.png", "camera.png", "cell.png", "chelsea.png", "coffee.png", "coins.png", "hubble_deep_field.jpg",
    "ihc.png", "moon.png", "motorcycle_left.png", "motorcycle_right.png", "page.png", "retina.jpg", "rocket.jpg",
    "text.png",
)  # fmt: skip
"""Files in scikit-image's package. Its brick, grass and gravel are left out: the test images of the data set ``demo``
are cut from these photographs, and training sees no pixel of a test image."""

SMALLEST = 0.25
"""Sides of a crop as a share of the longest possible ones, at least."""


class Textures:
    """A source of textures of one size.

    Args:
        size: height and width of a texture.
        folder: a folder with images at any depth; None for the photographs.

    Raises:
        DataError: the folder has no readable picture.
    """

    def __init__(self, size: Size, folder: Path | None = None) -> None:
        self.size = size
        self._folder: Pictures | None = None
        if folder is not None:
            from .pictures import readable

            self._folder = readable(folder, thing=f"--aux {TEXTURES.name}={folder}")
        self._photographs: dict[str, Image.Image] = {}

    def draw(self) -> Tensor:
        """Draw a texture by torch's global generator: uint8 RGB (3, H, W) on the CPU.

        Raises:
            DataError: a file that can't be opened any more.
            TaskError: scikit-image lacks one of its photographs.
        """
        import numpy as np
        import torch
        from PIL import Image

        if self._folder is not None:
            image = self._folder.draw(int(torch.randint(len(self._folder.files), ())), self._resized)
        else:
            image = self._cropped(PHOTOGRAPHS[int(torch.randint(len(PHOTOGRAPHS), ()))], torch.rand(4).tolist())
            turns = int(torch.randint(4, ()))
            mirrored = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if turns % 2 else image
            image = mirrored.transpose(Image.Transpose.FLIP_TOP_BOTTOM) if turns > 1 else mirrored
        return torch.from_numpy(np.array(image)).permute(2, 0, 1)

    def _resized(self, file: Path) -> Image.Image:
        """The whole image, stretched."""
        from PIL import Image

        height, width = self.size
        with Image.open(file) as image:
            image.draft("RGB", (width, height))  # JPEG's decoder halves large images itself
            return image.convert("RGB").resize((width, height), Image.Resampling.BILINEAR)

    def _cropped(self, name: str, draws: Sequence[float]) -> Image.Image:
        """A crop of a photograph, by four numbers from 0 to 1: side, stretching, left and top."""
        from PIL import Image

        photograph = self._photograph(name)
        height, width = self.size
        side, stretched, left, top = draws
        longest = min(photograph.height / height, photograph.width / width)  # pixels of the photograph for one
        tall = wide = longest * (SMALLEST + (1 - SMALLEST) * side)
        if stretched > 0.5:
            tall *= 1.5 - stretched
        else:
            wide *= 0.5 + stretched
        tall, wide = tall * height, wide * width
        x, y = left * (photograph.width - wide), top * (photograph.height - tall)
        return photograph.resize((width, height), Image.Resampling.BILINEAR, box=(x, y, x + wide, y + tall))

    def _photograph(self, name: str) -> Image.Image:
        from PIL import Image

        if name not in self._photographs:
            file = resources.files("skimage.data").joinpath(name)
            try:
                with file.open("rb") as stream:
                    self._photographs[name] = Image.open(stream).convert("RGB")
            except OSError as error:
                raise TaskError(
                    f"scikit-image's photograph {name}",
                    found=reason(error),
                    wanted="the file in its package",
                    hint="Install scikit-image again, or give --aux textures=DIR",
                ) from error
        return self._photographs[name]
