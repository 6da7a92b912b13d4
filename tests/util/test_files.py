"""Files that are complete or missing, and the remains of killed processes."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adbench.util import files

posix = pytest.mark.skipif(os.name != "posix", reason="needs locks that end with a process")

KILLED = """
import os, sys
from pathlib import Path
from adbench.util import files
place = Path(sys.argv[1])
if sys.argv[2] == "file":
    made = files.NewFile(place)
    made.stream.write(b"half")
else:
    made = files.new_folder(place)
    own = made.__enter__()
    (own / "inner").mkdir()
    (own / "inner" / "half.png").write_bytes(b"half")
print("started", flush=True)
sys.stdin.read()
"""


def writer(place: Path, kind: str) -> subprocess.Popen[str]:
    """A process that has begun to write ``place`` and waits."""
    command = [sys.executable, "-c", KILLED, str(place), kind]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline().strip() == "started"
    return process


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def age(path: Path, seconds: float) -> None:
    then = time.time() - seconds
    for each in (path, *path.rglob("*")) if path.is_dir() else (path,):
        os.utime(each, (then, then))


def fail(*_: object) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


# ---------------------------------------------------------------- writing


def test_a_file_is_the_old_one_or_the_whole_new_one(tmp_path, monkeypatch):
    """Whatever fails, the old file is untouched and nothing else is left."""
    path = tmp_path / "a.txt"
    files.write(path, lambda stream: stream.write(b"old"))
    with pytest.raises(ZeroDivisionError):
        files.write(path, lambda stream: (stream.write(b"new"), 1 / 0))
    for name in ("fsync", "replace"):
        with monkeypatch.context() as patch:
            patch.setattr(os, name, fail)
            with pytest.raises(OSError, match="No space"):
                files.write(path, lambda stream: stream.write(b"new"))
        assert (names(tmp_path), path.read_bytes()) == (["a.txt"], b"old")
    files.write(path, lambda stream: stream.write(b"new"))
    assert (names(tmp_path), path.read_bytes()) == (["a.txt"], b"new")


def test_a_link_at_the_temporary_name_is_never_followed(tmp_path, monkeypatch):
    """Even if the name is guessed, the link's target stays unchanged, and the write fails."""
    victim, path = tmp_path / "victim", tmp_path / "a.txt"
    victim.write_text("precious")
    monkeypatch.setattr(files.secrets, "token_hex", lambda size: "0" * 2 * size)
    planted = tmp_path / f".a.txt-{'0' * 32}.tmp"
    planted.symlink_to(victim)
    with pytest.raises(FileExistsError):
        files.write(path, lambda stream: stream.write(b"new"))
    with pytest.raises(FileExistsError), files.new_folder(path):
        pass
    assert victim.read_text() == "precious"
    assert not path.exists()


def test_temporary_names_cannot_be_guessed(tmp_path):
    """No two are equal, and each has 128 random bits."""
    made = [files.NewFile(tmp_path / "a.txt") for _ in range(20)]
    assert len({name[-36:-4] for name in names(tmp_path)}) == 20
    for each in made:
        each.discard()
    assert names(tmp_path) == []


def test_the_longest_names_can_be_written(tmp_path):
    """A name of 255 bytes, which is the limit of most file systems, has a temporary name that fits, too."""
    for name in ("x" * 255, "ä" * 127, "零" * 85):
        files.write(tmp_path / name, lambda stream: stream.write(b"new"))
        assert (tmp_path / name).read_bytes() == b"new"


@pytest.mark.parametrize("links", [True, False])
def test_a_file_under_a_second_name(links, tmp_path, monkeypatch):
    """As a link or a copy it is the same file, an older one is replaced, and its own second name does no harm."""
    if not links:
        monkeypatch.setattr(Path, "hardlink_to", fail)
    source, path = tmp_path / "a", tmp_path / "b"
    source.write_bytes(b"one")
    path.write_bytes(b"older")
    for _ in range(2):
        files.link_or_copy(source, path)
        assert (names(tmp_path), path.read_bytes()) == (["a", "b"], b"one")
    assert path.samefile(source) == links
    with pytest.raises(FileNotFoundError):
        files.link_or_copy(tmp_path / "missing", path)
    assert names(tmp_path) == ["a", "b"]


def test_a_folder_is_put_in_place_or_removed(tmp_path):
    """A filled folder replaces an older one; after an error only the older one is left."""
    place = tmp_path / "deep" / "maps"
    for content in ("one", "two"):
        with files.new_folder(place) as own:
            (own / "a.txt").write_text(content)
            files.replace_folder(own, place)
        assert (names(place.parent), (place / "a.txt").read_text()) == (["maps"], content)
    with pytest.raises(ZeroDivisionError), files.new_folder(place) as own:
        (own / "a.txt").write_text(str(1 / 0))
    assert (names(place.parent), (place / "a.txt").read_text()) == (["maps"], "two")


