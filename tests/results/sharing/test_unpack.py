"""Archives that other people made are opened safely: each bad one ends in one message, and nothing is left."""

from __future__ import annotations

import io
import stat
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from zipfile import ZIP_DEFLATED, ZIP_LZMA, ZipFile, ZipInfo

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from shared_runs import contents, store, store_joint

from adbench.results.sharing import archive, manifest, unpack
from adbench.results.sharing.imports import import_archives
from adbench.results.sharing.manifest import MANIFEST
from adbench.results.sharing.scan import scan
from adbench.util.errors import ResultError

PLACE = "results/folder/bolts/a/r1"


@pytest.fixture(scope="module")
def packed(tmp_path_factory) -> bytes:
    """An archive of one run."""
    folder = tmp_path_factory.mktemp("packed")
    store(folder / "results")
    return archive.write(scan(folder / "results").runs, folder / "a.zip").path.read_bytes()


@pytest.fixture(scope="module")
def expected(tmp_path_factory, packed) -> dict[str, bytes]:
    """The files of that run."""
    return taken(tmp_path_factory.mktemp("expected"), packed)


def taken(folder: Path, data: bytes) -> dict[str, bytes]:
    """Import an archive with these bytes, and return all files that are then among the results."""
    folder.joinpath("a.zip").write_bytes(data)
    import_archives([folder / "a.zip"], folder / "results")
    return contents(folder / "results")


def changed(data: bytes, change: Callable[[list[tuple[ZipInfo, bytes]]], object]) -> bytes:
    """The archive with other entries."""
    with ZipFile(io.BytesIO(data)) as opened:
        entries = [(entry, opened.read(entry)) for entry in opened.infolist()]
    change(entries)
    stream = io.BytesIO()
    with ZipFile(stream, "w") as target:
        for entry, content in entries:
            target.writestr(entry, content)
    return stream.getvalue()


def listed(data: bytes, change: Callable[[manifest.Manifest], manifest.Manifest]) -> bytes:
    """The archive with another manifest, whose digest fits."""

    def swap(entries: list[tuple[ZipInfo, bytes]]) -> None:
        entry, text = entries.pop()
        entries.append((entry, manifest.to_text(change(manifest.from_text(text))).encode()))

    return changed(data, swap)


def named(name: str) -> Callable[[list[tuple[ZipInfo, bytes]]], object]:
    """Add an entry of a name."""
    entry = ZipInfo("placeholder")
    entry.filename = name
    return lambda entries: entries.append((entry, b"x"))


def moded(mode: int) -> Callable[[list[tuple[ZipInfo, bytes]]], object]:
    """Make the first entry something else than a plain file."""
    return lambda entries: setattr(entries[0][0], "external_attr", mode << 16)


def packed_by(kind: int) -> Callable[[list[tuple[ZipInfo, bytes]]], object]:
    """Pack the first entry in another way."""
    return lambda entries: setattr(entries[0][0], "compress_type", kind)


ENTRIES = {
    "parent": (named("../x"), "leads out"),
    "inner parent": (named("results/../../x"), "leads out"),
    "root": (named("/etc/x"), "leads out"),
    "drive": (named("C:/x"), "leads out"),
    "backslash": (named("..\\x"), "leads out"),
    "unlisted": (named(f"{PLACE}/state.pt"), "manifest doesn't list"),
    "folder": (named("results/empty/"), "a folder"),
    "other case": (named(f"{PLACE}/Result.json"), "take for one name"),
    "twice": (lambda entries: entries.insert(0, entries[0]), "2 times"),
    "link": (moded(stat.S_IFLNK | 0o777), "a link"),
    "device": (moded(stat.S_IFBLK | 0o600), "a device"),
    "pipe": (moded(stat.S_IFIFO | 0o600), "a device"),
    "other packing": (packed_by(ZIP_LZMA), "packed in another way"),
    "missing": (lambda entries: entries.pop(0), "all files that its manifest lists"),
    "no manifest": (lambda entries: entries.pop(), f"without {MANIFEST}"),
    "other content": (lambda entries: entries.__setitem__(0, (entries[0][0], entries[0][1][::-1])), "its digest says"),
    "longer": (lambda entries: entries.__setitem__(0, (entries[0][0], entries[0][1] + b"x")), r"bytes, wanted"),
}


@pytest.mark.parametrize("name", ENTRIES)
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_bad_entries_are_refused(packed, tmp_path, name):
    """Each has one message, and nothing lies among the results or beside them."""
    change, text = ENTRIES[name]
    with pytest.raises(ResultError, match=text):
        taken(tmp_path, changed(packed, change))
    assert [path.name for path in tmp_path.iterdir()] == ["a.zip"]


def other_file(**changes: object) -> Callable[[manifest.Manifest], manifest.Manifest]:
    """Change what the manifest says of the first file."""

    def change(found: manifest.Manifest) -> manifest.Manifest:
        (run,) = found.runs
        files = (replace(run.files[0], **changes), *run.files[1:])
        return replace(found, runs=(replace(run, files=files),))

    return change


MANIFESTS = {
    "other digest": (other_file(sha256="0" * 64), "its digest says"),
    "other length": (other_file(bytes=7), "wanted 7"),
    "leading out": (other_file(name="../../epochs.csv"), "names that every system takes"),
    "no file of a run": (other_file(name="state.pt"), "files of runs"),
    "copy of a later one": (other_file(same_as=f"{PLACE}/scores.csv"), "an earlier file of the same content"),
    "copy of none": (other_file(same_as="/etc/passwd"), "an earlier file of the same content"),
    "newer": (lambda found: replace(found, format=99), "Upgrade adbench"),
    "listed twice": (lambda found: replace(found, runs=found.runs * 2), "lists a file twice"),
    "other class": (lambda found: replace(found, runs=(replace(found.runs[0], class_name="nuts"),)), "no results/"),
}


