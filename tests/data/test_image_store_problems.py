"""Images that cannot be used: the store says which, and why."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from stored_images import SIZE, leftovers, make, write

from adbench.api.data import Problem, Sample
from adbench.data import decode, image_store
from adbench.data.framing import Framing
from adbench.data.image_store import open_store
from adbench.util.errors import DataError


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch) -> Path:
    """An empty cache folder for each test."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("ADBENCH_CACHE", str(folder))
    return folder


def _shorten(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])


def _as_jpeg(path: Path) -> None:
    Image.fromarray(np.random.default_rng(1).integers(0, 256, (20, 30, 3), dtype=np.uint8)).save(path, "JPEG")


BREAKS = {
    "cut short PNG": (lambda s: _shorten(s.path), "path", "cut short or broken"),
    "cut short JPEG": (lambda s: (_as_jpeg(s.path), _shorten(s.path)), "path", "cut short or broken"),
    "empty": (lambda s: s.path.write_bytes(b""), "path", "an empty file"),
    "text": (lambda s: s.path.write_text("no image"), "path", "no image that Pillow knows"),
    "missing image": (lambda s: s.path.unlink(), "path", "no such file, the image is missing"),
    "a folder": (lambda s: (s.path.unlink(), s.path.mkdir()), "path", "the image cannot be read"),
    "missing mask": (lambda s: s.mask.unlink(), "mask", "no such file, the mask of 5.png is missing"),
    "broken mask": (lambda s: _shorten(s.mask), "mask", "cut short or broken"),
    "other size": (
        lambda s: write(s.mask, np.ones((7, 9), np.uint8)),
        "mask",
        "a mask of 9x7 pixels for an image of 30x20",
    ),
    "blank mask": (lambda s: write(s.mask, np.zeros((20, 30), np.uint8)), "mask", "a mask without a defect pixel"),
}


@pytest.mark.parametrize("kind", BREAKS)
def test_broken_input(kind, tmp_path, cache):
    """One message names a broken file; --skip-bad leaves it out and records it, without hiding later errors."""
    do_break, part, found = BREAKS[kind]
    samples = make(tmp_path / "data")
    do_break(samples[-1])
    culprit = getattr(samples[-1], part)

    for _ in range(2):
        with pytest.raises(DataError) as caught:
            open_store(samples, root=tmp_path, framing=Framing(SIZE))
        assert str(caught.value).startswith(f"{culprit}: found ")
        assert found in str(caught.value)
        assert "or use --skip-bad" in str(caught.value)

        store = open_store(samples, root=tmp_path, framing=Framing(SIZE), skip_bad=True)
        assert store.samples == tuple(samples[:-1])
        assert len(store.images) == len(store.masks) == len(store.sizes) == len(samples) - 1
        assert [problem.path for problem in store.skipped] == [culprit]
        assert found in store.skipped[0].found
    assert not leftovers(cache)


def test_several_problems(tmp_path):
    """The first problem is named, the reader's own before those of files; the others are counted."""
    samples = make(tmp_path)
    samples[0].path.unlink()
    samples[3].path.unlink()
    reader = Problem(tmp_path / "test" / "hole", "no image", "Add some")
    with pytest.raises(DataError, match=r"hole: found no image \(2 more problems\)\. Add some, or use --skip-bad"):
        open_store(samples, root=tmp_path, framing=Framing(SIZE), problems=[reader])
    store = open_store(samples, root=tmp_path, framing=Framing(SIZE), problems=[reader], skip_bad=True)
    assert [problem.path for problem in store.skipped] == [reader.path, samples[0].path, samples[3].path]


def test_nothing_left(tmp_path):
    """Even --skip-bad needs one image."""
    sample = Sample(tmp_path / "gone.png")
    with pytest.raises(DataError, match="no image that can be used"):
        open_store([sample], root=tmp_path, framing=Framing(SIZE), skip_bad=True)


@pytest.mark.skipif(os.name == "nt" or not hasattr(os, "geteuid") or os.geteuid() == 0, reason="needs access rights")
def test_access_rights_put_right(tmp_path):
    """A file that could not be read is tried again, though neither its length nor its time has changed."""
    samples = make(tmp_path)
    samples[1].path.chmod(0)
    with pytest.raises(DataError, match=r"1\.png: found the image cannot be read"):
        open_store(samples, root=tmp_path, framing=Framing(SIZE))
    samples[1].path.chmod(0o600)
    assert len(open_store(samples, root=tmp_path, framing=Framing(SIZE)).samples) == len(samples)


def test_problems_are_looked_at_again(tmp_path, cache, monkeypatch):
    """A file that is broken only for a moment, as on a bad network, doesn't stay missing from the store."""
    samples = make(tmp_path)
    bad = Problem(samples[1].path, "the network is gone", "Wait")
    with monkeypatch.context() as patch:
        patch.setattr(
            image_store, "decode_sample", lambda s, *rest: bad if s == samples[1] else decode.decode_sample(s, *rest)
        )
        assert open_store(samples, root=tmp_path, framing=Framing(SIZE), skip_bad=True).skipped == (bad,)
    store = open_store(samples, root=tmp_path, framing=Framing(SIZE))
    assert store.samples == tuple(samples)
    assert not leftovers(cache)
