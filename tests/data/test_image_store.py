"""The image store: images are decoded once, and a store is always complete."""

from __future__ import annotations

import errno
import json
import os
import shutil
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from stored_images import SIZE, leftovers, make, write

from adbench.api.data import Sample
from adbench.data import decode, image_store
from adbench.data.framing import Framing
from adbench.data.image_store import open_store
from adbench.util.cache import entries, prune
from adbench.util.errors import DataError


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch) -> Path:
    """An empty cache folder for each test."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("ADBENCH_CACHE", str(folder))
    return folder


@pytest.fixture
def decoded(monkeypatch) -> list[Sample]:
    """The samples that were decoded so far."""
    seen: list[Sample] = []

    def count(sample, framing):
        seen.append(sample)
        return decode.decode_sample(sample, framing)

    monkeypatch.setattr(image_store, "decode_sample", count)
    return seen


# ---------------------------------------------------------------- what is kept


def test_a_defect_without_a_mask_beside_others_with_one_is_a_problem(tmp_path):
    """Its pixels would count as good ones; with skip_bad it is left out and reported."""
    samples = make(tmp_path)
    bare = replace(samples[-1], mask=None)
    with pytest.raises(DataError, match="without a mask"):
        open_store([*samples[:-1], bare], root=tmp_path, framing=Framing(SIZE))
    opened = open_store([*samples[:-1], bare], root=tmp_path, framing=Framing(SIZE), skip_bad=True)
    assert bare not in opened.samples
    assert [problem.path for problem in opened.skipped] == [bare.path]


def test_stores_without_masks(tmp_path):
    """If no sample has a mask there are none; if some have, the others' masks are empty."""
    samples = make(tmp_path, good=2, bad=1)
    assert open_store(samples[:2], root=tmp_path, framing=Framing(SIZE)).masks is None
    masks = open_store(samples, root=tmp_path, framing=Framing(SIZE)).masks
    assert [bool(mask.any()) for mask in masks] == [False, False, True]


# ---------------------------------------------------------------- the store


def test_later_runs_decode_nothing(tmp_path, decoded, monkeypatch):
    """The second opening reads the store and finds the same content; so does another path to the same files."""
    samples = make(tmp_path)
    heard = []
    first = open_store(samples, root=tmp_path, framing=Framing(SIZE), watch=lambda *facts: heard.append(facts))
    assert heard == [("decode", done, 6) for done in range(1, 7)]
    assert len(decoded) == 6
    second = open_store(samples, root=tmp_path, framing=Framing(SIZE), watch=lambda *facts: heard.append(facts))
    monkeypatch.chdir(tmp_path)
    near = [Sample(Path(s.path.name), s.label, s.defect, s.mask and s.mask.relative_to(tmp_path)) for s in samples]
    third = open_store(near, root=Path(), framing=Framing(SIZE))
    assert len(decoded) == 6
    assert len(heard) == 6
    for other in (second, third):
        assert (first.key, first.content, first.sizes) == (other.key, other.content, other.sizes)
        assert np.array_equal(first.images, other.images)
        assert np.array_equal(first.masks, other.masks)
    assert third.samples == tuple(near)


def test_another_image_with_the_old_length_and_times_is_decoded(tmp_path):
    """tar, rsync and cp -p restore times: the content counts."""
    samples = make(tmp_path)
    path = samples[0].path.with_suffix(".bmp")
    write(path, np.full((20, 30, 3), 50, np.uint8))
    times = path.stat()
    before = open_store([Sample(path)], root=tmp_path, framing=Framing(SIZE))
    write(path, np.full((20, 30, 3), 90, np.uint8))
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert path.stat().st_size == times.st_size
    after = open_store([Sample(path)], root=tmp_path, framing=Framing(SIZE))
    assert (int(before.images.max()), int(after.images.max())) == (50, 90)


def test_images_that_change_while_they_are_read_make_no_store(tmp_path, monkeypatch):
    """The content of such a store would be unknown: the message asks to run the command again."""
    samples = make(tmp_path)
    original = image_store._fill

    def slow(own, order, watch):
        original(own, order, watch)
        write(samples[0].path, np.zeros((20, 30, 3), np.uint8))

    monkeypatch.setattr(image_store, "_fill", slow)
    with pytest.raises(DataError, match="changed while they were read"):
        open_store(samples, root=tmp_path, framing=Framing(SIZE))
    monkeypatch.undo()
    assert not open_store(samples, root=tmp_path, framing=Framing(SIZE)).images[0].any()


def test_what_makes_another_store(tmp_path, decoded):
    """Another size, resizing, list of samples or content is decoded anew; a touched file is not."""
    samples = make(tmp_path)
    keys = [open_store(samples, root=tmp_path, framing=Framing(SIZE)).key]
    keys.append(open_store(samples, root=tmp_path, framing=Framing((16, 16))).key)
    keys.append(open_store(samples, root=tmp_path, framing=Framing(SIZE, "crop")).key)
    keys.append(open_store(samples[::-1], root=tmp_path, framing=Framing(SIZE)).key)
    keys.append(open_store(samples[1:], root=tmp_path, framing=Framing(SIZE)).key)
    os.utime(samples[0].path, (1, 1))
    assert open_store(samples, root=tmp_path, framing=Framing(SIZE)).key == keys[0]
    write(samples[-1].mask, np.tri(20, 30, dtype=np.uint8))
    store = open_store(samples, root=tmp_path, framing=Framing(SIZE))
    assert store.masks[-1][-1, 0]
    assert len({*keys, store.key}) == 6
    assert len(decoded) == 5 + 5 * 6


