"""The readers of data sets: the files that they find, and their messages about a wrong folder."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from adbench_datasets import demo, folder, layout, mvtec, tree, visa
from layout_files import names, touch

from adbench.util.errors import DataError, UnknownNameError


def touch_class(root: Path, name: str) -> Path:
    """One class in MVTec layout: 2 training images, 1 good and 2 defective test images with masks."""
    files = ("train/good/000.png", "train/good/001.png", "test/good/000.png", "test/cut/000.png", "test/cut/001.png")
    masks = ("ground_truth/cut/000_mask.png", "ground_truth/cut/001_mask.png")
    return touch(root / name, *files, *masks)


# ---------------------------------------------------------------- the MVTec layout


def test_a_class_in_mvtec_layout_is_found_whole(tmp_path):
    """Training, good and defective images come in the order of their names, each defect with its mask."""
    touch_class(tmp_path, "bottle")

    task = mvtec.load(tmp_path, "bottle")

    assert (task.dataset, task.class_name, task.root, task.synthetic) == ("mvtec", "bottle", tmp_path, False)
    assert names(task.train) == [("000.png", 0, "good", None), ("001.png", 0, "good", None)]
    assert names(task.test) == [
        ("000.png", 1, "cut", "000_mask.png"),
        ("001.png", 1, "cut", "001_mask.png"),
        ("000.png", 0, "good", None),
    ]
    assert all(sample.path.is_file() and (sample.mask is None or sample.mask.is_file()) for sample in task.test)
    assert task.problems == ()


@pytest.mark.parametrize("name", ["a.PNG", "a.JPG", "a.jpeg", "a.Bmp", "a.tif", "a.TIFF", "a.webp"])
def test_images_and_masks_of_any_suffix_in_any_case_are_found(tmp_path, name):
    """An image is recognised by its suffix in upper or lower case, and its mask may have another suffix."""
    touch_class(tmp_path, "parts")
    touch(tmp_path / "parts", f"test/dent/{name}", "ground_truth/dent/a_mask.TIF")

    dents = [sample for sample in folder.load(tmp_path, "parts").test if sample.defect == "dent"]

    assert names(dents) == [(name, 1, "dent", "a_mask.TIF")]


def test_a_mask_may_have_just_the_stem_of_its_image(tmp_path):
    """Masks may have the same names as images; of two masks neither counts."""
    touch_class(tmp_path, "parts")
    touch(tmp_path / "parts", "test/dent/a.jpg", "test/dent/b.jpg")
    touch(tmp_path / "parts", "ground_truth/dent/a.bmp", "ground_truth/dent/b.bmp", "ground_truth/dent/b_mask.bmp")

    dents = [sample for sample in folder.load(tmp_path, "parts").test if sample.defect == "dent"]

    assert [sample.mask.name for sample in dents] == ["a.bmp"]
    (problem,) = folder.load(tmp_path, "parts").problems
    assert (problem.path.name, problem.found[:33]) == ("b.jpg", "two masks, b_mask.bmp and b.bmp i")


def test_what_is_no_image_is_passed_over(tmp_path):
    """Hidden files, thumbnails' databases and licences are nobody's images; whatever else is no image is named."""
    before = mvtec.load(touch_class(tmp_path, "bottle").parent, "bottle")
    touch(tmp_path / "bottle", "train/good/.hidden.png", "train/good/Thumbs.db", "license.txt", "test/.cache/x.png")
    touch(tmp_path / "bottle", "test/notes.txt", "test/cut/._000.png", "train/good/folder.png/x.txt")

    after = mvtec.load(tmp_path, "bottle")
    assert replace(after, remarks=before.remarks) == before
    assert after.remarks[0] == "mvtec/bottle: passed over: train/good/folder.png/, test/notes.txt."


@pytest.mark.skipif(os.name != "posix", reason="needs pipes and links in folders")
def test_links_that_lead_nowhere_and_pipes_are_not_left_out_in_silence(tmp_path):
    """A training set must not be smaller than it looks: they are listed, and refused when they are read."""
    (tmp_path / "a.png").symlink_to(tmp_path / "moved.png")
    os.mkfifo(tmp_path / "b.png")
    (tmp_path / "folder.png").mkdir()

    assert [path.name for path in layout.images_in(tmp_path)] == ["a.png", "b.png"]


def test_paths_with_blanks_and_any_letters_work(tmp_path):
    """Roots, classes, defects and files may have blanks and non-ASCII letters in their names."""
    root = tmp_path / "Prüfung 検査"
    touch_class(root, "grüne Schraube")
    touch(root / "grüne Schraube", "test/großer Riß/bild 1.png", "ground_truth/großer Riß/bild 1_mask.png")

    task = folder.load(root, "grüne Schraube")

    assert names(task.test)[-1] == ("bild 1.png", 1, "großer Riß", "bild 1_mask.png")


def test_a_missing_mask_is_named_where_it_was_expected(tmp_path):
    """The sample keeps the path, so that decoding can report it."""
    touch_class(tmp_path, "bottle")
    touch(tmp_path / "bottle", "test/cut/002.png", "test/hole/000.png")

    missing = [
        sample.mask for sample in mvtec.load(tmp_path, "bottle").test if sample.mask and not sample.mask.is_file()
    ]

    ground_truth = tmp_path / "bottle" / "ground_truth"
    assert missing == [ground_truth / "cut" / "002_mask.png", ground_truth / "hole" / "000_mask.png"]


def test_without_ground_truth_no_sample_has_a_mask(tmp_path):
    """A class labelled by image only is read as such."""
    touch(tmp_path / "parts", "train/good/0.png", "test/good/0.png", "test/bad/0.png")

    task = folder.load(tmp_path, "parts")

    assert names(task.test) == [("0.png", 1, "bad", None), ("0.png", 0, "good", None)]
    assert task.problems == ()


def test_a_defect_type_without_images_is_a_problem(tmp_path):
    """An empty folder of a type is reported, and the rest is read."""
    touch_class(tmp_path, "bottle")
    empty = tmp_path / "bottle" / "test" / "hole"
    empty.mkdir()

    task = mvtec.load(tmp_path, "bottle")

    assert [(problem.path, problem.found) for problem in task.problems] == [(empty, "no image")]
    assert len(task.test) == 3


def test_masks_without_images_are_a_problem(tmp_path):
    """A ground truth type without a folder of test images is reported."""
    touch_class(tmp_path, "bottle")
    touch(tmp_path / "bottle", "ground_truth/hole/000_mask.png")

    (problem,) = mvtec.load(tmp_path, "bottle").problems

    assert problem.path == tmp_path / "bottle" / "ground_truth" / "hole"
    assert str(tmp_path / "bottle" / "test" / "hole") in problem.found


def test_a_class_without_test_images_is_refused(tmp_path):
    """The message names the folder in which images were searched."""
    touch_class(tmp_path, "bottle")
    for path in sorted((tmp_path / "bottle" / "test").rglob("*.png")):
        path.unlink()

    with pytest.raises(DataError) as caught:
        mvtec.load(tmp_path, "bottle")

    assert f"no test image in {tmp_path / 'bottle' / 'test'}" in str(caught.value)


def test_a_class_without_training_images_says_where_they_belong(tmp_path):
    """Zero-shot methods need none, so the reader only says where they belong."""
    touch_class(tmp_path, "bottle")
    for path in sorted((tmp_path / "bottle" / "train").rglob("*.png")):
        path.unlink()

    task = mvtec.load(tmp_path, "bottle")

    assert (task.train, task.train_place) == ((), tmp_path / "bottle" / "train" / "good")
    assert task.test


# ---------------------------------------------------------------- mvtec


def test_mvtec_has_its_15_classes(tmp_path):
    """All 15 are offered if one of them exists."""
    touch_class(tmp_path, "screw")

    assert len(mvtec.classes(tmp_path)) == 15
    assert list(mvtec.classes(tmp_path)) == sorted(mvtec.classes(tmp_path))


@pytest.mark.parametrize("name", mvtec.FOLDERS)
def test_mvtec_may_lie_in_its_usual_folder(tmp_path, name):
    """A root that contains the unpacked archive works."""
    touch_class(tmp_path / name, "wood")

    assert len(mvtec.load(tmp_path, "wood").train) == 2


def test_the_folder_with_more_classes_wins(tmp_path):
    """A single folder with a class's name beside the data set does not hide it."""
    touch_class(tmp_path, "wood")
    touch_class(tmp_path / "mvtec", "wood")
    touch_class(tmp_path / "mvtec", "tile")

    assert mvtec.load(tmp_path, "wood").root == tmp_path / "mvtec"


