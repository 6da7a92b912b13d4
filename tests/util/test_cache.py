"""The limit of the cache: which entries go, in which order, and which stay."""

from __future__ import annotations

import mmap
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from adbench.util import cache, integrity
from adbench.util.errors import OptionError

posix = pytest.mark.skipif(os.name != "posix", reason="needs locks that end with a mapping")


def put(root: Path, name: str, size: int, age: float, *, kind: cache.Kind = "features", about: str = "") -> Path:
    """An entry with this number of bytes, used this number of seconds ago."""
    path = root / cache.FOLDERS[kind] / name
    inside = path if kind == "features" else path / "store.json"
    inside.parent.mkdir(parents=True, exist_ok=True)
    head = integrity.seal({"about": about}).encode() + b"\n"
    inside.write_bytes(head.ljust(size) if size > len(head) else bytes(size))
    for each in {inside, path}:
        os.utime(each, (time.time() - age,) * 2)
    return path


def names(root: Path) -> list[str]:
    return sorted(path.name for folder in cache.places(root) if folder.is_dir() for path in folder.iterdir())


# ---------------------------------------------------------------- the limit


def test_the_limit_is_the_smaller_of_50_gb_and_a_tenth_of_the_disk(tmp_path, monkeypatch):
    """Neither a small nor a large disk is filled; a variable sets another limit."""
    monkeypatch.delenv(cache.LIMIT_VARIABLE, raising=False)
    for disk, expected in ((100 * 10**9, 10 * 10**9), (10**13, 50 * 10**9)):
        monkeypatch.setattr(shutil, "disk_usage", lambda _, disk=disk: shutil._ntuple_diskusage(disk, 0, disk))
        assert cache.limit(tmp_path / "not" / "there") == expected
    monkeypatch.setenv(cache.LIMIT_VARIABLE, "3 GB")
    assert cache.limit(tmp_path) == 3 * 10**9
    monkeypatch.setenv(cache.LIMIT_VARIABLE, "much")
    with pytest.raises(OptionError, match=r"ADBENCH_CACHE_LIMIT.*'much'"):
        cache.limit(tmp_path)


@given(
    sizes=st.lists(st.integers(0, 100), max_size=6),
    need=st.integers(0, 300),
    most=st.integers(0, 300),
    must=st.booleans(),
)
def test_what_was_used_longest_ago_goes_first_and_no_more_than_needed(tmp_path_factory, sizes, need, most, must):
    """The last used entries stay, as many as fit; none goes if that would not be enough."""
    root = tmp_path_factory.mktemp("cache")
    for number, size in enumerate(sizes):
        put(root, str(number), size, age=100 + number, kind="images" if number % 2 else "features")
    fits = cache.free_space(need, cache.places(root), most, must=must)
    kept = len(names(root))
    assert names(root) == [str(number) for number in range(kept)]
    assert fits == (sum(sizes[:kept]) + need <= most)
    if fits:
        assert kept == len(sizes) or sum(sizes[: kept + 1]) + need > most
    else:
        assert kept == (0 if must else len(sizes))


def test_images_and_features_share_the_limit(tmp_path):
    """Old images are removed for new features."""
    put(tmp_path, "old", 60, 200, kind="images")
    put(tmp_path, "new", 60, 100)
    assert cache.free_space(30, cache.places(tmp_path), 100)
    assert names(tmp_path) == ["new"]


def test_a_full_disk_counts_as_a_limit(tmp_path, monkeypatch):
    """If the disk has less free space than the limit allows, entries go until there is enough."""
    put(tmp_path, "a", 60, 200)
    put(tmp_path, "b", 60, 100)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(1000, 900, 10))
    assert cache.free_space(50, cache.places(tmp_path), 10**9)
    assert names(tmp_path) == ["b"]


def test_what_is_being_written_counts_and_stays(tmp_path):
    """A file that another process is writing is never removed."""
    from adbench.util import files

    put(tmp_path, "a", 60, 100)
    with files.NewFile(tmp_path / "features" / "b") as stream:
        stream.write(bytes(50))
        stream.flush()
        assert not cache.free_space(0, cache.places(tmp_path), 40)
        assert cache.free_space(0, cache.places(tmp_path), 60)
    assert names(tmp_path) == ["b"]


# ---------------------------------------------------------------- in use


