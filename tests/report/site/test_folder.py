"""The folder of a site: what is replaced, what stays, and what is refused."""

from __future__ import annotations

import json

import pytest

from adbench.report.site import folder
from adbench.util.errors import ResultError, UsageError

ONE = {"index.html": b"one", "runs/a.html": b"a", "runs/b.html": b"b"}


def content(place):
    """The files in a folder with their content, without the marker."""
    return {
        path.relative_to(place).as_posix(): path.read_bytes()
        for path in place.rglob("*")
        if path.is_file() and path.name != folder.MARKER
    }


def test_a_site_replaces_an_earlier_one_and_nothing_else(tmp_path):
    """A page that is gone goes, one that is the same isn't written again, and files of others stay."""
    assert folder.update(tmp_path, ONE) == folder.Update(3, 0, 0)
    (tmp_path / "mine.txt").write_text("mine")
    (tmp_path / "runs" / "c.html").write_text("mine, too")
    before = (tmp_path / "runs" / "a.html").stat().st_mtime_ns
    assert folder.update(tmp_path, {"index.html": b"two", "runs/a.html": b"a"}) == folder.Update(1, 1, 1)
    assert content(tmp_path) == {
        "index.html": b"two", "runs/a.html": b"a", "runs/c.html": b"mine, too", "mine.txt": b"mine",
    }  # fmt: skip
    assert (tmp_path / "runs" / "a.html").stat().st_mtime_ns == before


def test_a_page_that_somebody_edited_is_not_removed(tmp_path):
    """Its digest is not the one in the marker."""
    folder.update(tmp_path, ONE)
    (tmp_path / "runs" / "b.html").write_bytes(b"edited")
    folder.update(tmp_path, {"index.html": b"one"})
    assert content(tmp_path) == {"index.html": b"one", "runs/b.html": b"edited"}


def test_a_folder_with_other_files_is_refused(tmp_path):
    """Nothing is written there; hidden files, such as those of git, don't count."""
    (tmp_path / ".git").mkdir()
    folder.require(tmp_path)
    (tmp_path / "thesis.tex").write_text("years")
    with pytest.raises(UsageError, match=r"found thesis.tex, wanted an empty folder, or a site of adbench"):
        folder.update(tmp_path, ONE)
    assert content(tmp_path) == {"thesis.tex": b"years"}
    with pytest.raises(UsageError, match="found a file"):
        folder.require(tmp_path / "thesis.tex")


@pytest.mark.parametrize("text", ["", "[]", '{"files": 3}', "\udc80"])
def test_a_marker_of_another_content_is_refused(tmp_path, text):
    """A file of that name which adbench did not write is no permission."""
    (tmp_path / folder.MARKER).write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(UsageError, match="found another content"):
        folder.update(tmp_path, ONE)


def test_a_marker_can_name_no_file_outside(tmp_path):
    """A marker from elsewhere that lists other files removes none of them."""
    site, other = tmp_path / "site", tmp_path / "other.txt"
    folder.update(site, ONE)
    other.write_bytes(b"a")
    marker = json.loads((site / folder.MARKER).read_text())
    digest = marker["files"]["runs/a.html"]
    paths = ("../other.txt", str(other), "runs/../../other.txt", "C:other.txt", "..\\other.txt")
    marker["files"] = dict.fromkeys(paths, digest)
    (site / folder.MARKER).write_text(json.dumps(marker))
    assert folder.update(site, ONE).removed == 0
    assert other.read_bytes() == b"a"


def test_a_link_in_place_of_a_folder_is_refused(tmp_path):
    """Pages are never written through it."""
    (tmp_path / "elsewhere").mkdir()
    site = tmp_path / "site"
    folder.update(site, {"index.html": b"one"})
    (site / "runs").rmdir()
    (site / "runs").symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    with pytest.raises(UsageError, match="found a link"):
        folder.update(site, ONE)
    assert not list((tmp_path / "elsewhere").iterdir())


def test_a_stopped_build_leaves_a_site_that_the_next_one_replaces(tmp_path, monkeypatch):
    """The marker comes first and lists old and new files, so nothing is orphaned."""
    folder.update(tmp_path, ONE)
    write = folder.files.write

    def full(path, fill):
        if path.name == "d.html":
            raise OSError(28, "No space left on device")
        write(path, fill)

    monkeypatch.setattr(folder.files, "write", full)
    with pytest.raises(ResultError, match="can't be written"):
        folder.update(tmp_path, {"index.html": b"two", "runs/c.html": b"c", "runs/d.html": b"d"})
    monkeypatch.undo()
    folder.update(tmp_path, {"index.html": b"three"})
    assert content(tmp_path) == {"index.html": b"three"}
