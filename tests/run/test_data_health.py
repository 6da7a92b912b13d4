"""Faults of data sets are found, each with its level."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from deep_files import turned_file
from image_files import save

from adbench.api import registry
from adbench.api.data_options import with_options
from adbench.api.levels import Levels
from adbench.run import data_health
from adbench.run.data_health import Health

SIDE = 40
RANDOM = np.random.default_rng(0)


def image(path: Path, size=(SIDE, SIDE)) -> Path:
    return save(path, RANDOM.integers(0, 255, (*size, 3), np.uint8))


def mask(path: Path, size=(SIDE, SIDE), marked: int = 20) -> Path:
    values = np.zeros(size, np.uint8)
    values.reshape(-1)[:marked] = 255
    return save(path, values)


@pytest.fixture
def nut(tmp_path) -> Path:
    """A class without a fault."""
    folder = tmp_path / "nut"
    for name in ("train/good/0.png", "train/good/1.png", "test/good/0.png", "test/cut/0.png", "test/cut/1.png"):
        image(folder / name)
    for name in ("0", "1"):
        mask(folder / "ground_truth" / "cut" / f"{name}_mask.png")
    return folder


def check(folder: Path, levels: Levels | None = None) -> Health:
    reader = registry.load().dataset("folder")
    return data_health.check(reader, folder.parent, list(reader.classes(folder.parent)), levels=levels)


def kinds(found: Health) -> list[tuple[str, str, str]]:
    return [(each.level, each.what, each.path) for each in found.findings]


def test_a_class_without_faults_has_no_finding(nut):
    """Nothing is found, and the class is understood as it is."""
    found = check(nut)
    assert kinds(found) == []
    (understood,) = found.classes
    assert understood.splits == {"train": 2, "test good": 1, "test defective": 2}
    assert (understood.masks, understood.sizes, understood.modes, understood.defects) == (
        2, Counter({(SIDE, SIDE): 5}), Counter(RGB=5), Counter(cut=2),
    )  # fmt: skip
    assert not found.stops


def test_what_stops_a_run_is_found(nut):
    """A broken image, a mask of another size, an empty one, and one that is missing stop a run, each with its file."""
    (nut / "train/good/0.png").write_bytes(b"no image")
    mask(nut / "ground_truth/cut/0_mask.png", (SIDE, SIDE + 1))
    mask(nut / "ground_truth/cut/1_mask.png", marked=0)
    image(nut / "test/cut/2.png")
    found = check(nut)
    assert found.stops
    assert kinds(found) == [
        ("stops", "unreadable image", "nut/train/good/0.png"),
        ("stops", "mask of another size", "nut/ground_truth/cut/0_mask.png"),
        ("stops", "mask without a defect pixel", "nut/ground_truth/cut/1_mask.png"),
        ("stops", "missing mask", "nut/ground_truth/cut/2_mask.png"),
    ]


@pytest.mark.parametrize(("rule", "level"), [("auto", "stops"), ("nonzero", None)])
def test_a_mask_that_marks_nearly_all_stops_a_run(nut, rule, level):
    """A mask whose background counts as defect is found, unless the user says that it is right."""
    mask(nut / "ground_truth/cut/0_mask.png", marked=SIDE * SIDE)
    reader = registry.load().reader("folder", {"mask_rule": rule})
    found = data_health.check(reader, nut.parent, ["nut"])
    wanted = [(level, "mask that marks nearly all", "nut/ground_truth/cut/0_mask.png")] if level else []
    assert kinds(found) == wanted


@pytest.mark.parametrize(
    ("least", "wanted"),
    [
        (5, ("note", "0 of 3 regions under 5 pixels: they count in no metric of pixels")),
        (20, ("note", "1 of 3 regions under 20 pixels: they count in no metric of pixels")),
        (21, ("note", "2 of 3 regions under 21 pixels, in 1 image all: they count in no metric of pixels")),
        (26, ("distorts", "3 of 3 regions under 26 pixels, in 2 images all: they count in no metric of pixels")),
    ],
)
def test_defects_that_fall_away_are_counted(nut, least, wanted):
    """With --min-defect-area the check says how many regions are too small, and how many images have no others."""
    both = np.zeros((SIDE, SIDE), np.uint8)
    both[:5, :5], both[20, :10] = 255, 255
    save(nut / "ground_truth/cut/1_mask.png", both)
    reader = registry.load().reader("folder", {"min_defect_area": least})
    found = [(each.level, each.detail) for each in data_health.check(reader, nut.parent, ["nut"]).findings]
    assert found == [wanted]


def test_what_distorts_numbers_is_found(nut):
    """Duplicates between the splits, a dark and a small image distort numbers and stop nothing."""
    (nut / "test/good/copy.png").write_bytes((nut / "train/good/1.png").read_bytes())
    save(nut / "train/good/dark.png", np.full((SIDE, SIDE, 3), 9, np.uint8))
    image(nut / "test/good/small.png", (SIDE, 10))
    found = check(nut)
    assert not found.stops
    assert kinds(found) == [
        ("distorts", "nearly black image", "nut/train/good/dark.png"),
        ("distorts", "very small image", "nut/test/good/small.png"),
        ("distorts", "images of several sizes", ""),
        ("distorts", "the same image in train and test", "nut/train/good/1.png"),
    ]


def test_an_image_with_two_labels_is_found(nut):
    """The same content as good and as defective distorts numbers; twice among the training images is a note."""
    content = (nut / "test/cut/0.png").read_bytes()
    (nut / "test/good/same.png").write_bytes(content)
    (nut / "train/good/again.png").write_bytes((nut / "train/good/0.png").read_bytes())
    assert [(level, what) for level, what, _ in kinds(check(nut))] == [
        ("distorts", "the same image as good and as defective"), ("note", "the same image twice in train"),
    ]  # fmt: skip


def test_grey_and_deep_images_are_named(nut):
    """Grey images beside colour ones, and those of 16 bits, are found."""
    for name in ("0", "1"):
        save(nut / f"train/good/{name}.png", RANDOM.integers(0, 65535, (SIDE, SIDE), np.uint16))
    assert {(level, what) for level, what, _ in kinds(check(nut))} == {
        ("distorts", "grey and colour images"), ("distorts", "more than 8 bits"),
    }  # fmt: skip


def test_deep_images_are_shown_with_their_range(nut):
    """The range that a run would find, and the images beyond it or nearly black in it."""
    for path in nut.rglob("*/*/*.png"):
        if "ground_truth" not in path.parts:
            save(path, RANDOM.integers(0, 1000, (SIDE, SIDE), np.uint16))
    save(nut / "test/cut/0.png", RANDOM.integers(0, 1500, (SIDE, SIDE), np.uint16))
    save(nut / "test/good/0.png", RANDOM.integers(0, 90, (SIDE, SIDE), np.uint16))
    found = check(nut)
    (understood,) = found.classes
    assert understood.levels == Levels(0, 1023)
    assert {(each.level, each.what, each.path) for each in found.findings if each.level != "note"} == {
        ("distorts", "values beyond the range", "nut/test/cut/0.png"),
        ("distorts", "nearly black image", "nut/test/good/0.png"),
    }
    (detail,) = [each.detail for each in found.findings if each.what == "more than 8 bits"]
    assert detail == "5 images of 5; 0 is read as black, 1023 as white"


def test_deep_test_images_alone_stop_a_run(nut):
    """Nothing says what is white in them."""
    save(nut / "test/good/0.png", RANDOM.integers(0, 1000, (SIDE, SIDE), np.uint16))
    assert ("stops", "more than 8 bits, training images have 8", "nut/test/good/0.png") in kinds(check(nut))
    given = check(nut, Levels(0, 4095))
    assert given.classes[0].levels == Levels(0, 4095)
    assert "training images have 8" not in str(kinds(given))


def test_turned_images_and_their_masks_are_notes(nut):
    """A mask may lie as viewers show the image, or as its pixels; a square one can't tell."""
    upright = RANDOM.integers(0, 255, (SIDE, SIDE + 8, 3)).astype(np.uint8)
    turned_file(nut / "test/cut/0.jpg", upright, 6)
    (nut / "test/cut/0.png").unlink()
    mask = np.zeros((SIDE, SIDE + 8), np.uint8)
    mask[2:9, 3:9] = 255
    for shape in (mask, np.rot90(mask).copy()):
        save(nut / "ground_truth/cut/0_mask.png", shape)
        assert ("note", "camera's orientation", "nut/test/cut/0.jpg") in kinds(check(nut))
        assert not any("mask" in what for _, what, _ in kinds(check(nut)))
    turned_file(nut / "test/cut/0.jpg", upright[:, :SIDE], 6)
    save(nut / "ground_truth/cut/0_mask.png", mask[:, :SIDE])
    assert ("note", "mask of a turned image", "nut/ground_truth/cut/0_mask.png") in kinds(check(nut))
    assert check(nut).classes[0].turned == 1