@posix
def test_what_is_mapped_stays_until_it_is_released(tmp_path):
    """A lock is held as long as the mapping, though the file is closed; in this process and in others."""
    path = put(tmp_path, "a", 4096, 100)
    with path.open("rb") as stream:
        cache.hold(stream)
        mapped = np.memmap(stream, np.uint8, mode="r")
    (entry,) = cache.entries(cache.places(tmp_path))
    assert cache.in_use(entry)
    assert not cache.free_space(0, cache.places(tmp_path), 0, must=True)
    assert path.exists()
    del mapped
    assert not cache.in_use(entry)
    assert cache.free_space(0, cache.places(tmp_path), 0)
    assert not path.exists()


@posix
def test_what_another_process_maps_stays_until_that_ends(tmp_path):
    """However a process ends, no other one is left that would keep the file for ever."""
    path = put(tmp_path, "a", 4096, 100)
    program = (
        "import sys, mmap; from pathlib import Path; from adbench.util import cache\n"
        "with Path(sys.argv[1]).open('rb') as stream:\n"
        "    cache.hold(stream); kept = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)\n"
        "print('mapped', flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-c", program, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        try:
            assert other.stdout.readline().strip() == "mapped"
            assert cache.prune(0, tmp_path) == []
        finally:
            other.kill()
            other.wait()
    assert [entry.path for entry in cache.prune(0, tmp_path)] == [path]


def test_a_removed_file_stays_readable_for_who_has_it_open(tmp_path):
    """On POSIX, a mapped file that is removed has the same bytes to the end."""
    if os.name != "posix":
        pytest.skip("Windows doesn't remove what is open")
    path = put(tmp_path, "a", 4096, 100, about="x")
    with path.open("rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
        before = bytes(mapped)
        assert cache.remove(cache.entries(cache.places(tmp_path))[0])
        assert bytes(mapped) == before


# ---------------------------------------------------------------- what lies there


def test_entries_tell_what_they_are(tmp_path):
    """Entries have kind, size and description, the longest unused first; links and unfinished files are left out."""
    put(tmp_path, "f", 200, 100, about="60 images through resnet18")
    put(tmp_path, "i", 100, 300, kind="images", about="60 images of /data")
    put(tmp_path, "broken", 0, 200)
    (tmp_path / "features" / f".a-{'0' * 32}.tmp").write_bytes(b"half")
    if os.name == "posix":
        (tmp_path / "features" / "link").symlink_to(tmp_path / "features" / "f")
    found = cache.entries(cache.places(tmp_path))
    assert [(entry.kind, entry.path.name, entry.bytes, entry.about) for entry in found] == [
        ("images", "i", 100, "60 images of /data"),
        ("features", "broken", 0, ""),
        ("features", "f", 200, "60 images through resnet18"),
    ]


def test_a_look_is_no_use(tmp_path):
    """Listing the cache doesn't change the order; using an entry does, and its modification time stays."""
    path = put(tmp_path, "f", 200, 300, about="60 images")
    changed = path.stat().st_mtime_ns
    for _ in range(2):
        (entry,) = cache.entries(cache.places(tmp_path))
        if sys.platform == "linux":
            assert entry.about == "60 images"
        assert time.time() - entry.used > 200
    cache.touch(path)
    (entry,) = cache.entries(cache.places(tmp_path))
    assert time.time() - entry.used < 100
    assert path.stat().st_mtime_ns == changed


def test_an_empty_or_missing_cache_is_no_error(tmp_path):
    """There is nothing to list or remove."""
    assert cache.entries(cache.places(tmp_path / "missing")) == []
    assert cache.prune(0, tmp_path / "missing") == []
    assert cache.free_space(10, cache.places(tmp_path / "missing"), 100)


def test_a_second_process_waits_for_what_another_makes(tmp_path, monkeypatch):
    """While one process makes an entry, another one waits and knows it; one that makes two things waits for none."""
    monkeypatch.setenv("ADBENCH_CACHE", str(tmp_path))
    code = (
        "import sys, time; from pathlib import Path; from adbench.util import cache\n"
        "with cache.making(Path(sys.argv[1])) as waited, cache.making(Path('another')) as inner:\n"
        "    print(waited, inner, flush=True); time.sleep(0.6)"
    )
    entry = tmp_path / "features" / "abc.features"
    with subprocess.Popen([sys.executable, "-c", code, str(entry)], stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout.readline() == "False False\n"
        with cache.making(entry) as waited:
            assert waited
            assert other.wait(10) == 0
    with cache.making(entry) as waited:
        assert not waited