def test_a_file_that_another_machine_removes_is_written_again(tmp_path):
    """Without a common lock a living writer's temporary file looks abandoned; without its folder it is an error."""
    calls = []

    def fill(stream):
        calls.append(stream.write(b"whole"))
        if len(calls) < 3:
            (left,) = files.temporaries(tmp_path)
            left.unlink()

    files.write(tmp_path / "a", fill)
    assert (len(calls), (tmp_path / "a").read_bytes()) == (3, b"whole")
    (tmp_path / "b").mkdir()
    with pytest.raises(FileNotFoundError):
        files.write(tmp_path / "b" / "a", lambda stream: shutil.rmtree(tmp_path / "b"))


# ---------------------------------------------------------------- what killed processes left


@posix
@pytest.mark.parametrize("kind", ["file", "folder"])
def test_what_a_killed_process_left_goes_at_once_and_not_before(kind, tmp_path):
    """While the writer lives its files stay, however old they look; once it is killed the next sweep removes them."""
    with writer(tmp_path / "store", kind) as process:
        try:
            (left,) = tmp_path.iterdir()
            age(left, 10 * files.DEAD_AFTER)
            assert files.sweep(tmp_path) == 0
            assert left.exists()
        finally:
            process.kill()
            process.wait()
    assert files.temporaries(tmp_path) == [left]
    assert files.sweep(tmp_path) == 1
    assert names(tmp_path) == []


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_where_there_are_no_locks_age_decides(kind, tmp_path, monkeypatch):
    """On a file system without locks, or on Windows, files without a write for a day go, and nothing else."""
    monkeypatch.setattr(files, "fcntl", None)
    for name, old in (("a", False), ("b", True)):
        left = tmp_path / f".{name}-{'0' * 32}.tmp"
        if kind == "folder":
            left.mkdir()
            (left / "half.png").write_bytes(b"half")
        else:
            left.write_bytes(b"half")
        if old:
            age(left, 2 * files.DEAD_AFTER)
    assert files.sweep(tmp_path) == 1
    assert names(tmp_path) == [f".a-{'0' * 32}.tmp"]


def test_a_folder_that_is_still_filled_is_not_old(tmp_path, monkeypatch):
    """Its newest file counts, however deep, not the time at which the folder was made."""
    monkeypatch.setattr(files, "fcntl", None)
    left = tmp_path / f".store-{'0' * 32}.tmp"
    (left / "deep").mkdir(parents=True)
    for name in ("old.png", "new.png"):
        (left / "deep" / name).write_bytes(b"")
    age(left, 2 * files.DEAD_AFTER)
    (left / "deep" / "new.png").write_bytes(b"more")
    assert files.sweep(tmp_path) == 0
    age(left, 2 * files.DEAD_AFTER)
    assert files.sweep(tmp_path) == 1


@posix
def test_a_writer_that_loses_a_race_begins_again(tmp_path, monkeypatch):
    """A sweep between creating and locking a file costs another name, and nothing that was written."""
    real, swept = files._lock, []

    def lock_late(descriptor: int) -> None:
        if not swept:
            swept.append(files.sweep(tmp_path))
        real(descriptor)

    monkeypatch.setattr(files, "_lock", lock_late)
    files.write(tmp_path / "a.txt", lambda stream: stream.write(b"whole"))
    assert swept == [1]
    assert (names(tmp_path), (tmp_path / "a.txt").read_bytes()) == (["a.txt"], b"whole")


@given(st.text(st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1, max_size=30))
def test_a_users_files_are_never_taken_for_temporary_ones(name):
    """A hidden file with any ending stays: only a name with 32 hexadecimal digits before its ending is ours."""
    short = "0" * 31
    for each in (name, f".{name}", f"{name}.tmp", f".a-{name}.tmp", f".{name}-{short}.tmp", f"{name}-{short}.part"):
        assert not files._is_temporary(each)


def test_what_adbench_0_1_left_goes_by_age(tmp_path):
    """Its writers held no locks, so only a day without a write shows that they are gone."""
    left = [f".demo-v1-{'0' * 32}", f"0123-{'f' * 32}.part", ".scores.csv.tmp", ".result.json.tmp", ".state.pt.tmp"]
    for name in left:
        (tmp_path / name).write_bytes(b"half")
    (tmp_path / ".lock").write_bytes(b"")
    assert files.sweep(tmp_path) == 0
    age(tmp_path, 2 * files.DEAD_AFTER)
    assert files.sweep(tmp_path) == len(left)
    assert names(tmp_path) == [".lock"]


def test_a_folder_that_is_not_there_has_nothing_to_sweep(tmp_path):
    """There is no error, since sweeping is never the purpose of a command."""
    assert files.sweep(tmp_path / "missing") == 0
