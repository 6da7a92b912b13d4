"""Data sets are brought to where their readers find them."""

from __future__ import annotations

import hashlib
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest

from adbench.api import registry
from adbench.api.data import Dataset
from adbench.api.facts import Archive
from adbench.data import download
from adbench.run import get_data
from adbench.util.errors import DataError, UsageError

NAMES = ("train/good/0.png", "test/good/0.png", "test/cut/0.png", "ground_truth/cut/0_mask.png")


@pytest.fixture
def mvtec() -> Dataset:
    return registry.load().dataset("mvtec")


def packed(path: Path, *classes: str) -> Path:
    """An archive of some classes, with a byte in each file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as archive:
        for name in classes:
            for file in NAMES:
                archive.writestr(f"{name}/{file}", b"x")
    return path


def published(dataset: Dataset, *archives: Archive) -> Dataset:
    """The data set with other archives."""
    assert dataset.facts is not None
    return replace(dataset, facts=replace(dataset.facts, archives=archives))


def test_an_archive_becomes_a_folder_that_the_reader_finds(mvtec, tmp_path):
    """The classes that came are named, and a second call leaves them as they are."""
    archive = packed(tmp_path / "any.zip", "bottle", "cable")
    done = get_data.prepare(mvtec, [archive], tmp_path / "data")
    assert (done.folder, done.files) == (tmp_path / "data" / "mvtec", 8)
    assert done.place is not None
    assert (done.place.classes, done.place.images, len(done.place.lacking)) == (("bottle", "cable"), 6, 13)
    again = get_data.prepare(mvtec, [tmp_path / "gone.zip"], tmp_path / "data")
    assert (again.files, again.place) == (0, done.place)


def test_archives_of_single_classes_go_into_one_folder(mvtec, tmp_path):
    """Several archives make one data set."""
    given = [packed(tmp_path / f"{name}.zip", name) for name in ("bottle", "cable")]
    place = get_data.prepare(mvtec, given, tmp_path).place
    assert place is not None
    assert place.classes == ("bottle", "cable")


def test_what_is_no_such_data_set_is_said(mvtec, tmp_path):
    """Unpacked files without any class end in a message with the folder."""
    with pytest.raises(DataError, match="no class of mvtec"):
        get_data.prepare(mvtec, [packed(tmp_path / "a.zip", "nut")], tmp_path)
    assert not (tmp_path / "mvtec").exists()
    with pytest.raises(DataError, match=r"gone.zip: found no such file"):
        get_data.prepare(mvtec, [tmp_path / "gone.zip"], tmp_path)


def test_published_archives_brought_by_hand_are_compared_with_their_checksums(mvtec, tmp_path):
    """With the name alone the archive in the folder is taken, and refused where it is another one."""
    archive = packed(tmp_path / "set.zip", "bottle")
    digest = hashlib.sha256(archive.read_bytes()).hexdigest()
    with pytest.raises(DataError, match="not the published file"):
        get_data.prepare(published(mvtec, Archive("set.zip", sha256="0" * 64)), [], tmp_path)
    assert get_data.prepare(published(mvtec, Archive("set.zip", sha256=digest)), [], tmp_path).files == 4


def test_without_a_way_one_message_says_what_to_do(mvtec, tmp_path, monkeypatch):
    """Where to get the archive, where to put it, and what to run then; for a form, a moved address and no network."""
    monkeypatch.setattr(download, "PAUSE", 0.0)
    for url in ("", "http://127.0.0.1:9/set.zip"):
        with pytest.raises(DataError) as error:
            get_data.get(published(mvtec, Archive("set.zip", url)), tmp_path)
        assert f"Get set.zip from {mvtec.source} and put it into {tmp_path}" in str(error.value)
        assert f"adbench data prepare mvtec --to {tmp_path}" in str(error.value)


def test_archives_in_the_folder_need_no_network(mvtec, tmp_path):
    """What was brought by hand is used by get as well."""
    packed(tmp_path / "set.zip", "bottle")
    assert get_data.get(published(mvtec, Archive("set.zip", "http://127.0.0.1:9/set.zip")), tmp_path).files == 4


def test_a_licence_is_accepted_once(mvtec, tmp_path):
    """Without consent there is a message with the licence; consent holds for later commands, and for that licence."""
    with pytest.raises(UsageError, match=r"CC BY-NC-SA 4\.0.*--accept-licence"):
        get_data.accept_licence(mvtec, tmp_path, accepted=False)
    get_data.accept_licence(mvtec, tmp_path, accepted=True)
    get_data.accept_licence(mvtec, tmp_path, accepted=False)
    changed = replace(mvtec, facts=replace(mvtec.facts, licence="another"))
    with pytest.raises(UsageError, match="another"):
        get_data.accept_licence(changed, tmp_path, accepted=False)


@pytest.mark.parametrize(("name", "found"), [("demo", "made on first use"), ("elpv", "install"), ("folder", "own")])
def test_what_is_not_loaded_is_said(name, found):
    """Made images, a package and the user's own images have no archives."""
    with pytest.raises(DataError, match=found):
        get_data.require_published(registry.load().dataset(name))


def test_the_owner_of_an_archive_is_known_by_its_name():
    """Names are those of the facts, in any case."""
    datasets = registry.load().datasets.values()
    owners = [get_data.owner(Path("there") / name, datasets) for name in ("visa_20220922.TAR", "mine.zip")]
    assert [each and each.name for each in owners] == ["visa", None]
