"""MVTec's layout as people have it: who is good, where masks lie, and what is passed over."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import pytest
from adbench_datasets import folder, tree
from adbench_datasets.names import BAD_NAMES, GOOD_NAMES
from layout_files import names, touch

from adbench.api.data_options import with_options
from adbench.util.errors import DataError

USUAL = ("train/good/0.png", "train/good/1.png", "test/good/0.png", "test/cut/0.png")


def read(root: Path, *files: str, **changes):
    """The task of a class with these files."""
    touch(root / "nut", *files)
    return with_options(folder.reader(), changes).load(root, "nut")


# ---------------------------------------------------------------- who is good


def test_several_good_folders_with_other_names_are_one_set(tmp_path):
    """Training and test images of all of them are good, and one line names the folders."""
    task = read(tmp_path, "train/OK/0.png", "train/Normal/0.png", "test/ok/0.png", "test/good/1.png", "test/ko/0.png")
    assert [sample.path.parent.name for sample in task.train] == ["Normal", "OK"]
    assert [(sample.path.parent.name, sample.label) for sample in task.test] == [("good", 0), ("ko", 1), ("ok", 0)]
    assert task.remarks[0] == "folder/nut: train/Normal and train/OK and test/ok taken for good images."


def test_names_that_the_user_gives_are_the_only_good_ones(tmp_path):
    """A word of another language works, is recorded, and "ok" is a type of defect for who says so."""
    task = read(tmp_path, "train/gut/0.png", "test/gut/0.png", "test/ok/0.png", good=("gut",))
    assert names(task.train) == [("0.png", 0, "good", None)]
    assert [(sample.label, sample.defect) for sample in task.test] == [(0, "good"), (1, "ok")]
    assert task.options == folder.FolderOptions(good=("gut",))
    assert read(tmp_path / "b", *USUAL).options is None


def test_a_test_without_good_images_names_its_folders(tmp_path):
    """All of them count as defects, which is a warning: one may be good under a name that nobody knows."""
    task = read(tmp_path, "train/good/0.png", "test/fein/0.png", "test/cut/0.png")
    warning = "Warning: folder/nut: no good image in test, whose folders are types of defect: cut, fein."
    assert warning in task.remarks


def test_no_word_means_both_good_and_defective():
    """The tables are in lower case and have nothing in common."""
    assert not set(GOOD_NAMES) & set(BAD_NAMES)
    assert [name for name in (*GOOD_NAMES, *BAD_NAMES) if name != name.casefold()] == []


# ---------------------------------------------------------------- masks


@pytest.mark.parametrize("ending", ["_mask.png", "_label.bmp", "_GT.png", "_MASK.tif"])
def test_masks_beside_images_are_masks(tmp_path, ending):
    """They are never scored, also in folders of good images; an image without one names where it belongs."""
    more = (f"test/cut/0{ending}", "test/cut/1.png", f"test/good/0{ending}", f"train/good/1{ending}")
    task = read(tmp_path, *USUAL, *more)
    assert names(task.test) == [
        ("0.png", 1, "cut", f"0{ending}"),
        ("1.png", 1, "cut", "1_mask.png"),
        ("0.png", 0, "good", None),
    ]
    assert len(task.train) == 2
    assert task.remarks == (f"folder/nut: passed over: train/good/1{ending}, test/good/0{ending}.",)


def test_masks_whose_image_is_missing_are_never_images(tmp_path):
    """Beside pairs they are passed over; among images of other names they are a problem each."""
    task = read(tmp_path / "a", *USUAL, "test/cut/0_mask.png", "test/dent/7_mask.png", "test/dent/8.png")
    assert [sample.path.name for sample in task.test] == ["0.png", "8.png", "0.png"]
    assert "passed over: test/dent/7_mask.png." in task.remarks[0]
    task = read(tmp_path / "b", *USUAL, "test/cut/7_mask.png")
    assert [problem.found for problem in task.problems] == ["the name of a mask, but no image beside it"]
    assert len(task.test) == 2


def test_images_that_all_have_such_names_are_images(tmp_path):
    """A product may be called mask."""
    task = read(tmp_path, "train/good/a_mask.png", "test/good/b_mask.png", "test/torn/c_mask.png")
    assert ([sample.label for sample in task.test], task.problems) == ([0, 1], ())


def test_a_mask_in_the_folder_and_one_beside_the_image_are_a_problem(tmp_path):
    """Nothing says which of them counts."""
    task = read(tmp_path, *USUAL, "test/cut/0_mask.png", "ground_truth/cut/0_mask.png")
    (problem,) = task.problems
    assert problem.found.startswith("2 masks, ")
    assert [sample.label for sample in task.test] == [0]


@pytest.mark.parametrize("joins", [False, True])
def test_several_masks_in_a_folder_are_joined_where_the_data_set_says_so(tmp_path, joins):
    """LOCO and AutoVI have a file for each region; elsewhere it is a problem."""
    place = touch(tmp_path / "nut", *USUAL, "ground_truth/cut/0/000.png", "ground_truth/cut/0/001.png")
    task = tree.read_class("d", place, tree.Tree(joins=joins))
    assert [len(sample.masks) for sample in task.test if sample.label] == ([2] if joins else [])
    assert [problem.found[:18] for problem in task.problems] == ([] if joins else ["two masks, 000.png"])


@pytest.mark.parametrize("name", ["Ground_truth", "GROUND_TRUTH", "masks"])
def test_the_folder_of_masks_is_found_in_other_capitals(tmp_path, name):
    """Never are masks lost in silence because of a capital letter; a line says what was read."""
    task = read(tmp_path, *USUAL, f"{name}/cut/0_mask.png")
    assert [sample.mask for sample in task.test if sample.label] == [tmp_path / "nut" / name / "cut/0_mask.png"]
    assert task.remarks == (() if name == "masks" else (f"folder/nut: {name} is read as ground_truth.",))


def test_two_folders_that_differ_in_capitals_are_refused(tmp_path):
    """Where neither is the usual name, nothing says which of them counts."""
    with pytest.raises(DataError, match="GROUND_TRUTH and Ground_Truth, wanted one folder ground_truth"):
        read(tmp_path, *USUAL, "Ground_Truth/cut/0.png", "GROUND_TRUTH/cut/0.png")


def test_letters_may_be_composed_either_way(tmp_path):
    """MacOS writes names in another form than Windows: masks are found in both, files and folders alike."""
    decomposed = [unicodedata.normalize("NFD", name) for name in ("ground_truth/Riß ä/grün_mask.png",)]
    task = read(tmp_path, *USUAL, unicodedata.normalize("NFC", "test/Riß ä/grün.png"), *decomposed)
    (sample,) = (sample for sample in task.test if sample.path.stem == "grün")
    assert sample.mask == tmp_path / "nut" / decomposed[0]


# ---------------------------------------------------------------- what is passed over


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (("train/good/monday/0.png", "train/good/monday/1.png"), "train/good/monday/ (2 images)"),
        (("test/cut/monday/0.png",), "test/cut/monday/ (1 image)"),
        (("test/9.png",), "test/9.png"),
        (("train/9.png",), "train/9.png"),
        (("spare/9.png", "notes.doc", "0.png"), "0.png, notes.doc, spare/ (1 image)"),
        (("train/good/2.heic", "train/good/3.npy"), "train/good/2.heic, train/good/3.npy. Images in .heic, .npy are"),
        (("ground_truth/cut/0_mask.png", "ground_truth/cut/9.png", "ground_truth/7.png"), "ground_truth/cut/9.png, gr"),
    ],
)
def test_what_is_not_read_is_named(tmp_path, more, said):
    """Less is trained or tested on than the user has: the line says which files, and folders with their images."""
    assert f"folder/nut: passed over: {said}" in "\n".join(read(tmp_path, *USUAL, *more).remarks)


def test_other_training_folders_are_counted(tmp_path):
    """Their images are not trained on."""
    said = read(tmp_path, *USUAL, "train/extra/0.png", "train/bad/0.png", "train/bad/1.png").remarks
    assert "folder/nut: 1 image in train/extra left out." in said
    assert "folder/nut: 2 defective images in train/bad left out." in said


def test_texts_of_a_data_set_are_nothing_that_is_missed(tmp_path):
    """Published classes have a readme and a licence each."""
    task = read(tmp_path, *USUAL, "readme.txt", "license.txt", "test/cut/Thumbs.db")
    assert task.remarks == ("folder/nut: no masks, so no pixel metrics.",)