def test_content_depends_on_bytes(tmp_path):
    """The digest of the content depends on the bytes of images and masks, not on names or times."""
    samples = make(tmp_path / "a")
    first = open_store(samples, root=tmp_path, framing=Framing(SIZE)).content
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    copied = [
        Sample(tmp_path / "b" / s.path.name, s.label, s.defect, s.mask and tmp_path / "b" / "masks" / s.mask.name)
        for s in samples
    ]
    assert open_store(copied, root=tmp_path, framing=Framing((8, 8))).content == first
    write(copied[-1].mask, np.tri(20, 30, dtype=np.uint8))
    assert open_store(copied, root=tmp_path, framing=Framing((8, 8))).content != first


def _flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def _edit(path: Path, old: bytes, new: bytes) -> None:
    data = path.read_bytes()
    assert old in data
    path.write_bytes(data.replace(old, new))


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


DAMAGE = {
    "no facts": lambda folder: (folder / "store.json").unlink(),
    "no images": lambda folder: (folder / "pictures.bin").unlink(),
    "short images": lambda folder: _cut(folder / "pictures.bin"),
    "short masks": lambda folder: _cut(folder / "masks.bin"),
    "half the facts": lambda folder: _cut(folder / "store.json"),
    "other facts": lambda folder: (folder / "store.json").write_text(json.dumps({"kept": 3})),
    "a list": lambda folder: (folder / "store.json").write_text("[]"),
    "too many": lambda folder: (folder / "store.json").write_text(json.dumps({"kept": [99]})),
    "empty": lambda folder: [path.unlink() for path in folder.iterdir()],
    "deep facts": lambda folder: (folder / "store.json").write_text("[" * 100_000),
    "negative sizes": lambda folder: _edit(folder / "store.json", b"[[20, 30]", b"[[-2, 30]"),
    "a flipped bit in a mask": lambda folder: _flip(folder / "masks.bin"),
    "a flipped bit in an image": lambda folder: _flip(folder / "pictures.bin"),
    "a flipped bit in the facts": lambda folder: _edit(folder / "store.json", b'"kept": [0, 1', b'"kept": [0, 3'),
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_damaged_stores_are_made_again(kind, tmp_path, cache, decoded):
    """A store with anything missing, cut or changed is replaced, with one sentence."""
    samples, said = make(tmp_path), []
    first = open_store(samples, root=tmp_path, framing=Framing(SIZE), say=said.append)
    image_store, masks = np.array(first.images), np.array(first.masks)
    assert said == []
    (folder,) = (cache / "pictures").iterdir()
    DAMAGE[kind](folder)
    for _ in range(2):
        found = open_store(samples, root=tmp_path, framing=Framing(SIZE), say=said.append)
        assert np.array_equal(image_store, found.images)
        assert np.array_equal(masks, found.masks)
        assert found.sizes == first.sizes
    assert len(said) == 1
    assert "are damaged" in said[0]
    assert "decoded again" in said[0]
    assert len(decoded) == 2 * len(samples)
    assert list((cache / "pictures").iterdir()) == [folder]


def test_another_process_was_faster(tmp_path, cache, monkeypatch):
    """If a complete store appears while one is built, it is used, and nothing is left over."""
    samples = make(tmp_path)
    nested = []

    def meanwhile(what: str, done: int, total: int) -> None:
        if done == total and not nested:
            nested.append(open_store(samples, root=tmp_path, framing=Framing(SIZE)))

    store = open_store(samples, root=tmp_path, framing=Framing(SIZE), watch=meanwhile)
    assert len(nested) == 1
    assert np.array_equal(nested[0].images, store.images)
    assert [path.name for path in (cache / "pictures").iterdir()] == [store.key]


def test_two_processes_at_once(tmp_path, cache):
    """Two processes that build the same store at the same time both get it."""
    samples = make(tmp_path, good=30)
    program = (
        "import sys, time; from pathlib import Path; from adbench import Sample\n"
        "from adbench.data import image_store; from adbench.data.framing import Framing\n"
        "samples = [Sample(Path(p)) for p in sys.argv[2:]]\n"
        "while time.time() < float(sys.argv[1]): pass\n"
        "store = image_store.open_store(samples, root=Path(), framing=Framing((64, 64)))\n"
        "print(store.key, int(store.images.astype('int64').sum()))\n"
    )
    arguments = [sys.executable, "-c", program, str(time.time() + 1.5), *(str(s.path) for s in samples)]
    running = [subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    said = [process.communicate(timeout=60)[0].split() for process in running]
    assert [process.returncode for process in running] == [0, 0]
    assert said[0] == said[1]
    assert [path.name for path in (cache / "pictures").iterdir()] == [said[0][0]]


def test_a_store_that_vanishes(tmp_path, cache):
    """Clearing the cache while a store is built costs another try, not the run."""
    samples = make(tmp_path)
    removed = []
    real = image_store._fill

    def fill_and_remove(own, order, watch):
        real(own, order, watch)
        if not removed:
            removed.append(own)
            (own / "pictures.bin").unlink()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(image_store, "_fill", fill_and_remove)
        assert len(open_store(samples, root=tmp_path, framing=Framing(SIZE)).images) == 6
    assert len(removed) == 1


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EROFS])
def test_a_full_disk_is_named(code, tmp_path, cache, monkeypatch):
    """The message about a full disk names the folder and gives a hint; nothing is left behind."""

    def fail(_: int) -> None:
        raise OSError(code, os.strerror(code))

    samples = make(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fail)
        with pytest.raises(DataError, match=r"image cache .*set ADBENCH_CACHE to another folder") as caught:
            open_store(samples, root=tmp_path, framing=Framing(SIZE))
    assert os.strerror(code) in str(caught.value)
    assert list((cache / "pictures").iterdir()) == []
    assert len(open_store(samples, root=tmp_path, framing=Framing(SIZE)).samples) == 6


