"""One image and its mask: every mode and size loads."""

from __future__ import annotations

import struct
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from image_files import COLOURS, RAMP, SIZE, decode, refuse, save
from PIL import Image

from adbench.api.levels import Levels
from adbench.data.decode import fit
from adbench.data.framing import Framing
from adbench.data.image_files import MEGAPIXELS, most_pixels, quiet, to_rgb
from adbench.util.errors import UsageError

NEAREST = Image.Resampling.NEAREST
LANCZOS = Image.Resampling.LANCZOS


def grey(values: np.ndarray) -> np.ndarray:
    return np.stack([values] * 3, axis=2)


def grey_ramp(mode: str) -> Image.Image:
    """Black on the left, the mode's white on the right."""
    ramp = np.repeat(np.array([[0, 255]], np.uint8), 4, axis=0).repeat(3, axis=1)
    if mode in ("I;16", "I;16B"):
        return Image.fromarray((ramp.astype(np.uint16) * 257).astype(">u2" if mode == "I;16B" else "<u2"))
    if mode == "I":
        return Image.fromarray(ramp.astype(np.int32) * 257)
    if mode == "F":
        return Image.fromarray((ramp / 255).astype(np.float32))
    if mode == "1":
        return Image.fromarray(ramp > 0)
    if mode == "P":
        return Image.fromarray(ramp).convert("RGB").convert("P")
    return Image.fromarray(ramp).convert("RGB").convert(mode)


@pytest.mark.parametrize(
    ("mode", "suffix"),
    [
        *[("1", ".png"), ("L", ".png"), ("LA", ".png"), ("P", ".png"), ("RGB", ".png"), ("RGBA", ".PNG")],
        *[("I;16", ".png"), ("I;16", ".TIF"), ("I;16B", ".tif"), ("I", ".tiff"), ("F", ".tif"), ("L", ".JPG")],
        *[("CMYK", ".tif"), ("CMYK", ".jpg"), ("YCbCr", ".jpeg"), ("RGB", ".bmp"), ("P", ".gif"), ("RGB", ".webp")],
    ],
)
def test_every_mode_becomes_rgb(tmp_path, mode, suffix):
    """Black stays black and white stays white, for every mode, suffix and path."""
    path = save(tmp_path / "größe 検査" / f"a b{suffix}", grey_ramp(mode))

    image = decode(path).image

    assert image.shape == (4, 6, 3)
    assert image.dtype == np.uint8
    assert image[:, 0].max() < 8
    assert image[:, -1].min() > 247


