"""What is seen in files of images and masks, and what is remembered."""

from __future__ import annotations

import numpy as np
import tifffile
from deep_files import png_16, turned_file
from image_files import save

from adbench.api.data import Problem
from adbench.data import examined, image_files
from adbench.data.deep import Depth
from adbench.data.examined import Seen
from adbench.util import digests

GREY = np.full((4, 6), 90, np.uint8)


def test_an_image_is_seen_as_it_is(tmp_path):
    """Size, kind of pixels, values, alpha, orientation and brightest value are those of the file."""
    grey = save(tmp_path / "grey.png", GREY)
    deep = save(tmp_path / "deep.png", np.full((4, 6), 1023, np.uint16))
    alpha = save(tmp_path / "alpha.png", np.full((4, 6, 4), 200, np.uint8))
    found = examined.images([grey, deep, alpha])
    assert found[grey] == Seen((4, 6), "L", peak=90)
    assert isinstance(found[deep], Seen)
    assert isinstance(found[alpha], Seen)
    assert (found[deep].mode, found[deep].depth) == ("uint16", Depth("integers", low=1023, high=1023))
    assert found[deep].is_grey
    assert (found[alpha].has_alpha, found[alpha].is_grey) == (True, False)


def test_turned_images_and_masks_have_the_size_that_viewers_show(tmp_path):
    """Their orientation is kept beside it, also of a TIFF, which Pillow turns itself."""
    for suffix in (".png", ".tif"):
        path = turned_file(tmp_path / f"a{suffix}", GREY, 6)
        assert examined.images([path])[path] == Seen((4, 6), "L", 90, Depth(orientation=6))
        assert examined.masks([path], 0)[path] == Seen((4, 6), "L", 1, Depth(orientation=6))


def test_colours_of_many_bits_are_no_grey(tmp_path):
    """Of 16 bits and of floats, which Pillow does not keep or know."""
    path = png_16(tmp_path / "a.png", np.full((4, 6, 3), 900, np.uint16))
    other = tmp_path / "b.tif"
    tifffile.imwrite(other, np.full((4, 6, 3), 0.5, np.float16), photometric="rgb")
    found = examined.images([path, other])
    assert [(each.mode, each.is_grey) for each in found.values()] == [("uint16-RGB", False), ("float16-RGB", False)]


def test_the_share_of_a_mask_counts_values_above_its_limit(tmp_path):
    """A mask of soft edges has fewer marked pixels above 127 than above 0."""
    mask = save(tmp_path / "mask.png", np.asarray([[0, 60], [0, 255]], np.uint8))
    shares = [examined.masks([mask], above, "auto")[mask] for above in (0, 127)]
    assert [each.peak for each in shares if isinstance(each, Seen)] == [0.5, 0.25]


def test_what_is_broken_or_missing_is_a_problem(tmp_path):
    """A file that is no image, one that is cut short and one that is not there are problems, each with its reason."""
    text = tmp_path / "text.png"
    text.write_text("no image")
    cut = save(tmp_path / "cut.png", np.random.default_rng(0).integers(0, 255, (64, 64), np.uint8))
    cut.write_bytes(cut.read_bytes()[:200])
    found = examined.images([text, cut, tmp_path / "gone.png"])
    assert all(isinstance(each, Problem) for each in found.values())
    assert [each.found.split(" (")[0] for each in found.values() if isinstance(each, Problem)] == [
        "no image that Pillow knows", "an image that is cut short or broken", "no such file",
    ]  # fmt: skip


def test_what_is_unchanged_is_not_opened_again(tmp_path, monkeypatch):
    """The second look opens the broken file alone, and a changed file is seen anew."""
    monkeypatch.setenv("ADBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(digests, "FRESH", 0)
    monkeypatch.setattr(digests, "FRESH_COARSE", 0)
    good = save(tmp_path / "good.png", GREY)
    bad = tmp_path / "bad.png"
    bad.write_text("no image")
    first = examined.images([good, bad])
    opened = []
    read = image_files.bytes_of
    monkeypatch.setattr(image_files, "bytes_of", lambda path, what: opened.append(path.name) or read(path, what))
    assert examined.images([good, bad]) == first
    assert opened == ["bad.png"]
    save(good, GREY[:2])
    seen = examined.images([good])[good]
    assert isinstance(seen, Seen)
    assert seen.size == (2, 6)
