"""Tables of data sets and of what is wrong with one."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from adbench.api import registry
from adbench.api.facts import Counts, Facts
from adbench.report import data_tables
from adbench.run.data_health import UNREADABLE_CLASS, Finding, Health, Understood
from adbench.run.data_places import Listed
from adbench.run.data_reading import FolderRead


def test_published_numbers_are_those_of_the_whole_or_sums():
    """Sums need every class; the numbers of a whole data set come first."""
    each = {"a": Counts(3, good=1, bad=2), "b": Counts(4, good=1, bad=5)}
    assert data_tables.published(Facts(("a", "b"), counts=each)) == Counts(7, good=2, bad=7)
    assert data_tables.published(Facts(("a", "b", "c"), counts=each)) == Counts()
    assert data_tables.published(Facts(("a", "b"), counts={**each, "": Counts(9)})) == Counts(9)
    assert data_tables.published(Facts(("a",), counts={"a": Counts(total=(5, 2))})).total == (5, 2)


def test_the_list_has_published_numbers_and_licences():
    """MVTec AD has 4096 good and 1258 defective images; the user's own images have no numbers."""
    table = data_tables.listed([Listed(registry.load().dataset(name)) for name in ("mvtec", "folder")])
    assert (table.column("good"), table.column("bad")) == ([4096, None], [1258, None])
    assert table.column("licence") == ["CC BY-NC-SA 4.0", None]


def test_people_see_kinds_and_programs_files():
    """Two faults of a kind are one row with the first file for people, and two rows for programs."""
    faults = tuple(Finding("stops", "nut", "missing mask", f"{name}.png", "gone", "Add it") for name in "ab")
    understood = Understood("nut", Counter(train=2), 0, Counter({(4, 6): 2}), Counter(L=2))
    folders = (FolderRead("nut", "train/OK", "train", "good", 2, 0, ""),)
    tables = data_tables.health(Health("folder", Path("root"), (understood,), faults, folders))
    assert [len(table.rows) for table in tables] == [1, 1, 1, 2, 1]
    assert tables[0].column("sizes") == ["2 6x4"]
    assert tables[1].column("taken_for") == ["train: good"]
    assert tables[2].column("example") == ["a.png: gone (and 1 more). Add it."]
    assert tables[3].column("path") == ["a.png", "b.png"]
    assert [table.audience for table in tables] == ["all", "people", "people", "programs", "programs"]


def test_very_many_folders_are_for_programs():
    """People see the kinds of defects of each class instead, and how to see the folders of one."""
    understood = Understood("nut", Counter(train=2), 0, defects=Counter(cut=3))
    folders = (FolderRead("nut", "train/OK", "train", "good", 2, 0, ""),) * (data_tables.MOST_FOLDERS + 1)
    tables = data_tables.health(Health("folder", Path("root"), (understood,), (), folders))
    assert [table.audience for table in tables] == ["all", "people", "programs", "programs"]
    assert "defects" in [column.key for column in tables[0].columns_for("people")]
    assert "--class NAME" in tables[0].notes[0]


def test_classes_that_are_missing_share_a_row():
    """A data set of which one class was downloaded has one line for all others, and programs have one for each."""
    faults = tuple(Finding("stops", name, UNREADABLE_CLASS, detail="no folder") for name in "abcde")
    grouped, every = data_tables.health(Health("mvtec", Path("root"), (), faults))
    assert grouped.column("class") == ["a and 4 more"]
    assert len(every.rows) == 5


def test_every_remark_of_a_reader_is_shown():
    """What is about no file, such as what was passed over, has a row of its own."""
    remarks = tuple(Finding("note", "nut", "remark of the reader", detail=text) for text in ("split", "passed over"))
    (grouped, _) = data_tables.health(Health("folder", Path("root"), (), remarks))
    assert grouped.column("example") == ["split", "passed over"]
