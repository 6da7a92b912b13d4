"""Generates the images of ``demo``: crops of three photographed textures, with defects drawn into some of them.

Every image has its own fixed seed, so that each can be made again alone. Only ``demo`` imports this module, and only
to build or to check the images.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Literal

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFilter

Part = Literal["train", "test"]
Grey = npt.NDArray[np.float64]

TEXTURES = ("brick", "grass", "gravel")

SIDE = 256
"""Height and width of every image."""

CROP = 160
"""Pixels of the photograph across one image."""

REGIONS: dict[Part, tuple[int, int]] = {"train": (0, 308), "test": (308, 512)}
"""Columns of the photograph from which training and test images are cut: no pixel serves both."""

MAX_TURN = 4.0
"""Largest rotation of a crop, in degrees."""

NOTICEABLE = 0.3
"""A pixel belongs to the mask where the defect covers at least this much of it."""

_OVERSAMPLING = 4


@dataclass(frozen=True, eq=False)
class DemoImage:
    """An image, the same image without its defect, and the mask; uint8 (SIDE, SIDE), mask 0 or 255."""

    pixels: npt.NDArray[np.uint8]
    clean: npt.NDArray[np.uint8]
    mask: npt.NDArray[np.uint8] | None = None


def good(texture: str, part: Part, number: int) -> DemoImage:
    """Make one image without a defect."""
    clean = _to_bytes(_crop(texture, part, _random(texture, part, "good", number)))
    return DemoImage(clean, clean)


def defective(texture: str, defect: str, number: int, severity: float) -> DemoImage:
    """Make one test image with a defect.

    Args:
        texture: one of ``TEXTURES``.
        defect: one of ``DEFECTS``.
        number: of the image.
        severity: from 1 (easy to see) down to 0 (hard): changes size and contrast.
    """
    random = _random(texture, "test", defect, number)
    image = _crop(texture, "test", random)
    clean = _to_bytes(image)
    cover, content = DEFECTS[defect](image, texture, severity, random)
    pixels = _to_bytes(image + cover * (content - image))
    return DemoImage(pixels, clean, np.where(cover >= NOTICEABLE, 255, 0).astype(np.uint8))


def _random(texture: str, part: Part, kind: str, number: int) -> np.random.Generator:
    kinds = ("good", *DEFECTS)
    return np.random.default_rng([TEXTURES.index(texture), list(REGIONS).index(part), kinds.index(kind), number])


def _to_bytes(image: Grey) -> npt.NDArray[np.uint8]:
    return np.clip(np.rint(image), 0, 255).astype(np.uint8)


@cache
def region(texture: str, part: Part) -> Image.Image:
    """The columns of a photograph that belong to one part; scikit-image ships these three in its package."""
    from skimage import data

    photograph = getattr(data, texture)()
    left, right = REGIONS[part]
    return Image.fromarray(np.ascontiguousarray(photograph[:, left:right]))


def _crop(texture: str, part: Part, random: np.random.Generator, *, across: float = CROP) -> Grey:
    """Cut a square out of a region: slightly rotated, perhaps mirrored, in slightly other light."""
    source = region(texture, part)
    turn = math.radians(random.uniform(-MAX_TURN, MAX_TURN))
    reach = across / 2 * (math.cos(turn) + abs(math.sin(turn))) + 1
    x = random.uniform(reach, source.width - reach)
    y = random.uniform(reach, source.height - reach)
    mirror = -1 if random.random() < 0.5 else 1
    scale = across / SIDE
    a, b = mirror * scale * math.cos(turn), scale * math.sin(turn)
    c, d = -mirror * scale * math.sin(turn), scale * math.cos(turn)
    middle = SIDE / 2
    matrix = (a, b, x - (a + b) * middle, c, d, y - (c + d) * middle)
    turned = source.transform((SIDE, SIDE), Image.Transform.AFFINE, matrix, Image.Resampling.BICUBIC)
    image = np.asarray(turned, dtype=np.float64)
    contrast, brightness = random.uniform(0.94, 1.06), random.uniform(-5, 5)
    mean = float(image.mean())
    return (image - mean) * contrast + (mean + brightness)


# ---------------------------------------------------------------- defects
# Each returns the cover, from 0 to 1, and the content that shows where the cover is 1; both (SIDE, SIDE).


def _scratch(image: Grey, texture: str, severity: float, random: np.random.Generator) -> tuple[Grey, Grey]:
    """A bent line of one shade, lighter or darker than the texture below it."""
    length, width = 100 + 60 * severity, 4 + 4 * severity
    direction, bend = random.uniform(0, 2 * math.pi), random.uniform(-0.3, 0.3) * length
    middle = _place(random, length / 2)
    along = np.array([math.cos(direction), math.sin(direction)])
    across = np.array([-along[1], along[0]])
    steps = np.linspace(-1, 1, 60)[:, None]
    points = middle + steps * along * length / 2 + (1 - steps**2) * across * bend / 2
    large = Image.new("L", (SIDE * _OVERSAMPLING,) * 2)
    line = [(float(x), float(y)) for x, y in points * _OVERSAMPLING]
    ImageDraw.Draw(large).line(line, fill=255, width=round(width * _OVERSAMPLING), joint="curve")
    cover = np.asarray(large.reduce(_OVERSAMPLING), dtype=np.float64) / 255
    return cover, np.full_like(image, _shade(image, 80 + 40 * severity, random))


def _stain(image: Grey, texture: str, severity: float, random: np.random.Generator) -> tuple[Grey, Grey]:
    """A soft blot, lighter or darker; the texture shows through."""
    cover = _blob(random, 22 + 18 * severity, edge=5)
    paint = _shade(image, 75 + 35 * severity, random)
    return cover, image + (0.7 + 0.25 * severity) * (paint - image)


def _hole(image: Grey, texture: str, severity: float, random: np.random.Generator) -> tuple[Grey, Grey]:
    """A dark hollow with a rough edge."""
    cover = _blob(random, 11 + 14 * severity, edge=2)
    depth = 0.3 - 0.2 * severity
    return cover, np.full_like(image, image.mean() * depth) + random.normal(0, 4, image.shape)


def _patch(image: Grey, texture: str, severity: float, random: np.random.Generator) -> tuple[Grey, Grey]:
    """A piece of another texture, nearer to the camera, in this one's light."""
    others = [name for name in TEXTURES if name != texture]
    other = _crop(others[random.integers(len(others))], "test", random, across=CROP * 0.45)
    other = (other - other.mean()) / other.std() * image.std() + image.mean()
    cover = _blob(random, 20 + 20 * severity, edge=2)
    return cover, other


