"""The data set of people's own images: which folders are classes, and how each is read."""

from __future__ import annotations

import pytest
from adbench_datasets import folder
from layout_files import touch

from adbench.api.data_options import with_options
from adbench.util.errors import DataError

PLAIN = ("good/0.png", "good/1.png", "bad/0.png")
MVTEC = ("train/good/0.png", "test/good/0.png", "test/dent/0.png")


def test_both_kinds_of_classes_may_lie_below_one_root(tmp_path):
    """Each is read in its own way; a folder of test images beside good and bad ones is no split."""
    touch(tmp_path, *(f"a/{name}" for name in PLAIN), *(f"b/{name}" for name in MVTEC), "a/test/0.png", "c/0.png")
    assert folder.classes(tmp_path) == ["a", "b"]
    assert [folder.load(tmp_path, name).options for name in "ab"] == [folder.USUAL, None]


def test_a_root_that_is_a_class_itself_may_be_given_relatively(tmp_path, monkeypatch):
    """Its own name is the class's, also for a path such as "."; a class below it is passed over."""
    touch(tmp_path / "parts", *PLAIN, *(f"inner/{name}" for name in PLAIN))
    monkeypatch.chdir(tmp_path / "parts")
    assert folder.classes(folder.Path()) == ["parts"]
    task = folder.load(folder.Path(), "parts")
    assert task.fingerprint == folder.load(tmp_path / "parts", "parts").fingerprint
    assert task.remarks[1] == "folder/parts: passed over: inner/ (3 images)."


def test_a_folder_of_loose_images_has_no_labels(tmp_path):
    """It is a class to score; whatever else lies in it is named."""
    touch(tmp_path / "new", "0.png", "1.jpg", "notes.txt", "old/0.png")
    assert folder.classes(tmp_path / "new") == ["new"]
    task = folder.load(tmp_path / "new", "new")
    assert (task.train, [sample.is_labelled for sample in task.test]) == ((), [False, False])
    assert task.remarks == (
        "folder/new: 2 images without a label, which have scores but no metrics.",
        "folder/new: passed over: notes.txt, old/ (1 image).",
    )


@pytest.mark.parametrize(
    ("names", "patterns"),
    [
        (("ok_1", "ok_2", "ng_1", "x_1"), "--good 'ok*' --bad 'ng*'"),
        (("ok_1", "scratch_1", "dent_1"), "--good 'ok*' --bad 'dent*,scratch*'"),
        (("ok_1", "a_1", "b_1", "c_1", "d_1"), None),
        (("ok_1", "17"), None),
        (("scratch_1", "dent_1"), None),
    ],
)
def test_patterns_for_loose_images_are_offered_where_names_tell(tmp_path, names, patterns):
    """Beside usual words for good images, few other words are kinds of defects; numbers alone say nothing."""
    touch(tmp_path / "new", *(f"{name}.png" for name in names))
    said = [remark for remark in folder.load(tmp_path / "new", "new").remarks if "give patterns" in remark]
    wanted = [f"folder/new: if names say which are good, give patterns, such as {patterns}."] if patterns else []
    assert said == wanted


@pytest.mark.parametrize("name", ["unknown", "unlabelled"])
def test_a_class_with_nothing_but_unknown_images_has_no_labels(tmp_path, name):
    """Beside other types of images "unknown" is a type of defect, as it always was."""
    touch(tmp_path / "a", f"test/{name}/0.png")
    assert [sample.is_labelled for sample in folder.load(tmp_path, "a").test] == [False]
    touch(tmp_path / "a", "test/good/0.png")
    assert [(sample.label, sample.defect) for sample in folder.load(tmp_path, "a").test] == [(0, "good"), (1, name)]


@pytest.mark.parametrize("place", ["", "screw/"])
def test_folders_of_other_names_get_a_hint(tmp_path, place):
    """The message names them, and how to give them."""
    touch(tmp_path, f"{place}dent/0.png", f"{place}fine/0.png", f"{place}masks/0.png")
    with pytest.raises(DataError) as caught:
        folder.classes(tmp_path)
    assert "CLASS/good and CLASS/bad, or CLASS/train/good" in str(caught.value)
    assert "such as --good dent --bad fine" in str(caught.value)
    assert with_options(folder.reader(), {"good": ("fine",), "bad": ("dent",)}).classes(tmp_path)


@pytest.mark.parametrize("place", ["", "screw/"])
def test_usual_names_of_good_and_bad_images_are_taken(tmp_path, place):
    """Several good folders in any case are one line, and the options stay those that were given."""
    files = [f"{name}/{number}.png" for name in ("OK", "Normal", "NG/dent") for number in range(2)]
    touch(tmp_path / "screw", *files)
    root = tmp_path if place else tmp_path / "screw"
    assert folder.classes(root) == ["screw"]
    task = folder.load(root, "screw")
    assert len(task.train) + sum(not sample.label for sample in task.test) == 4
    assert {sample.defect for sample in task.test if sample.label} == {"dent"}
    assert task.options == folder.USUAL
    assert task.remarks[0] == (
        "folder/screw: Normal, OK taken for good images and NG for defective ones (--good and --bad name others)."
    )


def test_names_that_were_given_win_over_usual_ones(tmp_path):
    """Nothing is taken by its name where good images were named, or where there is a folder good."""
    touch(tmp_path, "a/OK/0.png", "a/fine/0.png", "a/fine/1.png", "a/NG/0.png")
    named = with_options(folder.reader(), {"good": ("fine",), "bad": ("NG",)}).load(tmp_path, "a")
    assert {sample.path.parent.name for sample in named.train} == {"fine"}
    touch(tmp_path, "b/good/0.png", "b/good/1.png", "b/OK/0.png", "b/bad/0.png")
    task = folder.load(tmp_path, "b")
    assert {sample.path.parent.name for sample in task.train} == {"good"}
    assert task.remarks[1] == "folder/b: passed over: OK/ (1 image)."


def test_a_folder_beside_classes_is_not_taken_by_its_name(tmp_path):
    """A root of classes stays one, whatever its other folders are called."""
    touch(tmp_path, "OK/0.png", *(f"screw/{name}" for name in PLAIN))
    assert folder.classes(tmp_path) == ["screw"]


def test_a_good_folder_that_is_not_there_names_the_ones_that_are(tmp_path):
    """It is a wrong --good, and no data set that wasn't unpacked."""
    touch(tmp_path, "part/good/0.png", "part/good/1.png", "part/bad/0.png")
    with pytest.raises(DataError, match=r"found no folder OK, but good, .*--good good") as caught:
        with_options(folder.reader(), {"good": ("OK",)}).load(tmp_path, "part")
    assert "Unpack" not in str(caught.value)
