"""Images are found as people name them, each once, and nothing is dropped in silence."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from adbench_datasets import folder as folder_reader
from hypothesis import given
from hypothesis import strategies as st

from adbench.data import sources
from adbench.data.sources import arriving, find
from adbench.util.errors import DataError


@pytest.fixture
def folder(tmp_path) -> Path:
    """Images in two folders beside other files."""
    for name in ("b.png", "a.JPG", "notes.txt", "inner/c.tiff", ".hidden.png", ".git/d.png", "inner/model.pt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    return tmp_path


def names(found):
    return [each.name for each in found.images]


def test_a_folder_gives_its_images_by_name_and_names_the_rest(folder):
    """Subfolders count, hidden files don't, and other files are told."""
    found = find([str(folder)])
    assert names(found) == ["a.JPG", "b.png", "inner/c.tiff"]
    assert [path.name for path in found.passed_over] == ["model.pt", "notes.txt"]


def test_files_come_in_the_order_in_which_they_are_named(folder):
    """A named file counts whatever its suffix, a missing one too, and none counts twice."""
    found = find([str(folder / "notes.txt"), str(folder / "gone.png"), str(folder / "b.png"), str(folder)])
    assert names(found) == ["notes.txt", "gone.png", "b.png", "a.JPG", "inner/c.tiff"]


def test_a_pattern_that_no_shell_expanded_is_expanded(folder):
    """Stars over folders work on every system; a pattern that fits nothing is refused."""
    assert names(find([str(folder / "**" / "*.tiff"), str(folder / "?.png")])) == ["c.tiff", "b.png"]
    with pytest.raises(DataError, match="found no file that fits this pattern"):
        find([str(folder / "*.bmp")])


def test_a_file_whose_name_looks_like_a_pattern_is_that_file(folder):
    """Brackets are letters where a file has that name."""
    (folder / "part[1].png").touch()
    assert names(find([str(folder / "part[1].png")])) == ["part[1].png"]


