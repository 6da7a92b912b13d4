"""Images of more than 8 bits: every kind of file gives its values, and one rule says what is white."""

from __future__ import annotations

import numpy as np
import pytest
import tifffile
from deep_files import png_16
from hypothesis import given
from hypothesis import strategies as st
from image_files import decode, refuse, save
from PIL import Image

from adbench.api.data import Problem, Sample
from adbench.api.levels import UNKNOWN, Levels
from adbench.data import deep, depths, image_files
from adbench.data.decode import decode_sample
from adbench.data.deep import Deep, Depth, levels_for
from adbench.data.framing import Framing

RANDOM = np.random.default_rng(3)


def values_in(path) -> Deep:
    found = image_files.values_of(path, path.read_bytes())
    assert isinstance(found, Deep)
    return found


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_png_of_16_bits_is_read_at_full_depth(channels, tmp_path):
    """Grey and colours, with alpha or without, keep both bytes; alpha is dropped."""
    values = RANDOM.integers(0, 65536, (5, 7, channels), dtype=np.uint16)
    found = values_in(png_16(tmp_path / "a.png", values)).values
    assert np.array_equal(values[:, :, :3] if channels > 2 else values[:, :, 0], found)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("compression", [None, "zlib"])
@pytest.mark.parametrize("kind", ["u2", "i2", "u4", "i4", "f2", "f4", "f8"])
def test_tiff_of_any_numbers_is_read(kind, compression, order, tmp_path):
    """Integers and floats of 16 to 64 bits, grey and RGB, in both orders of bytes, keep their values."""
    for shape, photometric in (((5, 7), "minisblack"), ((5, 7, 3), "rgb")):
        low = 0 if kind[0] == "u" else -100
        values = (RANDOM.random(shape) * 200 + low).astype(kind)
        path = tmp_path / f"{photometric}.tif"
        tifffile.imwrite(path, values, photometric=photometric, compression=compression, byteorder=order)
        assert np.array_equal(values, values_in(path).values)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("compression", [None, "zlib"])
@pytest.mark.parametrize(("kind", "channels"), [("u1", 3), ("u2", 3), ("u2", 4), ("f4", 3)])
def test_a_plane_for_each_colour_is_read_as_pixels_are(kind, channels, compression, order, tmp_path):
    """Such a TIFF has the colours of one whose pixels lie side by side; as a mask, more than 8 bits are refused."""
    values = (RANDOM.random((5, 7, channels)) * 250).astype(kind)
    path = tmp_path / "a.tif"
    alpha = ["unassalpha"] * (channels - 3)
    tifffile.imwrite(
        path, np.moveaxis(values, -1, 0), photometric="rgb", planarconfig="separate", extrasamples=alpha,
        compression=compression, byteorder=order,
    )  # fmt: skip
    if kind == "u1":
        assert np.array_equal(values, np.asarray(image_files.read_image(path)))
        return
    assert np.array_equal(values[:, :, :3], values_in(path).values)
    assert depths.look([path])[path].is_deep
    assert isinstance(image_files.read_image(path), Problem)


@pytest.mark.parametrize("kind", ["u2", "f4"])
@pytest.mark.parametrize("order", ["<", ">"])
def test_white_is_0_is_no_negative(kind, order, tmp_path):
    """A TIFF that says so shows its lowest value as white, within the levels of the data set."""
    path = tmp_path / "a.tif"
    values = np.array([[0, 511.5, 1023]]).astype(kind)
    tifffile.imwrite(path, values, photometric="miniswhite", byteorder=order)
    found = decode_sample(Sample(path, levels=Levels(0, 1023)), Framing((1, 3)))
    assert found.image[0, :, 0].tolist() == [255, 128 if kind == "u2" else 127, 0]


def test_a_tiff_that_nobody_reads_is_a_problem_with_its_reason(tmp_path, capfd):
    """Values of no brightness are named, and nothing is written to standard error."""
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, np.ones((4, 5), np.complex64))
    problem = refuse(path)
    assert problem.found == (
        "a kind of TIFF that can't be read (complex64 values of a kind of colour that adbench does not know)"
    )
    path.write_bytes(path.read_bytes()[:60])
    with image_files.quiet():
        assert isinstance(refuse(path), Problem)
    assert capfd.readouterr().err == ""


def test_images_of_unknown_levels_are_refused(tmp_path):
    """Where no training image says what is white, the hint is the option."""
    path = save(tmp_path / "a.png", np.array([[0, 900]], np.uint16))
    problem = decode_sample(Sample(path, levels=UNKNOWN), Framing((1, 2)))
    assert problem.found == "more than 8 bits, but no training image that says which value is white"
    assert problem.hint == "Give the values of black and white, such as --range 0:4095"
    plain = save(tmp_path / "b.png", np.array([[0, 200]], np.uint8))
    assert decode_sample(Sample(plain, levels=UNKNOWN), Framing((1, 2))).image.max() == 200