def _blur(image: Grey, texture: str, severity: float, random: np.random.Generator) -> tuple[Grey, Grey]:
    """A smeared spot, placed where the texture has contrast."""
    radius = 2.2 + 4 * severity
    smeared = np.asarray(Image.fromarray(_to_bytes(image)).filter(ImageFilter.GaussianBlur(radius)), np.float64)
    covers = [_blob(random, 22 + 20 * severity, edge=3) for _ in range(6)]
    return max(covers, key=lambda cover: float((cover * abs(smeared - image)).sum())), smeared


def _shade(image: Grey, contrast: float, random: np.random.Generator) -> float:
    """A random shade that differs from the image's mean by ``contrast``, lighter or darker."""
    return float(image.mean()) + (contrast if random.random() < 0.5 else -contrast)


def _place(random: np.random.Generator, reach: float) -> npt.NDArray[np.float64]:
    """A random point (x, y) from which a defect of this reach stays inside the image, where possible."""
    margin = min(reach + 6, SIDE / 2 - 20)
    return random.uniform(margin, SIDE - margin, 2)


def _blob(random: np.random.Generator, radius: float, *, edge: float) -> Grey:
    """The cover of a roundish shape with a wavy outline; it falls from 1 to 0 over ``edge`` pixels."""
    x, y = _place(random, radius * 1.3)
    rows, columns = np.mgrid[:SIDE, :SIDE].astype(np.float64)
    distance = np.hypot(columns - x, rows - y)
    angle = np.arctan2(rows - y, columns - x)
    outline = np.full_like(angle, 1.0)
    for waves in (2, 3, 5):
        outline += random.uniform(0.03, 0.3 / waves) * np.cos(waves * angle + random.uniform(0, 2 * math.pi))
    cover: Grey = np.clip((radius * outline - distance) / edge + 0.5, 0, 1)
    return cover


Draw = Callable[[Grey, str, float, np.random.Generator], tuple[Grey, Grey]]

DEFECTS: dict[str, Draw] = {"blur": _blur, "hole": _hole, "patch": _patch, "scratch": _scratch, "stain": _stain}
