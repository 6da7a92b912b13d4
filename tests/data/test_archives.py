"""Archives are unpacked below the target folder, or refused as a whole."""

from __future__ import annotations

import io
import tarfile
import zipfile
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from adbench.data import archives
from adbench.util.errors import DataError

CONTENT = {"nut/train/good/0.png": b"one", "nut/test/good/1.png": b"two"}


def tar(path: Path, content: dict[str, bytes], *more: tarfile.TarInfo) -> Path:
    mode = {"xz": "w:xz", "gz": "w:gz", "tgz": "w:gz"}.get(path.name.rpartition(".")[2], "w")
    with tarfile.open(path, mode) as archive:
        for name, data in content.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
        for entry in more:
            archive.addfile(entry)
    return path


def zipped(path: Path, content: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in content.items():
            archive.writestr(zipfile.ZipInfo(name), data, zipfile.ZIP_DEFLATED)
    return path


def made(path: Path, content: dict[str, bytes] = CONTENT) -> Path:
    return zipped(path, content) if path.suffix == ".zip" else tar(path, content)


def files_in(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def refused(archive: Path) -> str:
    """Unpacking ends in a message, and nothing is left beside the archive."""
    before = sorted(archive.parent.rglob("*"))
    with pytest.raises(DataError) as error:
        archives.unpack([archive], archive.parent / "target")
    assert sorted(archive.parent.rglob("*")) == before
    return str(error.value)


@pytest.mark.parametrize("name", ["a.tar", "a.tar.xz", "a.tgz", "a.tar.gz", "a.ZIP", "a.zip"])
def test_every_kind_is_unpacked(tmp_path, name):
    """The files have their content and their places."""
    archive = zipped(tmp_path / name, CONTENT) if name.lower().endswith("zip") else tar(tmp_path / name, CONTENT)
    assert archives.unpack([archive], tmp_path / "target") == 2
    assert files_in(tmp_path / "target") == CONTENT


def test_archives_within_archives_are_unpacked_beside_themselves(tmp_path):
    """One with a single folder gives that folder, one with several files a folder of its name; none stays packed."""
    made(tmp_path / "nut.zip")
    zipped(tmp_path / "loose.zip", {"a.png": b"a", "b.png": b"b"})
    outer = {f"set/{name}.zip": (tmp_path / f"{name}.zip").read_bytes() for name in ("nut", "loose")}
    archives.unpack([tar(tmp_path / "all.tar.gz", outer)], tmp_path / "target")
    inner = {f"set/{name}": data for name, data in CONTENT.items()}
    assert files_in(tmp_path / "target") == {**inner, "set/loose/a.png": b"a", "set/loose/b.png": b"b"}


def test_what_systems_leave_in_archives_is_left_out(tmp_path):
    """Hidden files of macOS and Windows are no part of a data set."""
    junk = {"__MACOSX/nut/._0.png": b"x", "nut/.DS_Store": b"x", "nut/Thumbs.db": b"x"}
    archives.unpack([made(tmp_path / "a.zip", {**junk, **CONTENT})], tmp_path / "target")
    assert files_in(tmp_path / "target") == CONTENT


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE])
def test_links_and_devices_are_refused(tmp_path, kind):
    """Nothing but plain files and folders comes out of an archive."""
    entry = tarfile.TarInfo("nut/link.png")
    entry.type, entry.linkname = kind, "/etc/passwd"
    assert "link.png" in refused(tar(tmp_path / "a.tar", CONTENT, entry))


def test_a_link_in_a_zip_is_refused(tmp_path):
    """Zip files keep links as plain files with a mark in their attributes."""
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        entry = zipfile.ZipInfo("link.png")
        entry.external_attr = 0o120777 << 16
        archive.writestr(entry, "/etc/passwd")
    assert "a link" in refused(tmp_path / "a.zip")


def test_two_files_of_one_name_are_refused(tmp_path):
    """Names that differ only in case are one file on some systems."""
    assert "NUT/1.png" in refused(made(tmp_path / "a.tar", {"nut/1.png": b"", "NUT/1.png": b""}))