def test_old_stores_go_where_new_ones_need_their_space(tmp_path, cache, monkeypatch):
    """The limit of the cache holds, and what is open stays, with a sentence, though the limit is then passed."""
    samples, said = make(tmp_path), []
    monkeypatch.setenv("ADBENCH_CACHE_LIMIT", "20KB")
    for side in (16, 32, 48):  # 6, 24 and 54 KB
        open_store(samples, root=tmp_path, framing=Framing((side, side)), say=said.append)
        assert len(list((cache / "pictures").iterdir())) == 1
    opened = open_store(samples, root=tmp_path, framing=Framing((48, 48)))
    assert [text.split(" take ")[1].split(".")[0] for text in said] == ["25 KB", "55 KB"]
    assert "more than its limit of 20 KB (ADBENCH_CACHE_LIMIT)" in said[0]
    other = open_store(samples[1:], root=tmp_path, framing=Framing(SIZE))
    assert {path.name for path in (cache / "pictures").iterdir()} == {opened.key, other.key}
    assert prune() == []
    large, small = opened.key, other.key
    del opened, other
    assert [entry.path.name for entry in prune()] == [large]
    assert [path.name for path in (cache / "pictures").iterdir()] == [small]


def test_a_store_says_what_it_holds(tmp_path, cache):
    """Who lists the cache sees how many images from where, and their size."""
    open_store(make(tmp_path), root=tmp_path, framing=Framing(SIZE))
    (entry,) = entries()
    assert entry.about == f"6 images of {tmp_path} at {SIZE[0]}x{SIZE[1]}"
    assert entry.bytes > 6 * 4 * SIZE[0] * SIZE[1]


def test_too_little_space_is_reported_before_decoding(tmp_path, decoded, monkeypatch):
    """A disk without space for the store is reported before anything is decoded."""
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10**9, 10**9, 10**6))
    with pytest.raises(DataError, match=r"found 1 MB free of the 24 MB needed.*ADBENCH_CACHE"):
        open_store(make(tmp_path), root=tmp_path, framing=Framing((1000, 1000)))
    assert not decoded


def test_a_cache_that_is_a_file(tmp_path, cache):
    """A cache folder that cannot be made is a clear error."""
    cache.write_text("")
    with pytest.raises(DataError, match=r"image cache .*ADBENCH_CACHE"):
        open_store(make(tmp_path), root=tmp_path, framing=Framing(SIZE))


def test_a_break_leaves_nothing(tmp_path, cache):
    """Ctrl-C during decoding leaves no half-written store."""

    def stop(what: str, done: int, total: int) -> None:
        if done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        open_store(make(tmp_path), root=tmp_path, framing=Framing(SIZE), watch=stop)
    assert list((cache / "pictures").iterdir()) == []


def test_what_killed_processes_left_is_removed(tmp_path, cache):
    """An unfinished store without a write for days is removed; a fresh one may still be in use."""
    old, fresh = (cache / "pictures" / f".key-{digit * 32}" for digit in "0f")  # as adbench 0.1 named them
    for folder in (old, fresh):
        folder.mkdir(parents=True)
        (folder / "pictures.bin").write_bytes(b"half")
        days_ago = time.time() - 3 * 24 * 3600
        for path in (folder / "pictures.bin", folder) if folder == old else (folder,):
            os.utime(path, (days_ago, days_ago))
    open_store(make(tmp_path), root=tmp_path, framing=Framing(SIZE))
    assert leftovers(cache) == [fresh]


def test_stores_are_read_only(tmp_path):
    """The images of later runs can't be changed by accident."""
    store = open_store(make(tmp_path), root=tmp_path, framing=Framing(SIZE))
    for part in (store.images, store.masks):
        with pytest.raises(ValueError, match="read-only"):
            part[0] = 0