def test_values_beyond_the_levels_are_clipped_and_said(tmp_path):
    """Both ends: below black is black, above white is white."""
    path = save(tmp_path / "a.tif", np.array([[-5.0, 0.0, 0.5, 1.2]], np.float32))
    within = decode_sample(Sample(path, levels=Levels(-5, 2)), Framing((1, 4)))
    beyond = decode_sample(Sample(path, levels=Levels(0, 1)), Framing((1, 4)))
    assert (within.is_clipped, beyond.is_clipped) == (False, True)
    assert beyond.image[0, :, 0].tolist() == [0, 0, 128, 255]


def test_an_image_that_its_levels_leave_nearly_black_is_told(tmp_path):
    """Floats up to 1 read with the range of 12 bits show nothing; the same in their own range, and clipped ones, do."""
    path = save(tmp_path / "a.tif", np.array([[0.2, 0.5, 1.0]], np.float32))
    dark = [decode_sample(Sample(path, levels=Levels(0, white)), Framing((1, 3))).is_dark for white in (4095, 1, 0.3)]
    assert dark == [True, False, False]


def test_where_white_is_0_black_is_the_highest_value(tmp_path):
    """NaN is black, and an image counts as nearly black where its values are high, not where they are low."""
    path, shown = tmp_path / "a.tif", {}
    for low in (0.0, 0.95):
        tifffile.imwrite(path, np.array([[low, 1, np.nan]], np.float32), photometric="miniswhite")
        found = decode_sample(Sample(path, levels=Levels(0, 1)), Framing((1, 3)))
        shown[low] = (found.is_dark, found.image[0, :, 0].tolist())
    assert shown == {0.0: (False, [255, 0, 0]), 0.95: (True, [13, 0, 0])}


def test_full_depth_of_16_bits_is_as_before(tmp_path):
    """With all 16 bits in use, grey images are those that earlier versions read."""
    values = np.arange(65536, dtype=np.uint16).reshape(256, 256)
    found = decode(save(tmp_path / "a.png", values), framing=Framing((256, 256))).image[:, :, 0]
    assert np.array_equal(np.rint(values.astype(np.float32) * (255 / 65535)).astype(np.uint8), found)


# ---------------------------------------------------------------- the rule


@pytest.mark.parametrize(
    ("high", "white"),
    [(0, 255), (200, 255), (256, 1023), (1023, 1023), (1024, 4095), (4000, 4095), (9000, 16383), (16384, 65535),
     (65536, 131071), (2**31, 2**32 - 1)],
)  # fmt: skip
def test_white_of_integers_is_what_their_bits_hold(high, white):
    """The least usual number of bits whose highest value is not exceeded."""
    assert levels_for([Depth("integers", high=high)]) == Levels(0, white)


@pytest.mark.parametrize(
    ("high", "white"),
    [(0, 1), (0.3, 1), (1, 1), (1.2, 1.2), (60, 60), (70, 255), (300, 1023), (60000, 65535), (1e6, 1e6)],
)
def test_white_of_floats_is_a_usual_one_if_they_use_it(high, white):
    """Else it is their highest value."""
    assert levels_for([Depth("floats", high=high)]) == Levels(0, white)


def test_a_negative_lowest_value_is_black():
    """As in computed tomography."""
    assert levels_for([Depth("integers", low=-1024, high=3071), Depth("integers")]) == Levels(-1024, 4095)


def test_bits_that_the_file_states_count():
    """A dark image of 12 bits has the white of 12 bits."""
    assert levels_for([Depth("integers", high=100, own_white=4095)]) == Levels(0, 4095)


def test_images_of_8_bits_need_no_levels():
    """They neither have any nor move those of others."""
    assert levels_for([Depth(), Depth()]) is None
    assert levels_for([Depth(), Depth("floats", high=0.5)]) == Levels(0, 1)


@given(st.lists(st.integers(0, 65535), min_size=1, max_size=6))
def test_at_least_64_grey_levels_are_used(highest):
    """Of integers beyond 8 bits, whatever the camera."""
    levels = levels_for([Depth("integers", high=each) for each in highest])
    assert max(highest) <= levels.white
    if max(highest) > 255:
        values = np.arange(max(highest) + 1, dtype=np.uint16)[None]
        assert len(np.unique(np.asarray(Deep(values).to_rgb(levels)))) >= 64


def test_infinity_is_refused():
    """No brightness is infinite; NaN is black."""
    with pytest.raises(ValueError, match="infinite grey values"):
        _ = Deep(np.array([[1, np.inf]], np.float32)).depth
    found = Deep(np.array([[np.nan, 2.0]], np.float32))
    assert found.depth == Depth("floats", low=2.0, high=2.0)
    assert np.asarray(found.to_rgb(Levels(0, 2)))[0, :, 0].tolist() == [0, 255]


def test_only_what_has_more_than_8_bits_is_deep(tmp_path):
    """It is known from the head of the file."""
    for name, pixels, expected in (
        ("a.png", np.zeros((2, 2), np.uint8), False),
        ("b.png", np.zeros((2, 2), np.uint16), True),
        ("c.tif", np.zeros((2, 2), np.float32), True),
        ("d.jpg", np.zeros((2, 2, 3), np.uint8), False),
    ):
        with Image.open(save(tmp_path / name, pixels)) as image:
            assert deep.is_deep(image) == expected
    with Image.open(png_16(tmp_path / "e.png", np.zeros((2, 2, 3), np.uint16))) as image:
        assert deep.is_deep(image)
