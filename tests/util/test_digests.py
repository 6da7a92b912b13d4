"""Digests of files: which files are read again, and an index that is shared or broken."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from runs import posix_only

from adbench.util import digests
from adbench.util.digests import Digests


@pytest.fixture
def reads(monkeypatch) -> list[Path]:
    """The files whose contents were read; for this fixture no file is too fresh to be remembered."""
    read: list[Path] = []
    lock = threading.Lock()
    original = digests._digest_of

    def counted(path: Path) -> str | None:
        with lock:
            read.append(path)
        return original(path)

    monkeypatch.setattr(digests, "_digest_of", counted)
    monkeypatch.setattr(digests, "_is_fresh", lambda seen: False)
    return read


@pytest.fixture
def files(tmp_path) -> list[Path]:
    """Two hundred files of the same length."""
    (tmp_path / "data").mkdir()
    paths = [tmp_path / "data" / f"{number:03d}.bmp" for number in range(200)]
    for number, path in enumerate(paths):
        path.write_bytes(f"{number:08d}".encode())
    return paths


def test_a_file_is_read_once(tmp_path, files, reads):
    """A second look, by another object or another process, opens no file."""
    first = Digests(tmp_path).of(files)
    assert sorted(reads) == files
    assert len(set(first.values())) == 200
    assert Digests(tmp_path).bytes_to_read(files) == 0
    assert Digests(tmp_path).of(files) == first
    assert len(reads) == 200


@pytest.mark.slow
def test_3000_images_of_a_megabyte_are_checked_again_without_a_read(tmp_path, reads):
    """No content is read the second time, so it takes the time of 3,000 looks at a folder; ``pytest -s`` prints it."""
    paths = [tmp_path / f"{number:04d}.png" for number in range(3000)]
    for number, path in enumerate(paths):
        with path.open("wb") as stream:
            stream.write(f"{number:08d}".encode())
            stream.truncate(1_000_000)  # the rest is zeros, which take no space on the disk
    index, seconds = tmp_path / "index", []
    for _ in range(2):
        began = time.perf_counter()
        assert len(set(Digests(index).of(paths).values())) == 3000
        seconds.append(time.perf_counter() - began)
    assert sorted(reads) == paths
    assert Digests(index).bytes_to_read(paths) == 0
    print(f"3,000 files of 1 MB: {len(reads)} read in {seconds[0]:.2f} s, then none in {seconds[1]:.2f} s")


@pytest.mark.parametrize("change", ["another length", "the same length", "another file", "the same times"])
def test_a_changed_file_is_read_again(tmp_path, files, reads, change):
    """New content of the same length counts, also in another file with the old times, and if the times are set back."""
    if change == "the same times" and sys.platform == "win32":
        pytest.skip("Windows has no time of status change")
    before = Digests(tmp_path).of(files)
    reads.clear()
    times = files[7].stat()
    if change == "another file":
        files[7].unlink()
        (tmp_path / "other").write_bytes(b"holds the inode")
    files[7].write_bytes(b"changed!" if change != "another length" else b"changed")
    if change != "another length":
        os.utime(files[7], ns=(times.st_atime_ns, times.st_mtime_ns + (change == "the same length")))
    assert Digests(tmp_path).bytes_to_read(files) == files[7].stat().st_size
    after = Digests(tmp_path).of(files)
    assert reads == [files[7]]
    assert {path for path in files if before[path] != after[path]} == {files[7]}


def test_a_file_that_was_just_written_is_not_trusted(tmp_path, files):
    """The next change within the clock's step would leave the same times, so the digest is not remembered yet."""
    now = files[0].stat().st_mtime
    old = Digests(tmp_path)
    for path in files[1:]:
        os.utime(path, (now - 60, now - 60))
    whole = (int(files[0].stat().st_mtime_ns) // 10**9 + 5) * 10**9
    os.utime(files[0], ns=(whole, whole))
    old.of(files[:1])
    assert old.bytes_to_read(files[:1]) == 8


def test_what_is_no_readable_file_has_no_digest(tmp_path, files):
    """A missing file and a folder are None, beside intact files."""
    found = Digests(tmp_path).of([files[0], tmp_path / "missing", tmp_path, Path("null\0character")])
    assert [digest is None for digest in found.values()] == [False, True, True, True]


@posix_only
def test_a_pipe_is_not_waited_for(tmp_path):
    """Opening a named pipe would wait for a writer."""
    os.mkfifo(tmp_path / "pipe")
    assert Digests(tmp_path).of([tmp_path / "pipe"]) == {tmp_path / "pipe": None}


@posix_only
def test_a_name_that_is_no_text_is_remembered(tmp_path, reads):
    """File names are bytes on POSIX."""
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff.png"))
    path.write_bytes(b"1")
    assert Digests(tmp_path).of([path]) == Digests(tmp_path).of([path])
    assert reads == [path]


@pytest.mark.parametrize("damage", ["text", "cut", "other format", "folder"])
def test_a_broken_index_only_costs_time(tmp_path, files, reads, damage):
    """The digests are still right, and the index is made anew if possible."""
    before = Digests(tmp_path).of(files)
    index = tmp_path / digests.INDEX
    if damage == "text":
        index.write_text("no database " * 100)
    elif damage == "cut":
        index.write_bytes(index.read_bytes()[:5000])
    elif damage == "folder":
        index.unlink()
        index.mkdir()
    else:
        opened = sqlite3.connect(index)
        opened.execute("PRAGMA user_version = 99")
        opened.close()
    reads.clear()
    assert Digests(tmp_path).of(files) == before
    assert len(reads) == 200
    Digests(tmp_path).of(files)
    assert len(reads) == (400 if damage == "folder" else 200)


def test_an_index_that_another_process_holds_is_done_without(tmp_path, files, reads, monkeypatch):
    """Waiting ends; the digests are right, and not remembered."""
    monkeypatch.setattr(digests, "PATIENCE", 0.05)
    before = Digests(tmp_path).of(files[:3])
    holding = sqlite3.connect(tmp_path / digests.INDEX, isolation_level="EXCLUSIVE")
    holding.execute("BEGIN EXCLUSIVE")
    try:
        assert Digests(tmp_path).of(files[:3]) == before
    finally:
        holding.rollback()
        holding.close()
    assert len(reads) == 6


def test_processes_that_hash_at_the_same_time_share_the_index(tmp_path, files):
    """Each writes what it read, and none breaks the other's."""
    for path in files:
        os.utime(path, (1e9, 1e9))
    program = (
        "import sys; from pathlib import Path; from adbench.util import digests\n"
        "digests._is_fresh = lambda seen: False\n"
        "print(sorted(digests.Digests(Path(sys.argv[1])).of(map(Path, sys.argv[2:])).values()))"
    )
    parts = [files[:120], files[80:], files[::2]]
    running = [
        subprocess.Popen([sys.executable, "-c", program, tmp_path, *part], stdout=subprocess.PIPE, text=True)
        for part in parts
    ]
    printed = [process.communicate(timeout=60)[0] for process in running]
    assert printed == [f"{sorted(Digests(tmp_path / 'other').of(part).values())}\n" for part in parts]
    assert Digests(tmp_path).bytes_to_read(files) == 0


def remembered(folder: Path) -> set[str]:
    """Names of the files whose digests are in the index."""
    with contextlib.closing(sqlite3.connect(folder / digests.INDEX)) as index:
        return {Path(os.fsdecode(key)).name for (key,) in index.execute("SELECT path FROM files")}


def test_digests_of_files_that_are_gone_leave_the_index(tmp_path, files, reads, monkeypatch):
    """A few are looked at with each write, and in the end all; those of files that exist stay."""
    monkeypatch.setattr(digests, "LOOKED_AT", 30)
    Digests(tmp_path).of(files)
    for path in files[::2]:
        path.unlink()
    counts = []
    for number in range(7):
        new = tmp_path / f"new{number}.bmp"
        new.write_bytes(b"new")
        Digests(tmp_path).of([new])
        counts.append(len(remembered(tmp_path)))
    assert counts[0] > counts[3] > counts[-1] == 107
    assert remembered(tmp_path) == {path.name for path in files[1::2]} | {f"new{number}.bmp" for number in range(7)}
    assert Digests(tmp_path).bytes_to_read(files[1::2]) == 0


def test_the_index_never_holds_more_than_the_limit(tmp_path, files, reads, monkeypatch):
    """Those seen longest ago go first. Their files are read again, and get the same digests."""
    monkeypatch.setattr(digests, "MOST", 60)
    monkeypatch.setattr(digests, "LOOKED_AT", 0)
    before: dict[Path, str | None] = {}
    for start in range(0, 200, 10):
        before |= Digests(tmp_path).of(files[start : start + 10])
    kept = remembered(tmp_path)
    assert len(kept) == 60
    assert kept >= {path.name for path in files[-20:]}
    assert Digests(tmp_path).of(files) == before
    assert len(remembered(tmp_path)) == 60


def test_progress_is_reported_where_files_are_read(tmp_path, files, reads):
    """There is one step for each file that is read, and none if all digests are known."""
    heard = []
    Digests(tmp_path).of(files, lambda *step: heard.append(step))
    assert heard == [("hash", number, 200) for number in range(1, 201)]
    Digests(tmp_path).of(files, lambda *step: pytest.fail("read again"))


@settings(max_examples=200)
@given(st.integers(0, 2**64 - 1), st.integers(0, 2**64 - 1))
def test_inodes_fit_into_the_index_and_stay_apart(one, other):
    """SQLite's integers have a sign; two inodes never become one."""
    assert -(2**63) <= digests._signed(one) < 2**63
    assert (digests._signed(one) == digests._signed(other)) == (one == other)
