"""Only plain files are read, and locks are seen without writing."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest
from filelock import FileLock
from runs import posix_only

from adbench.util import plain_files
from adbench.util.plain_files import is_link, is_locked, is_plain, open_plain, sha256_of


def test_a_plain_file_is_read(tmp_path):
    """Its content and its SHA-256 digest are those of the file."""
    path = tmp_path / "a"
    path.write_bytes(b"content")
    with open_plain(path) as stream:
        assert stream.read() == b"content"
    assert sha256_of(path) == hashlib.sha256(b"content").hexdigest()


@posix_only
def test_what_is_no_plain_file_is_refused(tmp_path):
    """A link, a folder, a pipe, which would wait forever, and a missing file raise an error."""
    (tmp_path / "a").write_bytes(b"content")
    (tmp_path / "link").symlink_to(tmp_path / "a")
    os.mkfifo(tmp_path / "pipe")
    for name in ("link", "pipe", ".", "missing"):
        assert not is_plain(tmp_path / name)
        with pytest.raises(OSError, match=r"link|plain"):
            open_plain(tmp_path / name)
    assert [is_link(tmp_path / name) for name in ("a", "link", "pipe")] == [False, True, False]


def test_a_lock_is_seen_and_left_alone(tmp_path):
    """A held lock is seen, one that is free or missing isn't, and no file is made."""
    path = tmp_path / ".lock"
    assert not is_locked(path)
    assert not path.exists()
    with FileLock(path):
        assert is_locked(path)
    if path.exists():
        assert not is_locked(path)


def test_pipes_and_folders_are_no_regular_files(tmp_path):
    """A file and a link to one are; a folder, a pipe and a device are not."""
    path = tmp_path / "a"
    path.write_bytes(b"")
    assert plain_files.is_regular(path)
    assert not plain_files.is_regular(tmp_path)
    if os.name == "posix":
        (tmp_path / "link").symlink_to(path)
        os.mkfifo(tmp_path / "pipe")
        assert plain_files.is_regular(tmp_path / "link")
        assert not plain_files.is_regular(tmp_path / "pipe")
        assert not plain_files.is_regular(Path(os.devnull))