@pytest.mark.parametrize("reader", [mvtec, visa])
@pytest.mark.parametrize("make", ["nothing", "a file", "an empty folder"])
def test_a_missing_root_says_where_to_get_the_data(tmp_path, reader, make):
    """The message names the folder, both ways to give another one, and where to get the data set."""
    root = tmp_path / "data"
    if make == "a file":
        root.touch()
    elif make == "an empty folder":
        root.mkdir()

    with pytest.raises(DataError) as caught:
        reader.classes(root)

    message = str(caught.value)
    assert all(part in message for part in (str(root), "--data-root", "ADBENCH_DATA", reader.SOURCE))


@pytest.mark.parametrize(
    ("reader", "wrong", "right"),
    [(mvtec, "botle", "bottle"), (visa, "Candel", "candle"), (demo, "bricks", "brick"), (folder, "part", "parts")],
)
def test_an_unknown_class_offers_the_nearest(tmp_path, reader, wrong, right):
    """For a typo in a class's name the message suggests the right one."""
    touch_class(tmp_path, "parts")

    with pytest.raises(UnknownNameError, match=f"unknown class of {reader.NAME} '{wrong}'.*Did you mean '{right}'"):
        reader.load(tmp_path, wrong)


def test_a_class_that_was_not_unpacked_is_named(tmp_path):
    """A known class whose folder is missing is not taken for a wrong name."""
    touch_class(tmp_path, "bottle")

    with pytest.raises(DataError) as caught:
        mvtec.load(tmp_path, "wood")

    assert "class wood of mvtec" in str(caught.value)
    assert str(tmp_path / "wood") in str(caught.value)