def test_bombs_are_refused(tmp_path, monkeypatch):
    """Far more bytes than images take, more files than any data set has, and archives in archives in archives."""
    monkeypatch.setattr(archives, "FLOOR", 1000)
    zeros = {"zeros.png": bytes(5_000_000)}
    assert "when unpacked" in refused(made(tmp_path / "a.tar.xz", zeros))
    assert "when unpacked" in refused(made(tmp_path / "a.zip", zeros))
    inner = zipped(tmp_path / "inner.zip", zeros).read_bytes()
    assert "when unpacked" in refused(tar(tmp_path / "outer.tar", {"inner.zip": inner}))
    monkeypatch.setattr(archives, "MOST_ENTRIES", 1)
    assert "more than 1 files" in refused(made(tmp_path / "b.tar"))
    monkeypatch.setattr(archives, "MOST_ENTRIES", 99)
    nested = CONTENT
    for depth in range(archives.DEPTH + 1):
        nested = {"in.tar": tar(tmp_path / f"deep{depth}.tar", nested).read_bytes()}
    assert "deeper than 3" in refused(tar(tmp_path / "deepest.tar", nested))


def test_a_long_index_is_not_read(tmp_path, monkeypatch):
    """A name of many bytes, which a reader would hold in memory, ends the reading."""
    monkeypatch.setattr(archives, "MOST_INDEX", 2000)
    assert "an index of" in refused(made(tmp_path / "a.tar.gz", {"/".join(["n" * 50] * 60): b""}))


@pytest.mark.parametrize("name", ["a.tar", "a.tar.xz", "a.tar.gz", "a.zip"])
@pytest.mark.parametrize("share", [0.1, 0.6])
def test_an_archive_that_is_cut_short_is_damaged(tmp_path, name, share):
    """However much of it is there, nothing is unpacked."""
    archive = made(tmp_path / name, {f"{number}.png": bytes(range(256)) * 2 for number in range(20)})
    data = archive.read_bytes()
    archive.write_bytes(data[: int(len(data) * share)])
    assert "is damaged" in refused(archive)


def test_a_tar_that_ends_between_two_files_is_damaged(tmp_path):
    """Python's reader takes it for whole, since nothing but the end is missing."""
    archive = made(tmp_path / "a.tar")
    archive.write_bytes(archive.read_bytes()[:1024])
    assert "its end is missing" in refused(archive)


def test_a_folder_that_is_there_stays_as_it_is(tmp_path):
    """Unpacking never mixes with what a folder has already."""
    (tmp_path / "target").mkdir()
    with pytest.raises(DataError, match="something there"):
        archives.unpack([made(tmp_path / "a.tar")], tmp_path / "target")


def test_a_full_disk_is_said_before_it_is_full(tmp_path, monkeypatch):
    """A file that is longer than what is free is not begun."""
    monkeypatch.setattr(archives.shutil, "disk_usage", lambda place: type("Usage", (), {"free": 2}))
    assert "free space" in refused(made(tmp_path / "a.tar"))


PARTS = st.sampled_from(["..", ".", "", "a", "b.png", "C:", "con", "x\\y", "\x00", "/", "é", " ", "a.", "\n"])


@given(st.lists(PARTS, min_size=1, max_size=6), st.booleans())
def test_no_name_leads_out_of_the_folder(parts, absolute):
    """A name is refused, or its parts name a place below the folder, on every system."""
    name = ("/" if absolute else "") + "/".join(parts)
    found = archives.safe_parts(name)
    if found is None:
        return
    assert not absolute
    assert not set(found) & {"..", ".", "", "C:", "con", "x\\y", "\x00", "a.", "\n"}
    assert "\\" not in "".join(found)
    place = Path("/folder").joinpath(*found)
    assert place == Path("/folder") or Path("/folder") in place.parents


@settings(max_examples=40)
@example({".": b"", "a": b""})
@given(st.dictionaries(st.text("./\\ab", min_size=1, max_size=8), st.binary(max_size=4), min_size=1, max_size=4))
def test_archives_of_any_names_stay_in_their_folder(tmp_path_factory, content):
    """Whatever an archive's files are called, nothing appears outside the target, and a refusal leaves nothing."""
    place = tmp_path_factory.mktemp("any")
    archive = tar(place / "a.tar", content)
    try:
        archives.unpack([archive], place / "target")
    except DataError:
        assert [path.name for path in place.iterdir()] == ["a.tar"]
    else:
        assert sorted(path.name for path in place.iterdir()) == ["a.tar", "target"]
        assert sorted(files_in(place / "target").values()) == sorted(content.values())