@pytest.mark.parametrize("name", MANIFESTS)
def test_bad_manifests_are_refused(packed, tmp_path, name):
    """Also where the manifest's own digest fits."""
    change, text = MANIFESTS[name]
    with pytest.raises(ResultError, match=text):
        taken(tmp_path, listed(packed, change))
    assert [path.name for path in tmp_path.iterdir()] == ["a.zip"]


def bomb(size: int) -> bytes:
    """An archive whose result unpacks to so many zeros, with a manifest that says so."""
    entry = manifest.ArchivedFile("scores.csv", size, "0" * 64)
    text = manifest.to_text(manifest.Manifest(1, (manifest.ArchivedRun("folder", "bolts", "a", "r1", (entry,)),)))
    stream = io.BytesIO()
    with ZipFile(stream, "w", ZIP_DEFLATED) as target:
        target.writestr(f"{PLACE}/scores.csv", bytes(size))
        target.writestr(MANIFEST, text)
    return stream.getvalue()


def test_bombs_are_refused_before_anything_is_unpacked(tmp_path, packed, monkeypatch):
    """By their ratio, by the free space, by the number of files, and by the length of the index."""
    with pytest.raises(ResultError, match="unpack to"):
        taken(tmp_path, bomb(20_000_000))
    for limit, text in (("MOST_ENTRIES", "4 files"), ("MOST_BYTES", "in a file of"), ("MOST_INDEX", "index|manifest"),
                        ("MOST_JSON", "result.json")):  # fmt: skip
        with monkeypatch.context() as patch:
            patch.setattr(unpack, limit, 3)
            with pytest.raises(ResultError, match=text):
                taken(tmp_path, packed)
    monkeypatch.setattr("shutil.disk_usage", lambda _: type("Usage", (), {"free": 100}))
    with pytest.raises(ResultError, match="that are free"):
        taken(tmp_path, packed)
    assert [path.name for path in tmp_path.iterdir()] == ["a.zip"]


def test_what_is_no_archive_is_refused(tmp_path, packed):
    """A missing file, a folder, an empty file, text, another zip file, and the first half of one."""
    for name in ("missing.zip", "."):
        with pytest.raises(ResultError, match=r"found (no such file|a folder)"):
            import_archives([tmp_path / name], tmp_path / "results")
    for data in (b"", b"text", packed[: len(packed) // 2], packed[:-1]):
        with pytest.raises(ResultError, match="no zip file that can be read"):
            taken(tmp_path, data)


def test_an_archive_that_ends_in_an_inner_zip_file_is_called_cut(tmp_path, packed):
    """Cut just behind an evidence.npz, the index of that file is found, and it must not pass for another archive."""
    inner = io.BytesIO()
    with ZipFile(inner, "w") as npz:
        npz.writestr("good.npy", b"numbers")
    with pytest.raises(ResultError, match=r"in front, or cut off\. Get the file again"):
        taken(tmp_path, packed[:40] + inner.getvalue())


def test_many_bytes_in_another_run_of_the_manifest_are_their_own(packed, tmp_path):
    """A result whose names are not those of its place in the archive is left out."""

    def move(entries: list[tuple[ZipInfo, bytes]]) -> None:
        for entry, _ in entries[:-1]:
            entry.filename = entry.filename.replace("bolts", "nuts")

    other = changed(packed, move)
    data = listed(other, lambda found: replace(found, runs=(replace(found.runs[0], class_name="nuts"),)))
    tmp_path.joinpath("a.zip").write_bytes(data)
    done = import_archives([tmp_path / "a.zip"], tmp_path / "results")
    assert ([each.kind for each in done.left_out], done.outcomes) == (["damaged"], ())
    assert contents(tmp_path / "results") == {}


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_damaged_bytes_give_a_message_or_the_same_results(packed, expected, tmp_path_factory, data):
    """Flipped, cut out or doubled: never another error, and never other numbers."""
    start = data.draw(st.integers(0, len(packed) - 1))
    length = data.draw(st.integers(1, 40))
    middle = data.draw(st.just(b"") | st.binary(max_size=8) | st.just(2 * packed[start : start + length]))
    bytes_ = packed[:start] + middle + packed[start + length :]
    with suppress(ResultError):
        assert taken(tmp_path_factory.mktemp("bytes"), bytes_) == expected


@pytest.mark.slow
def test_every_flipped_byte_gives_a_message_or_the_same_results(packed, expected, tmp_path_factory):
    """Each byte of an archive, one after the other; those of the data are all noticed."""
    refused = 0
    for place in range(len(packed)):
        bytes_ = bytearray(packed)
        bytes_[place] ^= 1 << place % 8
        try:
            assert taken(tmp_path_factory.mktemp("flip"), bytes(bytes_)) == expected
        except ResultError:
            refused += 1
    assert refused > 0.8 * len(packed)


@settings(max_examples=4, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    methods=st.lists(st.text(min_size=1, max_size=70), min_size=1, max_size=3, unique=True),
    value=st.none() | st.floats(0, 1), label=st.text(max_size=10),
)  # fmt: skip
def test_archives_come_back_as_they_were(tmp_path_factory, methods, value, label):
    """All files of all runs are equal to the byte, whatever the names of methods, the numbers and the labels."""
    folder = tmp_path_factory.mktemp("round")
    for method in methods:
        store(folder / "own", method, image=value, label=label)
    store_joint(folder / "own", aupro=value)
    archive.write(scan(folder / "own").runs, folder / "a.zip")
    import_archives([folder / "a.zip"], folder / "results")
    assert contents(folder / "results") == contents(folder / "own")