def test_a_class_that_can_not_be_read_stops_a_run(nut):
    """The reader's own message is a finding, and the other classes are looked at all the same."""
    (nut.parent / "bolt" / "train" / "good").mkdir(parents=True)
    found = check(nut)
    assert [(each.level, each.class_name) for each in found.findings] == [("stops", "bolt")]
    assert "no test image" in found.findings[0].detail
    assert [each.class_name for each in found.classes] == ["nut"]


@pytest.mark.parametrize(
    ("size", "marked", "said"),
    [
        ((SIDE, SIDE), SIDE, ("note", "ignore mask", f"{1 / SIDE:.2%} of the pixels count in no metric of pixels")),
        (
            (SIDE, 2 * SIDE),
            5,
            ("stops", "ignore mask of another size", f"{2 * SIDE}x{SIDE} for images of {SIDE}x{SIDE}"),
        ),
        ((SIDE, SIDE), 0, ("stops", "ignore mask that can't be used", "no pixel that is ignored")),
        ((SIDE, SIDE), SIDE**2, ("stops", "ignore mask that can't be used", "every pixel ignored")),
    ],
)
def test_an_ignore_mask_is_looked_at(nut, size, marked, said):
    """What a run would refuse stops here as well; else the share says whether the right part is marked."""
    path = mask(nut.parent / "ignore.png", size, marked)
    reader = with_options(registry.load().dataset("folder"), {"ignore_mask": str(path)})
    found = data_health.check(reader, nut.parent, ["nut"])
    about = [each for each in found.findings if each.what != data_health.PASSED_OVER]
    assert [(each.level, each.what, each.detail) for each in about] == [said]