def _palette(transparent: bool) -> Image.Image:
    image = Image.fromarray(RAMP // 32 * 32).convert("P")
    if transparent:
        image.info["transparency"] = bytes([0, 128] + [255] * 254)
    return image


def _with_alpha(mode: str) -> Image.Image:
    image = Image.fromarray(COLOURS if mode == "RGBA" else RAMP)
    image.putalpha(Image.fromarray(RAMP))
    return image


KINDS = {
    "grey.png": (Image.fromarray(RAMP), grey(RAMP)),
    "colour.png": (Image.fromarray(COLOURS), COLOURS),
    "colour.bmp": (Image.fromarray(COLOURS), COLOURS),
    "colour.tif": (Image.fromarray(COLOURS), COLOURS),
    "grey16.png": (Image.fromarray(RAMP.astype(np.uint16) * 257), grey(RAMP)),
    "grey16.tiff": (Image.fromarray(RAMP.astype(np.uint16) * 257), grey(RAMP)),
    "grey16.pgm": (Image.fromarray(RAMP.astype(np.int32) * 257), grey(RAMP)),
    "grey32of8.tif": (Image.fromarray(RAMP.astype(np.int32)), grey(RAMP)),
    "grey32of16.tif": (Image.fromarray(RAMP.astype(np.int32) * 257), grey(RAMP)),
    "float.tif": (Image.fromarray(RAMP.astype(np.float32) / 255), grey(RAMP)),
    "float255.tif": (Image.fromarray(RAMP.astype(np.float32)), grey(RAMP)),
    "palette.png": (_palette(False), grey(RAMP // 32 * 32)),
    "palette.gif": (_palette(False), grey(RAMP // 32 * 32)),
    "transparent.png": (_palette(True), grey(RAMP // 32 * 32)),
    "rgba.png": (_with_alpha("RGBA"), COLOURS),
    "la.png": (_with_alpha("LA"), grey(RAMP)),
    "bits.png": (Image.fromarray(RAMP > 99), grey(np.where(RAMP > 99, 255, 0))),
    "capitals.PNG": (Image.fromarray(COLOURS), COLOURS),
    "größe mit Lücken/图 片.png": (Image.fromarray(COLOURS), COLOURS),
}


@pytest.mark.parametrize("name", KINDS)
def test_kinds_of_images(name, tmp_path):
    """Every lossless mode and format gives the drawn RGB image, without a warning."""
    image, expected = KINDS[name]
    path = tmp_path / name
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert np.array_equal(expected, decode(path, framing=Framing(SIZE)).image)


@given(peak=st.integers(0, 65535))
@settings(max_examples=30, deadline=None)
def test_16_bits_do_not_depend_on_the_content(peak):
    """With levels, a pixel of a 16-bit image has the same brightness whatever else is in the image."""
    values = np.full((2, 2), 200, np.uint16)
    values[1, 1] = peak
    found = np.asarray(to_rgb(Image.fromarray(values), Levels(0, 65535)))
    assert (found[0, 0] == 1).all()
    assert (found[1, 1] == round(peak / 257)).all()


def test_12_bits(tmp_path):
    """A TIFF with 12 bits is white at 4095."""
    tags = [(256, 4, 2), (257, 4, 1), (258, 3, 12), (259, 3, 1), (262, 3, 1), (273, 4, 8), (278, 4, 1), (279, 4, 3)]
    entries = b"".join(struct.pack("<HHII", tag, kind, 1, value) for tag, kind, value in tags)
    pixels = bytes([0xFF, 0xF8, 0x00])  # 4095 and 2048
    path = tmp_path / "12.tif"
    path.write_bytes(b"II*\0" + struct.pack("<I", 12) + pixels + b"\0" + struct.pack("<H", 8) + entries + bytes(4))
    assert decode(path, framing=Framing((1, 2))).image[0, :, 0].tolist() == [255, 128]


@pytest.mark.parametrize(("white", "factor"), [(1.0, 1), (255.0, 255), (65535.0, 65535)])
def test_float_grey_ends_at_one_of_three_whites(white, factor):
    """Floats up to 1, 255 and 65535 give the same image; NaN is black."""
    values = np.array([[0, 0.2, 1.0, np.nan]], np.float32) * factor

    assert np.asarray(to_rgb(Image.fromarray(values)))[0, :, 0].tolist() == [0, 51, 255, 0]


def test_values_without_a_meaning(tmp_path):
    """Values without a meaning as brightness are refused by name."""
    path = save(tmp_path / "odd.tif", np.array([[0, float("inf")]], np.float32))

    problem = refuse(path)

    assert problem.path == path
    assert problem.found == "infinite grey values"
    assert problem.hint == "Save it as grey or RGB with 8 or 16 bits"


@pytest.mark.parametrize("with_mask", [False, True])
def test_large_images_load_without_a_warning(with_mask, tmp_path, monkeypatch):
    """An image loads without Pillow's warning, whatever Pillow's own limit, which is restored."""
    path = save(tmp_path / "large.png", np.tri(40, dtype=np.uint8))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 500)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with quiet():
            assert decode(path, path if with_mask else None).image.max() == 1
    assert Image.MAX_IMAGE_PIXELS == 500
    assert refuse(path).found.startswith("more pixels than Pillow reads")


def test_images_above_the_limit_are_refused_with_the_option(tmp_path, monkeypatch):
    """The message gives the image's megapixels, the limit, and the option that allows the image."""
    path = save(tmp_path / "huge.png", np.ones((50, 40), np.uint8))
    monkeypatch.setenv(MEGAPIXELS, "0.0019")
    with quiet():
        problem = refuse(path)
    assert problem.found == "40x50 = 0.002 megapixels, but at most 0.0019 are read"
    assert problem.hint == "If you trust the file, use --max-megapixels 1"
    monkeypatch.setenv(MEGAPIXELS, "0.002")
    assert decode(path).size == (50, 40)


@pytest.mark.parametrize("value", ["many", "-1", "nan", "0"])
def test_a_limit_that_is_no_number_is_a_mistake(value, monkeypatch):
    """The environment variable is checked where it is used."""
    monkeypatch.setenv(MEGAPIXELS, value)
    with pytest.raises(UsageError, match=rf"ADBENCH_MAX_MEGAPIXELS: found '{value}', wanted a positive number"):
        most_pixels()


def test_without_an_option_the_limit_is_pillows(monkeypatch):
    """Twice its ``MAX_IMAGE_PIXELS``, above which Pillow raises."""
    monkeypatch.delenv(MEGAPIXELS, raising=False)
    assert most_pixels() == 2 * 89_478_485


# ---------------------------------------------------------------- geometry


def test_images_are_resized_by_lanczos_and_masks_by_nearest(tmp_path):
    """Both equal Pillow's results, and the image's own size is kept."""
    random = np.random.default_rng(0)
    pixels = random.integers(0, 256, (31, 47, 3), dtype=np.uint8)
    mask = (random.random((31, 47)) > 0.7).astype(np.uint8) * 255

    done = decode(save(tmp_path / "a.png", pixels), save(tmp_path / "m.png", mask), framing=Framing((16, 24)))

    assert done.size == (31, 47)
    assert np.array_equal(done.image, np.asarray(Image.fromarray(pixels).resize((24, 16), LANCZOS)))
    assert np.array_equal(done.mask, np.asarray(Image.fromarray(mask).resize((24, 16), NEAREST)) > 0)


@settings(max_examples=60, deadline=None)
@given(
    source=st.tuples(st.integers(1, 90), st.integers(1, 90)),
    target=st.tuples(st.integers(1, 40), st.integers(1, 40)),
    resize=st.sampled_from(["stretch", "crop"]),
)
def test_any_shape_fits_into_any_other(source, target, resize):
    """Height and width are the wanted ones, whatever the aspect ratio."""
    image = Image.new("RGB", (source[1], source[0]), (9, 8, 7))

    fitted = np.asarray(fit(image, Framing(target, resize), "lanczos"))

    assert fitted.shape == (*target, 3)
    assert (fitted == (9, 8, 7)).all()


@pytest.mark.parametrize(("height", "width"), [(40, 120), (120, 40)])
def test_crop_keeps_the_centre_and_the_aspect_ratio(height, width):
    """A centred square stays a centred square, and the far ends are cut off."""
    pixels = np.zeros((height, width), np.uint8)
    pixels[height // 2 - 10 : height // 2 + 10, width // 2 - 10 : width // 2 + 10] = 1
    pixels[:5, :5] = 2

    fitted = np.asarray(fit(Image.fromarray(pixels), Framing((20, 20), "crop"), "nearest"))

    assert (fitted == 1).sum() == 10 * 10
    assert (fitted[5:15, 5:15] == 1).all()
    assert fitted.max() == 1


def test_crop_is_torchvisions(tmp_path):
    """A crop equals torchvision's resize of the shorter side and centre crop."""
    from torchvision.transforms import CenterCrop, Compose, InterpolationMode, Resize

    path = save(tmp_path / "wide.png", np.random.default_rng(1).integers(0, 256, (64, 96, 3), dtype=np.uint8))
    with Image.open(path) as image:
        expected = Compose([Resize(32, InterpolationMode.LANCZOS), CenterCrop(32)])(image)
    difference = np.asarray(expected).astype(int) - decode(path, framing=Framing((32, 32), "crop")).image
    assert np.abs(difference).max() <= 1


@pytest.mark.parametrize("resize", ["stretch", "crop"])
@given(
    shape=st.tuples(st.integers(8, 60), st.integers(8, 60)),
    size=st.tuples(st.integers(4, 40), st.integers(4, 40)),
    more=st.tuples(st.integers(0, 12), st.integers(0, 12)),
    place=st.tuples(st.floats(0, 0.6), st.floats(0, 0.6)),
)
@settings(max_examples=60, deadline=None)
def test_masks_lie_on_their_defects(resize, shape, size, more, place):
    """For all shapes, cropped after resizing or not, a mask is where its image's defect is, to a pixel."""
    drawn = np.zeros(shape, np.uint8)
    top, left = (int(part * side) for part, side in zip(place, shape, strict=True))
    drawn[top : top + max(2, shape[0] // 3), left : left + max(2, shape[1] // 3)] = 1
    image = Image.fromarray(drawn * 255)
    framing = Framing(size, resize, (size[0] + more[0], size[1] + more[1]) if any(more) else None)
    soft = np.asarray(fit(image, framing, "bilinear")).astype(float)
    mask = np.asarray(fit(Image.fromarray(drawn), framing, "nearest"))
    assert set(np.unique(mask)) <= {0, 1}
    if mask.any() and soft.any():
        for axis in (0, 1):
            where = np.arange(size[axis])
            centres = [(m.sum(axis=1 - axis) * where).sum() / m.sum() for m in (soft, mask)]
            assert abs(centres[0] - centres[1]) <= 1
