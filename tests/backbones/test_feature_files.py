"""Feature files that are damaged, unfinished, written twice or not at all."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
import torch
from feature_doubles import COUNT, CPU, PLENTY, Source, assert_equal

from adbench.backbones import feature_files
from adbench.backbones.feature_cache import FeatureCache
from adbench.util import files


@pytest.mark.parametrize("damage", ["cut", "longer", "header", "empty", "flipped", "last level", "deep", "negative"])
def test_damaged_files_are_not_used(damage, tmp_path):
    """A file that differs from what was written is made anew, with one sentence."""
    FeatureCache(budget=0, folder=tmp_path).table("key", COUNT, Source(), CPU)
    (path,) = tmp_path.iterdir()
    content = path.read_bytes()
    path.unlink()
    damaged = {
        "cut": content[:-1],
        "longer": content + b"0",
        "header": content.replace(b"float32", b"floa\xff32"),
        "empty": b"",
        "flipped": flipped(content, feature_files.HEADER + 1000),
        "last level": flipped(content, len(content) - 100),
        "deep": b"[" * len(content),
        "negative": content.replace(b'"channels": 5', b'"channels":-5'),
    }
    assert damaged[damage] != content
    path.write_bytes(damaged[damage])
    source, said = Source(), []
    table = FeatureCache(budget=0, folder=tmp_path, say=said.append).table("key", COUNT, source, CPU)
    assert said == ["A file of cached features is damaged. Its features are computed again."]
    assert sum(map(len, source.asked)) == COUNT
    assert_equal(source(torch.arange(COUNT)), table.gather(torch.arange(COUNT)))
    assert path.read_bytes() == content


def flipped(data: bytes, place: int) -> bytes:
    return data[:place] + bytes([data[place] ^ 64]) + data[place + 1 :]


def test_broken_off_leaves_nothing_behind(tmp_path):
    """After Ctrl-C or an error there is no file, and the next run computes the whole table."""

    def broken(rows: torch.Tensor) -> list[torch.Tensor]:
        if 8 in rows:
            raise KeyboardInterrupt
        return Source()(rows)

    with pytest.raises(KeyboardInterrupt):
        FeatureCache(budget=PLENTY, folder=tmp_path).table("key", COUNT, broken, CPU)
    assert list(tmp_path.iterdir()) == []
    source = Source()
    FeatureCache(budget=PLENTY, folder=tmp_path).table("key", COUNT, source, CPU)
    assert sum(map(len, source.asked)) == COUNT


def test_unfinished_files_of_the_dead_are_removed(tmp_path):
    """A killed process's half-written file is never read, and is removed after a long time without a write."""
    old, new = (tmp_path / f"a-{digit * 32}.part" for digit in "0f")  # as adbench 0.1 named them
    for path in (old, new):
        path.write_bytes(b"half")
    past = time.time() - 2 * files.DEAD_AFTER
    os.utime(old, (past, past))
    FeatureCache(budget=0, folder=tmp_path).table("key", COUNT, Source(), CPU)
    assert not old.exists()
    assert new.exists()


def test_a_file_that_goes_meanwhile_is_no_failure(monkeypatch, tmp_path):
    """Another process may finish or remove a table between listing the folder and reading the file."""
    gone = tmp_path / "a.part"
    gone.write_bytes(b"half")
    original = Path.stat

    def stat(path, **words):
        if path == gone:
            raise FileNotFoundError(gone)
        return original(path, **words)

    monkeypatch.setattr(Path, "stat", stat)
    FeatureCache(budget=0, folder=tmp_path).table("key", COUNT, Source(), CPU)
    assert len(list(tmp_path.glob(f"*{feature_files.SUFFIX}"))) == 1


def test_two_writers_of_the_same_table(tmp_path):
    """While one run writes a table, another may make the same: both get it, and one complete file remains."""
    inner = Source()

    def outer(rows: torch.Tensor) -> list[torch.Tensor]:
        if 8 in rows:
            FeatureCache(budget=0, folder=tmp_path).table("key", COUNT, inner, CPU)
        return Source()(rows)

    table = FeatureCache(budget=0, folder=tmp_path).table("key", COUNT, outer, CPU)
    assert sum(map(len, inner.asked)) == COUNT  # the unfinished file was not taken for a table
    assert [path.suffix for path in tmp_path.iterdir()] == [feature_files.SUFFIX]
    assert_equal(inner(torch.arange(COUNT)), table.gather(torch.arange(COUNT)))


@pytest.mark.parametrize("call", ["put", "finish"])
@pytest.mark.parametrize("budget", [PLENTY, 0])
def test_a_full_disk_is_no_failure(call, budget, monkeypatch, tmp_path):
    """When the disk is full, the table stays in memory or is computed on demand, and no file is left."""

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(feature_files.Writer, call, full)
    source = Source()
    table = FeatureCache(budget=budget, folder=tmp_path).table("key", COUNT, source, CPU)
    assert table.place == ("memory" if budget else "none")
    assert_equal(source(torch.arange(3)), table.gather(torch.arange(3)))
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_made_is_no_failure(tmp_path):
    """If the cache folder can't be written, tables are kept only in memory."""
    (tmp_path / "file").write_text("in the way")
    table = FeatureCache(budget=PLENTY, folder=tmp_path / "file" / "features").table("key", COUNT, Source(), CPU)
    assert table.place == "memory"
