"""Feature tables: the same numbers wherever they are stored, and no half-written one is ever used."""

from __future__ import annotations

import gc
import os
import time
from pathlib import Path

import pytest
import torch
from feature_doubles import COUNT, CPU, PLENTY, Source, assert_equal
from hypothesis import given, settings
from hypothesis import strategies as st

from adbench.backbones import feature_cache, feature_files
from adbench.backbones.feature_cache import FeatureCache
from adbench.util.cache import entries
from adbench.util.errors import OptionError


def place_of(kind: str, folder: Path) -> FeatureCache:
    """A cache that can keep a table only in memory, only on disk, or nowhere."""
    cache = FeatureCache(budget=PLENTY if kind == "memory" else 0, folder=folder)
    if kind != "disk":
        cache.files = feature_files.FeatureFiles(folder, limit=0)
    return cache


@pytest.mark.parametrize("place", ["memory", "disk", "none"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("channels_last", [False, True])
def test_tables_are_the_direct_computation(place, dtype, channels_last, tmp_path):
    """A table returns exactly the computed values in every place, type and memory format."""
    source = Source(dtype, channels_last)
    table = place_of(place, tmp_path).table("key", COUNT, source, CPU)
    assert table.place == place
    assert len(table) == COUNT
    assert table.bytes == (0 if place == "none" else COUNT * (5 * 4 * 6 + 3 * 2 * 3) * dtype.itemsize)
    for rows in (torch.arange(COUNT), torch.tensor([7]), torch.tensor([3, 18, 0, 3])):
        assert_equal(source(rows), table.gather(rows))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize(("budget", "place"), [(PLENTY, "device"), (None, "device"), (0, "disk")])
def test_tables_on_a_gpu(budget, place, tmp_path):
    """On a GPU, tables are on the device where they fit, and return to it from anywhere."""
    device = torch.device("cuda", 0)
    source = Source(torch.bfloat16, channels_last=True)

    def compute(rows: torch.Tensor) -> list[torch.Tensor]:
        return [x.to(device) for x in source(rows)]

    for _ in range(2):  # made, then opened
        table = FeatureCache(budget=budget, folder=tmp_path).table("key", COUNT, compute, device)
        assert table.place == place
        for rows in (torch.arange(4, 9), torch.tensor([3, 18, 0, 3])):
            found = table.gather(rows)
            assert all(x.device == device for x in found)
            assert_equal(compute(rows), found)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize(("kept", "place"), [("on disk", "disk"), ("in memory", "memory"), ("nowhere", "none")])
def test_tables_leave_a_gpu_that_runs_out_of_memory(kept, place, monkeypatch, tmp_path):
    """They move to their file, else to the CPU's memory, else they are computed anew; the numbers stay."""
    device = torch.device("cuda", 0)

    def compute(rows: torch.Tensor) -> list[torch.Tensor]:
        return [x.to(device) for x in Source(torch.bfloat16)(rows)]

    cache = FeatureCache(budget=PLENTY, folder=tmp_path)
    table = cache.table("key", COUNT, compute, device)
    while not list(tmp_path.glob("*.features")):  # it is finished while the GPU goes on
        time.sleep(0.01)
    if kept != "on disk":
        next(tmp_path.glob("*.features")).unlink()
    if kept == "nowhere":
        monkeypatch.setattr(cache, "budget", 0)
    taken = table.bytes
    assert (table.place, cache.leave(device), table.place, cache.leave(device)) == ("device", taken, place, 0)
    assert all(x.device == device for x in table.gather(torch.tensor([3, 18, 0])))
    assert_equal(compute(torch.tensor([3, 18, 0])), table.gather(torch.tensor([3, 18, 0])))


def test_tables_leave_a_cpu_that_runs_out_of_memory_where_they_have_a_file(tmp_path):
    """They move there with the same numbers; a table without a file stays, since computing it takes longest."""
    cache = FeatureCache(budget=PLENTY, folder=tmp_path)
    filed, unused = (cache.table(key, COUNT, Source(torch.bfloat16), CPU) for key in ("filed", "unused"))
    taken = filed.bytes
    bare = FeatureCache(budget=PLENTY, folder=tmp_path / "bare")
    only_in_memory = bare.table("key", COUNT, Source(torch.bfloat16), CPU)
    next((tmp_path / "bare").glob("*.features")).unlink()
    del unused

    assert (filed.place, only_in_memory.place) == ("memory", "memory")
    assert (cache.leave(CPU), bare.leave(CPU)) == (2 * taken, 0)
    assert (filed.place, only_in_memory.place) == ("disk", "memory")
    assert (cache.leave(CPU), cache.leave(torch.device("cuda", 0))) == (0, 0)
    rows = torch.tensor([7, 0, 7])
    assert_equal(Source(torch.bfloat16)(rows), filed.gather(rows))
    assert cache.table("filed", COUNT, Source(torch.bfloat16), CPU) is filed


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    """One table in memory and one on disk, from a source that counts its calls."""
    folder = tmp_path_factory.mktemp("features")
    return [place_of(place, folder).table("key", COUNT, Source(torch.bfloat16), CPU) for place in ("memory", "disk")]


@settings(max_examples=40, deadline=None)
@given(rows=st.lists(st.integers(0, COUNT - 1), min_size=0, max_size=30))
def test_any_order_gives_the_same_rows(kept, rows):
    """Any rows, in any order and any number of times, are the computed ones."""
    expected = Source(torch.bfloat16)(torch.tensor(rows, dtype=torch.int64))
    for table in kept:
        for want, got in zip(expected, table.gather(torch.tensor(rows, dtype=torch.int64)), strict=True):
            assert torch.equal(want, got)


@settings(max_examples=15, deadline=None)
@given(count=st.integers(1, 20), chunk=st.integers(1, 9))
def test_computed_once_in_ascending_chunks(count, chunk, tmp_path_factory):
    """Every row is computed exactly once, in order, never more than a chunk at a time; progress reaches the end."""
    source, heard = Source(), []
    cache = FeatureCache(budget=PLENTY, folder=tmp_path_factory.mktemp("features"))
    cache.table("key", count, source, CPU, chunk=chunk, watch=lambda *what: heard.append(what))
    assert [row for rows in source.asked for row in rows] == list(range(count))
    assert max(len(rows) for rows in source.asked) == min(chunk, count)
    assert [done for _, done, _ in heard] == sorted(done for _, done, _ in heard)
    assert heard[-1] == ("features", count, count)


@pytest.mark.parametrize("budget", [PLENTY, 0])
def test_tables_survive_a_restart(budget, tmp_path):
    """A second cache on the same folder computes and reads nothing; another key, count or chunk is another table."""
    first = Source(torch.bfloat16, channels_last=True)
    FeatureCache(budget=budget, folder=tmp_path).table("key", COUNT, first, CPU)
    second = Source(torch.bfloat16, channels_last=True)
    cache = FeatureCache(budget=budget, folder=tmp_path)
    table = cache.table("key", COUNT, second, CPU)
    assert second.asked == []
    assert table.place == "disk"
    assert_equal(first(torch.tensor([5, 2])), table.gather(torch.tensor([5, 2])))
    cache.table("other", COUNT, second, CPU)
    cache.table("key", COUNT - 1, second, CPU)
    cache.table("key", COUNT, second, CPU, chunk=4)
    assert sum(map(len, second.asked)) == 3 * COUNT - 1


def test_asking_again_gives_the_same_table(tmp_path):
    """A process shares a table that is in use, and still finds one that is no longer in use."""
    source, cache = Source(), FeatureCache(budget=PLENTY, folder=tmp_path)
    table = cache.table("key", COUNT, source, CPU)
    assert cache.table("key", COUNT, source, CPU) is table
    del table
    gc.collect()
    for path in tmp_path.iterdir():
        path.unlink()
    cache.table("key", COUNT, source, CPU)
    assert sum(map(len, source.asked)) == COUNT


def test_unused_tables_give_way_to_new_ones(tmp_path):
    """The budget holds: the longest unused table goes, tables in use stay, others go to disk."""
    size = COUNT * (5 * 4 * 6 + 3 * 2 * 3) * 4
    cache = FeatureCache(budget=2 * size, folder=tmp_path)
    used = cache.table("used", COUNT, Source(), CPU)
    cache.table("idle", COUNT, Source(), CPU)
    gc.collect()
    newer = cache.table("newer", COUNT, Source(), CPU)  # "idle" gives way
    assert [used.place, newer.place] == ["memory", "memory"]
    assert len(cache._entries) == 2
    assert cache.table("third", COUNT, Source(), CPU).place == "disk"
    assert cache.table("used", COUNT, Source(), CPU) is used


def test_unused_tables_do_not_pile_up(tmp_path):
    """However many tables a process uses, only the last few unused ones stay."""
    cache = FeatureCache(budget=PLENTY, folder=tmp_path)
    for number in range(2 * feature_cache.IDLE_TABLES):
        cache.table(f"class {number}", COUNT, Source(), CPU)
    gc.collect()
    assert len(cache._entries) <= feature_cache.IDLE_TABLES + 1
    cache.clear()
    assert not cache._entries


def test_disk_limit_removes_what_was_used_longest_ago(tmp_path):
    """Files over the limit go, the longest unused first; a table larger than the limit isn't written."""
    FeatureCache(budget=0, folder=tmp_path).table("key", COUNT, Source(), CPU)
    (path,) = tmp_path.iterdir()
    files = feature_files.FeatureFiles(tmp_path, limit=2 * path.stat().st_size)
    cache = FeatureCache(budget=0, folder=tmp_path)
    cache.files = files
    cache.table("second", COUNT, Source(), CPU)
    for age, name in enumerate(sorted(tmp_path.iterdir(), key=lambda each: each != path)):
        os.utime(name, (time.time() - 100 + age,) * 2)
    cache.table("key", COUNT, Source(), CPU)  # used now, so "second" is the older one
    cache.table("third", COUNT, Source(), CPU)
    assert len(list(tmp_path.iterdir())) == 2
    assert path.exists()
    assert cache.table("large", 9 * COUNT, Source(), CPU).place == "none"


def test_rows_that_are_not_there(tmp_path):
    """A row outside the table is an error, and so is a table without rows."""
    cache = FeatureCache(budget=PLENTY, folder=tmp_path)
    table = cache.table("key", COUNT, Source(), CPU)
    for rows in ([COUNT - 1, COUNT], [-1, 0]):
        with pytest.raises(IndexError, match=f"table of {COUNT}"):
            table.gather(torch.tensor(rows))
    with pytest.raises(ValueError, match="0 rows"):
        cache.table("empty", 0, Source(), CPU)


def test_features_share_the_limit_of_the_cache(monkeypatch, tmp_path):
    """Old images go for new features; features that don't fit beside what is in use are kept in memory only."""
    monkeypatch.setenv("ADBENCH_CACHE", str(tmp_path))
    monkeypatch.setenv("ADBENCH_CACHE_LIMIT", "60KB")
    images = tmp_path / "pictures" / "old"
    images.mkdir(parents=True)
    (images / "pictures.bin").write_bytes(bytes(40_000))
    first = FeatureCache(budget=0).table("key", COUNT, Source(), CPU, about="19 images")  # 16 KB and 10 KB
    assert first.place == "disk"
    assert not images.exists()
    assert FeatureCache(budget=0).table("second", COUNT, Source(), CPU).place == "disk"
    kept = FeatureCache(budget=PLENTY).table("third", 9 * COUNT, Source(), CPU)
    assert kept.place == "memory"
    assert entries()[0].about == "19 images"
    assert len(entries()) == 2


def test_budgets_from_the_environment(monkeypatch, tmp_path):
    """Both budgets can be set by environment variables, and the message about a bad value names the variable."""
    monkeypatch.setenv(feature_cache.BUDGET_VARIABLE, "0")
    monkeypatch.setenv(feature_cache.DISK_VARIABLE, "0")
    assert FeatureCache(folder=tmp_path).table("key", COUNT, Source(), CPU).place == "none"
    monkeypatch.setenv(feature_cache.BUDGET_VARIABLE, "a lot")
    with pytest.raises(OptionError, match=r"ADBENCH_FEATURE_BUDGET.*'a lot'.*4GB"):
        FeatureCache(folder=tmp_path)


def test_default_budget_leaves_half_of_the_memory(monkeypatch, tmp_path):
    """Without a budget, a table that needs more than half of the free memory isn't kept in memory."""
    size = COUNT * (5 * 4 * 6 + 3 * 2 * 3) * 4
    monkeypatch.setattr(feature_cache, "_free", lambda _: 2 * size - 2)
    assert FeatureCache(folder=tmp_path).table("key", COUNT, Source(), CPU).place == "disk"
    monkeypatch.setattr(feature_cache, "_free", lambda _: 2 * size)
    assert FeatureCache(folder=tmp_path).table("other", COUNT, Source(), CPU).place == "memory"


def test_more_levels_than_a_header_holds_are_not_written(tmp_path):
    """No broken file is stored, and the features stay in memory."""

    def compute(rows: torch.Tensor) -> list[torch.Tensor]:
        return [torch.ones(len(rows), 1, 1, 1)] * 200

    table = FeatureCache(budget=PLENTY, folder=tmp_path).table("key", 3, compute, CPU)
    assert table.place == "memory"
    assert list(tmp_path.iterdir()) == []
