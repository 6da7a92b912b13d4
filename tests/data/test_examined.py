"""What is seen in files of images and masks, and what is remembered."""

from __future__ import annotations

import numpy as np
import pytest
from image_files import save

from adbench.api.data import Problem
from adbench.data import examined, image_files
from adbench.data.examined import Seen
from adbench.util import digests

GREY = np.full((4, 6), 90, np.uint8)


def test_an_image_is_seen_as_it_is(tmp_path):
    """Size, kind of pixels, depth, alpha, orientation and brightest value are those of the file."""
    grey = save(tmp_path / "grey.png", GREY)
    deep = save(tmp_path / "deep.png", np.full((4, 6), 1023, np.uint16))
    alpha = save(tmp_path / "alpha.png", np.full((4, 6, 4), 200, np.uint8))
    found = examined.images([grey, deep, alpha])
    assert found[grey] == Seen((4, 6), "L", deep=False, turned=False, peak=90)
    assert isinstance(found[deep], Seen)
    assert isinstance(found[alpha], Seen)
    assert (found[deep].deep, found[deep].peak) == (True, 255)
    assert found[deep].is_grey
    assert (found[alpha].has_alpha, found[alpha].is_grey) == (True, False)


def test_the_share_of_a_mask_counts_values_above_its_limit(tmp_path):
    """A mask of soft edges has fewer marked pixels above 127 than above 0."""
    mask = save(tmp_path / "mask.png", np.asarray([[0, 60], [0, 255]], np.uint8))
    shares = [examined.masks([mask], above)[mask] for above in (0, 127)]
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
    read = image_files.read_image
    monkeypatch.setattr(image_files, "read_image", lambda path: opened.append(path.name) or read(path))
    assert examined.images([good, bad]) == first
    assert opened == ["bad.png"]
    save(good, GREY[:2])
    seen = examined.images([good])[good]
    assert isinstance(seen, Seen)
    assert seen.size == (2, 6)


@pytest.mark.parametrize(("tag", "turned"), [(1, False), (6, True)])
def test_the_cameras_orientation_is_seen(tmp_path, tag, turned):
    """An image whose EXIF data turn it is marked, an upright one is not."""
    from PIL import Image

    image = Image.fromarray(GREY)
    exif = image.getexif()
    exif[examined.ORIENTATION] = tag
    path = save(tmp_path / "photo.jpg", image, exif=exif)
    seen = examined.images([path])[path]
    assert isinstance(seen, Seen)
    assert seen.turned is turned
