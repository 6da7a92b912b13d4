"""Masks that do not fit, and files that are missing, broken or no images."""

from __future__ import annotations

import contextlib
import io
import os
import sys

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from image_files import COLOURS, SMALL, decode, refuse, save
from PIL import Image

from adbench.api.data import Problem, Sample
from adbench.data.decode import decode_sample
from adbench.data.framing import Framing
from adbench.data.image_files import quiet


def palette_mask() -> Image.Image:
    """Black has the highest number in this palette, and dark red the lowest."""
    mask = Image.fromarray(np.array([[1, 0], [1, 0]], np.uint8))
    mask.putpalette([9, 0, 0, 0, 0, 0])
    return mask


@pytest.mark.parametrize(
    "mask",
    [
        Image.fromarray(np.array([[0, 1], [0, 7]], np.uint8)),
        Image.fromarray(np.array([[0, 1], [0, 300]], np.uint16)),
        Image.fromarray(np.array([[0, 1], [0, 70000]], np.int32)),
        Image.fromarray(np.array([[0, 1], [np.nan, 3]], np.float32)),
        Image.fromarray(np.array([[False, True], [False, True]])),
        Image.fromarray(np.array([[[0, 0, 0], [1, 0, 0]], [[0, 0, 0], [0, 0, 9]]], np.uint8)),
        palette_mask(),
    ],
    ids=["classes", "16 bit", "32 bit", "float", "1 bit", "coloured", "palette"],
)
def test_whatever_is_not_black_is_a_defect(tmp_path, mask):
    """Class numbers count from 1, as in VisA, however many bits a mask has."""
    image = save(tmp_path / "a.png", np.zeros((2, 2), np.uint8))

    assert decode(image, save(tmp_path / "m.tif", mask), framing=Framing((2, 2))).mask.tolist() == [[0, 1], [0, 1]]


def test_jpeg_masks_are_cut_in_the_middle(tmp_path):
    """The noise of JPEG around a mark is not a defect."""
    drawn = np.zeros((40, 40), np.uint8)
    drawn[13:27, 9:30] = 255
    mask = save(tmp_path / "m.jpg", drawn, quality=60)
    with Image.open(mask) as kept:
        assert (np.asarray(kept) > 0).sum() > (drawn > 0).sum()
    found = decode(save(tmp_path / "p.png", drawn), mask, framing=Framing((40, 40))).mask
    assert np.array_equal(found, drawn > 0)


def test_a_mask_of_another_size_is_named(tmp_path):
    """A mask is never stretched over an image that it was not drawn for."""
    image = save(tmp_path / "a.png", np.zeros((20, 30), np.uint8))
    mask = save(tmp_path / "m.png", np.ones((30, 20), np.uint8))

    problem = refuse(image, mask)

    assert problem.path == mask
    assert problem.found == "a mask of 20x30 pixels for an image of 30x20"


def test_a_mask_without_a_defect_is_named(tmp_path):
    """A defective image must have a marked pixel."""
    image = save(tmp_path / "a.png", np.zeros((20, 30), np.uint8))
    mask = save(tmp_path / "m.png", np.zeros((20, 30), np.uint8))

    assert refuse(image, mask) == Problem(
        mask, "a mask without a defect pixel", "Draw the defect, or move the image to the good ones"
    )


def test_missing_files_are_named(tmp_path):
    """The message says which of the two is missing, the image or the mask."""
    image = save(tmp_path / "a.png", np.zeros((20, 30), np.uint8))

    for problem, path, kind in (
        (refuse(tmp_path / "no.png"), tmp_path / "no.png", "image"),
        (refuse(image, tmp_path / "m.png"), tmp_path / "m.png", "mask of a.png"),
    ):
        assert (problem.path, problem.found) == (path, f"no such file, the {kind} is missing")


# ---------------------------------------------------------------- broken files


def test_empty_and_foreign_files_are_named(tmp_path):
    """An empty file and a foreign one get different messages, and a folder is no image."""
    (tmp_path / "empty.png").touch()
    (tmp_path / "text.png").write_text("no image at all", encoding="utf-8")
    (tmp_path / "folder.png").mkdir()

    assert refuse(tmp_path / "empty.png").found == "an empty file"
    assert refuse(tmp_path / "text.png").found == "no image that Pillow knows"
    assert "cannot be read" in refuse(tmp_path / "folder.png").found