def made(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return folder


MASKED = ("bad/7.png", "bad/7_mask.png", "bad/8.JPG", "bad/8_GT.png", "good/7.png", "ground_truth/bad/9.png",
          "Masks/1.bmp", "bad/9_label.png", "Thumbs.db", "desktop.ini", "bad/.x.png")  # fmt: skip


def test_masks_in_a_folder_are_no_images(tmp_path):
    """They lie beside their images or in folders of masks; where there are some, one without its image is one, too."""
    found = find([str(made(tmp_path, *MASKED))])
    assert names(found) == ["bad/7.png", "bad/8.JPG", "good/7.png"]
    assert sorted(path.name for path in found.masks) == ["1.bmp", "7_mask.png", "8_GT.png", "9.png", "9_label.png"]
    assert found.passed_over == ()


@pytest.mark.parametrize("layout", [("good/0.png", "good/1.png", "bad/7.png", "bad/7_mask.png", "bad/9_mask.png"),
                                    ("good/0.png", "good/1.png", "bad/7.png", "masks/7.png"),
                                    ("0.png", "1.png", "7.png", "7_mask.png", "9_mask.png", "Thumbs.db"),
                                    ("0_mask.png", "1_mask.png"),
                                    ("train/good/0.png", "test/good/1.png", "test/cut/7.png", "test/cut/7_gt.png"),
                                    ("train/good/0.png", "test/cut/7.png", "ground_truth/cut/7_mask.png")])  # fmt: skip
def test_a_folder_has_the_images_that_a_reader_finds_in_it(tmp_path, layout):
    """A model scores what a data set of this folder would train on and test, and nothing else."""
    place = made(tmp_path / "parts", *layout)
    task = folder_reader.load(place, "parts")
    assert not task.problems
    read = {sample.path for part in task.splits.values() for sample in part}
    assert {each.path.resolve() for each in find([str(place)]).images} == read


def test_names_of_masks_without_images_are_images(tmp_path):
    """A folder of nothing but such names has images that are called so."""
    assert names(find([str(made(tmp_path, "a_mask.png", "b_mask.png"))])) == ["a_mask.png", "b_mask.png"]


def test_a_mask_that_is_named_itself_is_an_image(tmp_path, monkeypatch):
    """Whether by its file or by its folder; that it looks like a mask is told where its image is named, too."""
    monkeypatch.chdir(made(tmp_path, *MASKED))
    found = find(["bad/7_mask.png", "bad/7.png"])
    assert names(found) == ["7_mask.png", "7.png"]
    assert found.named_masks == (Path("bad/7_mask.png"),)
    assert names(find(["ground_truth"])) == ["bad/9.png"]
    both = find(["bad", "bad/7_mask.png"])
    assert (names(both)[-1], len(both.images), len(both.masks)) == ("7_mask.png", 3, 2)
    assert find(["bad/7_mask.png"]).named_masks == ()


@pytest.mark.parametrize(
    ("pattern", "images", "masks"),
    [
        ("bad/*.png", ["7.png"], ["7_mask.png", "8_GT.png", "9_label.png"]),
        ("bad/*_mask.png", ["7_mask.png"], []),
        ("**/*.png", ["7.png", "7.png"], ["7_mask.png", "8_GT.png", "9.png", "9_label.png"]),
        ("ground_truth/*/*.png", ["9.png"], []),
        ("*", ["7.png", "8.JPG", "7.png"], ["1.bmp", "7_mask.png", "8_GT.png", "9.png", "9_label.png"]),
    ],
)
def test_a_pattern_leaves_masks_out_unless_it_names_them(tmp_path, monkeypatch, pattern, images, masks):
    """A star finds all that lies there; what a person wrote out is meant."""
    monkeypatch.chdir(made(tmp_path, *MASKED))
    if pattern == "bad/*.png":  # without 8.JPG its mask is known by the other pair
        assert len(find([pattern]).masks) == 3
    found = find([pattern])
    assert [each.path.name for each in found.images] == images
    assert sorted(path.name for path in found.masks) == masks


def test_a_pattern_for_any_name_passes_over_what_is_no_image(tmp_path, monkeypatch):
    """As a folder does; a suffix that is written out counts, as that of a named file does."""
    monkeypatch.chdir(made(tmp_path, "a.png", "notes.txt", "b.data", "Thumbs.db"))
    assert [path.name for path in find(["*"]).passed_over] == ["b.data", "notes.txt"]
    assert names(find(["*.data"])) == ["b.data"]


class Clock:
    """Time that passes only while someone sleeps; each sleep does the next thing in the folder."""

    def __init__(self, *steps) -> None:
        self.now, self.steps = 0.0, list(steps)

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        if self.steps:
            self.steps.pop(0)()


def seen(folder, clock, idle=2.0):
    return [[each.name for each in group] for group in arriving(folder, idle=idle, clock=clock, sleep=clock.sleep)]


def test_images_are_yielded_when_they_stopped_growing(tmp_path):
    """One that is being written waits until two looks agree; each comes once."""
    (tmp_path / "a.png").write_bytes(b"1")
    new = tmp_path / "b.png"
    clock = Clock(lambda: new.write_bytes(b"1"), lambda: new.write_bytes(b"22"), lambda: new.write_bytes(b"333"))
    assert seen(tmp_path, clock) == [["a.png"], ["b.png"]]


def test_a_replaced_image_is_new(tmp_path):
    """A camera may write to the same name again."""
    image = tmp_path / "a.png"
    image.write_bytes(b"1")
    nothing = lambda: None  # noqa: E731
    clock = Clock(nothing, nothing, lambda: image.write_bytes(b"22"))
    assert seen(tmp_path, clock) == [["a.png"], ["a.png"]]


def test_a_folder_that_vanishes_below_ends_nothing(tmp_path, monkeypatch):
    """Another program may tidy up during a look."""
    (tmp_path / "inner").mkdir()
    real = os.walk

    def walk(place, onerror):
        onerror(FileNotFoundError(2, "gone", str(tmp_path / "inner")))
        yield from real(place)

    monkeypatch.setattr(sources.os, "walk", walk)
    (tmp_path / "a.png").touch()
    assert seen(tmp_path, Clock()) == [["a.png"]]


def test_masks_that_arrive_are_told_once_and_never_yielded(tmp_path):
    """One that came before its image was taken for an image, and is not told any more."""
    made(tmp_path, "a.png", "a_mask.png", "ground_truth/x.png", "b_mask.png")
    (tmp_path / "b_mask.png").unlink()
    told = []
    clock = Clock(lambda: None, lambda: made(tmp_path, "c.png", "c_gt.png"))
    found = arriving(tmp_path, idle=2, clock=clock, sleep=clock.sleep, tell_masks=told.append)
    assert [[each.name for each in group] for group in found] == [["a.png"], ["c.png"]]
    assert [[path.name for path in masks] for masks in told] == [["a_mask.png", "x.png"], ["c_gt.png"]]


def test_a_mask_that_came_before_its_image_is_not_told_as_passed_over(tmp_path):
    """It was scored, as nothing showed that it is a mask."""
    made(tmp_path, "a_mask.png")
    told = []
    clock = Clock(lambda: None, lambda: made(tmp_path, "a.png"))
    found = arriving(tmp_path, idle=2, clock=clock, sleep=clock.sleep, tell_masks=told.append)
    assert [[each.name for each in group] for group in found] == [["a_mask.png"], ["a.png"]]
    assert told == []


def test_a_missing_folder_is_refused(tmp_path):
    """A wrong name would be watched for ever."""
    with pytest.raises(DataError, match="no such folder"):
        next(arriving(tmp_path / "nowhere"))


@given(st.lists(st.sampled_from(["a.png", "b.jpg", "c.txt", "d/e.webp", "d/f", "a_gt.png", "d/e_gt.png"]), unique=True))
def test_every_file_of_a_folder_is_an_image_or_a_mask_or_passed_over(tmp_path_factory, chosen):
    """Nothing is in two of them, and nothing is in none."""
    folder = tmp_path_factory.mktemp("any")
    for name in chosen:
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).touch()
    found = find([str(folder)])
    told = [each.path for each in found.images] + [*found.passed_over, *found.masks]
    assert sorted(told) == sorted(folder / name for name in chosen)
