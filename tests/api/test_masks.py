"""Which masks mark a defect: each file is decoded once, and a broken one is no answer."""

from __future__ import annotations

import os

import numpy as np
import pytest
from PIL import Image

from adbench.api import marked, masks


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("ADBENCH_CACHE", str(tmp_path / "cache"))


def save(path, value: int, mode: str = "L"):
    image = Image.fromarray(np.array([[0, 0], [0, value]], np.uint8)).convert(mode)
    image.save(path)
    old = path.stat().st_mtime - 100
    os.utime(path, (old, old))
    return path


@pytest.mark.parametrize("mode", ["L", "1", "RGB", "RGBA", "P"])
def test_a_mask_marks_something_or_is_black(tmp_path, cache, mode):
    """In any mode: an opaque alpha channel or a palette isn't a mark."""
    black, white = save(tmp_path / "0.png", 0, mode), save(tmp_path / "1.png", 255, mode)
    assert marked([black, white]) == {black: False, white: True}


def test_a_single_level_counts(tmp_path, cache):
    """Class numbers such as 1 look black, and aren't."""
    path = save(tmp_path / "a.bmp", 1)
    assert marked([path]) == {path: True}


def test_a_broken_or_missing_mask_is_no_answer(tmp_path, cache):
    """The reader must not take it for black."""
    broken = tmp_path / "a.png"
    broken.write_bytes(b"x")
    assert marked([broken, tmp_path / "b.png"]) == {broken: None, tmp_path / "b.png": None}


def test_a_file_is_decoded_once(tmp_path, cache, monkeypatch):
    """What was found is kept for later processes, until the file changes."""
    path = save(tmp_path / "a.png", 9)
    monkeypatch.setattr("adbench.util.digests._is_fresh", lambda seen: False)
    assert marked([path]) == {path: True}
    monkeypatch.setattr(masks, "_is_marked", lambda path: pytest.fail("decoded again"))
    assert marked([path]) == {path: True}
    monkeypatch.setattr(masks, "_is_marked", lambda path: "0")
    save(path, 0)
    assert marked([path]) == {path: False}