# ---------------------------------------------------------------- folder


def test_a_folder_with_test_images_only_is_a_class(tmp_path):
    """Zero-shot methods can be scored on it, and others refuse it by name; it isn't ignored silently."""
    touch_class(tmp_path, "nuts")
    touch(tmp_path, "widgets/test/good/000.png")

    assert list(folder.classes(tmp_path)) == ["nuts", "widgets"]
    assert folder.load(tmp_path, "widgets").train == ()


def test_every_folder_in_mvtec_layout_is_a_class(tmp_path):
    """Other folders are ignored, and the order is by name."""
    for name in ("nuts", "Bolts", "äpfel"):
        touch_class(tmp_path, name)
    touch(tmp_path, "notes/readme.txt", ".hidden/train/good/0.png", "loose.png")

    assert folder.classes(tmp_path) == ["Bolts", "nuts", "äpfel"]


def test_a_root_that_is_a_class_itself_is_that_class(tmp_path, monkeypatch):
    """A path to the class instead of its parent works, also a relative one."""
    touch_class(tmp_path, "nuts")
    monkeypatch.chdir(tmp_path / "nuts")

    assert folder.classes(tmp_path / "nuts") == folder.classes(Path()) == ["nuts"]
    assert folder.load(Path(), "nuts").fingerprint == folder.load(tmp_path, "nuts").fingerprint


def test_a_root_without_a_class_shows_the_layout(tmp_path):
    """The message says what a class looks like."""
    touch(tmp_path, "nuts/0.png")

    with pytest.raises(DataError) as caught:
        folder.classes(tmp_path)

    assert str(tmp_path) in str(caught.value)
    assert "CLASS/train/good" in str(caught.value)


def test_a_copied_data_set_has_the_same_fingerprint(tmp_path):
    """Only paths below the root count; another image changes the fingerprint."""
    one, two = (mvtec.load(touch_class(tmp_path / name, "tile").parent, "tile") for name in ("one", "two"))
    assert one.fingerprint == two.fingerprint

    touch(tmp_path / "two" / "tile", "train/good/002.png")
    assert mvtec.load(tmp_path / "two", "tile").fingerprint != one.fingerprint


