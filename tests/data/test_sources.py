"""Images are found as people name them, each once, and nothing is dropped in silence."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
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


def test_a_missing_folder_is_refused(tmp_path):
    """A wrong name would be watched for ever."""
    with pytest.raises(DataError, match="no such folder"):
        next(arriving(tmp_path / "nowhere"))


@given(st.lists(st.sampled_from(["a.png", "b.jpg", "c.txt", "d/e.webp", "d/f"]), unique=True))
def test_every_file_of_a_folder_is_an_image_or_passed_over(tmp_path_factory, chosen):
    """Nothing is in both, and nothing is in neither."""
    folder = tmp_path_factory.mktemp("any")
    for name in chosen:
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).touch()
    found = find([str(folder)])
    told = [each.path for each in found.images] + list(found.passed_over)
    assert sorted(told) == sorted(folder / name for name in chosen)