@pytest.mark.skipif(os.name != "posix", reason="needs pipes and devices in folders")
@pytest.mark.parametrize("make", [os.mkfifo, lambda path: path.symlink_to("/dev/zero")], ids=["pipe", "device"])
def test_pipes_and_devices_are_refused_at_once(tmp_path, make):
    """No command waits for a writer of a pipe, or reads an endless device."""
    image = save(tmp_path / "a.png", COLOURS)
    make(tmp_path / "b.png")
    assert refuse(tmp_path / "b.png").found == "the image is no file but a pipe or a device"
    problem = refuse(image, tmp_path / "b.png")
    assert (problem.path, problem.found) == (tmp_path / "b.png", "the mask of a.png is no file but a pipe or a device")


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF", "BMP"])
@pytest.mark.parametrize("share", [0.5, 0.9])
def test_an_image_cut_short_is_refused(tmp_path, kind, share):
    """An interrupted download is an error, never an image with a grey half."""
    stream = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)).save(stream, kind)
    path = tmp_path / "a.png"
    path.write_bytes(stream.getvalue()[: int(len(stream.getvalue()) * share)])

    problem = refuse(path)

    assert problem.path == path
    assert "cut short or broken" in problem.found


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    kind=st.sampled_from(["PNG", "JPEG", "TIFF", "BMP", "GIF", "WEBP"]),
    changes=st.lists(st.tuples(st.integers(0, 400), st.integers(0, 255)), min_size=1, max_size=6),
)
@pytest.mark.filterwarnings("ignore")
def test_broken_bytes_never_break_more_than_their_image(tmp_path, kind, changes):
    """Any bytes give an image of the right shape, or a problem that names the file."""
    stream = io.BytesIO()
    Image.fromarray(np.arange(20 * 30 * 3, dtype=np.uint8).reshape(20, 30, 3)).save(stream, kind)
    data = bytearray(stream.getvalue())
    for place, value in changes:
        data[place % len(data)] = value
    path = tmp_path / "a.bin"
    path.write_bytes(data)

    done = decode_sample(Sample(path), SMALL)

    assert done.path == path if isinstance(done, Problem) else done.image.shape == (4, 6, 3)


@pytest.mark.parametrize("compression", ["tiff_deflate", "tiff_lzw", "jpeg"])
def test_a_damaged_tiff_is_one_problem_and_nothing_else(tmp_path, compression, capfd):
    """Libtiff's own messages don't reach standard error, and are heard again afterwards."""
    path = tmp_path / "a.tif"
    noise = np.random.default_rng(4).integers(0, 255, (48, 40, 3)).astype(np.uint8)
    Image.fromarray(noise).save(path, compression=compression)
    data = bytearray(path.read_bytes())
    for place in range(60, 400, 7):
        data[place] ^= 0xFF
    path.write_bytes(data)
    with quiet():
        found = decode_sample(Sample(path, 0, "good", None), SMALL)
        with quiet():  # one stage within another
            pass
        decode_sample(Sample(path, 0, "good", None), SMALL)
    assert isinstance(found, Problem) or compression == "jpeg"  # whose damage may only change pixels
    assert capfd.readouterr().err == ""
    if compression != "jpeg" and sys.platform == "linux":
        with contextlib.suppress(OSError):
            Image.open(path).load()
        assert capfd.readouterr().err


@pytest.mark.parametrize("value", [np.inf, -np.inf, -1.0])
def test_a_mask_with_numbers_that_mark_nothing_for_sure_is_refused(tmp_path, value):
    """Nobody can say whether a number below 0 is a defect, and infinity is no class."""
    image = save(tmp_path / "a.png", np.zeros((2, 2), np.uint8))
    mask = save(tmp_path / "m.tif", Image.fromarray(np.array([[0, 1], [0, value]], np.float32)))
    problem = decode_sample(Sample(image, 1, "cut", mask), Framing((2, 2)))
    assert isinstance(problem, Problem)
    assert problem.found == "values below 0 or infinity in a mask"