# ---------------------------------------------------------------- all of them


def test_the_readers_import_nothing_heavy():
    """They are loaded at each start, so torch, NumPy and Pillow are not imported until images are needed."""
    code = (
        "import sys; from adbench_datasets import demo, folder, mvtec, visa; "
        "print(sorted({'torch', 'numpy', 'PIL', 'skimage', 'scipy'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("reader", [demo, folder, mvtec, visa])
def test_each_module_offers_its_data_set(reader):
    """The hook returns one data set under the module's name, and only demo needs no root."""
    (dataset,) = reader.adbench_datasets()

    assert dataset.name == reader.__name__.rpartition(".")[2]
    assert dataset.summary
    assert dataset.source
    assert (dataset.needs_root, dataset.synthetic) == ((False, True) if reader is demo else (True, False))


def test_folders_are_read_in_the_order_of_their_names(tmp_path):
    """Capitals come first on every platform, whatever the order on disk."""
    touch(tmp_path, "b.png", "a.png", "C.png", "10.png", "9.png")

    assert [path.name for path in layout.images_in(tmp_path)] == ["10.png", "9.png", "C.png", "a.png", "b.png"]


def test_a_mask_that_two_images_could_have_is_a_problem_of_both(tmp_path):
    """Two images of one stem share a mask, which can't be right for both; so neither is scored."""
    touch(tmp_path / "caps", "train/good/0.png", "test/cut/1.png", "test/cut/1.bmp", "test/cut/2.png")
    touch(tmp_path / "caps", "ground_truth/cut/1_mask.png", "ground_truth/cut/2_mask.png")
    task = tree.read_class("folder", tmp_path / "caps")
    assert names(task.test) == [("2.png", 1, "cut", "2_mask.png")]
    assert [problem.path.name for problem in task.problems] == ["1.bmp", "1.png"]
    assert all("other images of this name have" in problem.found for problem in task.problems)


def test_two_masks_of_one_image_are_a_problem(tmp_path):
    """Either could be right; which one counts must not depend on the order of their suffixes."""
    touch(tmp_path / "caps", "train/good/0.png", "test/cut/1.png", "test/good/2.png")
    touch(tmp_path / "caps", "ground_truth/cut/1_mask.png", "ground_truth/cut/1_mask.tif")
    (problem,) = tree.read_class("folder", tmp_path / "caps").problems
    assert problem.found.startswith("two masks, 1_mask.png and 1_mask.tif in ")


@pytest.mark.parametrize("name", ["Good", "GOOD", "good ", "ok", "OK", "Normal", "pass"])
def test_a_folder_that_is_called_good_is_no_type_of_defect(tmp_path, name):
    """Its images do not count as defective because of a capital letter or another word, and a line says so."""
    touch(tmp_path / "caps", "train/good/0.png", "test/cut/1.png", f"test/{name}/2.png")
    task = tree.read_class("folder", tmp_path / "caps")
    assert sorted(names(task.test)) == [("1.png", 1, "cut", None), ("2.png", 0, "good", None)]
    assert task.problems == ()
    assert task.remarks[0] == f"folder/caps: test/{name} taken for good images."
    touch(tmp_path / "rings", "good/0.png", "good/1.png", f"bad/{name}/2.png")
    with pytest.raises(DataError, match=f"called {name}"):
        folder.load(tmp_path / "rings", "rings")


def test_masks_of_no_defective_image_are_named(tmp_path):
    """A mask of a good image, or of one that isn't there, is passed over, and the remark says so."""
    touch(tmp_path / "caps", "train/good/0.png", "test/cut/1.png", "test/good/2.png")
    touch(tmp_path / "caps", "ground_truth/cut/1.png", "ground_truth/cut/7_mask.png", "ground_truth/good/2_mask.png")
    task = tree.read_class("folder", tmp_path / "caps")
    assert not task.problems
    assert task.remarks == ("folder/caps: passed over: ground_truth/cut/7_mask.png, ground_truth/good/ (1 image).",)
