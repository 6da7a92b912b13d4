"""Folders of good and bad images without a split: what is found, how it is split, and what is said."""

from __future__ import annotations

from pathlib import Path

import pytest
from adbench_datasets import folder, plain
from hypothesis import given, settings
from hypothesis import strategies as st
from layout_files import names, touch

from adbench.api.data_options import with_options
from adbench.util.errors import DataError, OptionError

NAMES = st.lists(st.text("abcdefgh0123456789_", min_size=1, max_size=8), min_size=2, max_size=40, unique=True)
SHARES = st.floats(0.01, 0.99)
TWO = ("good/0.png", "good/1.png")


def make(root: Path, *more: str, good: int = 10) -> Path:
    """A folder with good images and whatever else is named."""
    return touch(root / "parts", *(f"good/{number}.png" for number in range(good)), *more)


def read(root: Path, **changes):
    """The task of the only class."""
    reader = with_options(folder.reader(), changes)
    (name,) = reader.classes(root)
    return reader.load(root, name)


# ---------------------------------------------------------------- the split


def test_good_and_bad_images_beside_each_other_are_split(tmp_path):
    """Three of ten good images are for testing, with all bad ones; nothing is in both or lost."""
    task = read(make(tmp_path, "bad/a.png", "bad/b.jpg"))

    assert (task.dataset, task.class_name, task.root) == ("folder", "parts", tmp_path)
    assert len(task.train) == 7
    good = [sample for sample in task.test if not sample.label]
    assert {sample.path for sample in (*task.train, *good)} == set((tmp_path / "parts/good").iterdir())
    assert len(good) == 3
    assert names(task.test[3:]) == [("a.png", 1, "bad", None), ("b.jpg", 1, "bad", None)]
    assert task.options == plain.FolderOptions()
    assert task.problems == ()


@settings(max_examples=30)
@given(NAMES, SHARES, st.integers(0, 3))
def test_the_split_depends_on_names_alone(given_names, share, seed):
    """Whatever the order on disk, the same names are chosen, and each side has one at least."""
    chosen = {given_names[place] for place in plain.split(given_names, share, seed)}
    turned = given_names[::-1]

    assert chosen == {turned[place] for place in plain.split(turned, share, seed)}
    assert 1 <= len(chosen) < len(given_names)
    assert abs(len(chosen) - share * len(given_names)) <= 1


@settings(max_examples=30)
@given(NAMES, SHARES)
def test_one_more_image_moves_at_most_one_other(given_names, share):
    """A data set may grow without another test set."""
    *fewer, new = given_names
    if len(fewer) < 2:
        return
    before = {fewer[place] for place in plain.split(fewer, share, 0)}
    after = {given_names[place] for place in plain.split(given_names, share, 0)}

    assert len(before ^ (after - {new})) <= 1


@settings(max_examples=30)
@given(NAMES, SHARES, SHARES)
def test_a_larger_share_has_the_images_of_a_smaller_one(given_names, one, two):
    """Shares can be compared."""
    small, large = (plain.split(given_names, share, 0) for share in sorted((one, two)))
    assert small <= large


def test_the_split_is_that_of_the_documented_rule():
    """It may never change, since stored results would become stale: the lowest SHA-256 of "SEED/NAME" are chosen."""
    files = [f"{number:03d}.png" for number in range(10)]
    assert sorted(plain.split(files, 0.3, 0)) == EXPECTED[0]
    assert sorted(plain.split(files, 0.3, 1)) == EXPECTED[1]
    assert plain.split(files, 0, 0) == set()
    assert plain.split(files, 1, 0) == set(range(10))


EXPECTED = ([1, 6, 8], [0, 1, 3])


def test_the_folders_name_does_not_count_and_letters_may_be_composed_either_way(tmp_path):
    """A copy under other names, from a system that writes letters otherwise, has the same split."""
    one = touch(tmp_path / "one", *(f"good/\u00fc{number}.png" for number in range(10)), "bad/0.png")
    two = touch(tmp_path / "two", *(f"OK/u\u0308{number}.png" for number in range(10)), "NG/0.png")

    numbers = [
        {sample.path.stem[-1] for sample in task.train} for task in (read(one), read(two, good=("OK",), bad=("NG",)))
    ]
    assert numbers[0] == numbers[1]


def test_a_share_of_nothing_or_of_all(tmp_path):
    """With 0 all good images are for training, with 1 all are for testing, even a single one."""
    root = make(tmp_path, "bad/0.png", good=1)
    assert [len(read(root, test_share=share).train) for share in (0, 1)] == [1, 0]


# ---------------------------------------------------------------- types of defect


def test_folders_in_the_bad_one_are_types_of_defect(tmp_path):
    """Images beside them are of the type that the folder is called."""
    task = read(make(tmp_path, "bad/scratch/0.png", "bad/dent/0.png", "bad/1.png"))
    assert names(task.test[3:]) == [
        ("1.png", 1, "bad", None),
        ("0.png", 1, "dent", None),
        ("0.png", 1, "scratch", None),
    ]
    assert "3 bad (bad 1, dent 1, scratch 1)" in task.remarks[0]


def test_other_names_of_the_folders(tmp_path):
    """Several bad folders are types of defect each; good ones may lie deeper."""
    root = touch(tmp_path / "parts", "ok/mon/0.png", "ok/tue/0.png", "scratch/0.png", "dent/0.png", "ok/wed/0.png")
    task = read(root, good=("ok/mon", "ok/tue"), bad=("scratch", "dent"))
    assert len(task.train) + sum(not sample.label for sample in task.test) == 2
    assert [sample.defect for sample in task.test if sample.label] == ["scratch", "dent"]
    assert task.remarks[1:] == ("folder/parts: passed over: ok/wed/ (1 image).",)


def test_named_folders_win_over_the_mvtec_layout(tmp_path):
    """Who names folders wants these; otherwise a split on disk counts, and options for the others don't."""
    root = make(tmp_path, "train/good/0.png", "test/good/0.png", "test/dent/0.png", "ng/0.png")
    assert len(read(root).train) == 1
    assert len(read(root, bad=("ng",)).train) == 7
    assert "split by its folders train and test" in read(root, test_share=0.5).remarks[0]
    assert read(root, test_share=0.5).options is None


def test_without_bad_images_there_is_a_task(tmp_path):
    """Many have no defect yet: it is said that there is no folder of them."""
    task = read(make(tmp_path))
    assert (len(task.train), len(task.test)) == (7, 3)
    assert "no folder bad" in task.remarks[0]


# ---------------------------------------------------------------- said


def test_the_split_is_said_in_one_line(tmp_path):
    """Numbers of images, the share, and whether there are masks."""
    assert read(make(tmp_path, "bad/0.png")).remarks == (
        "folder/parts: folders without a split: 7 good images for training, 3 good and 1 bad for testing "
        "(--test-share 0.3); no masks, so no pixel metrics.",
    )


def test_what_is_passed_over_is_named(tmp_path):
    """Files that are no images, and folders in folders; hidden files are nobody's images."""
    more = (
        "bad/0.png",
        "bad/x/y/0.png",
        "bad/x/0.png",
        "bad/0.txt",
        "good/mon/0.png",
        "good/0.heic",
        "0.png",
        "new/0.png",
    )
    task = read(make(tmp_path, *more, "good/.DS_Store"))
    assert task.remarks[1] == (
        "folder/parts: passed over: 0.png, bad/0.txt, bad/x/y/ (1 image), good/0.heic, good/mon/ (1 image), "
        "new/ (1 image). Images in .heic are not read: convert them to PNG or TIFF."
    )
    many = read(make(tmp_path, *(f"{number}.txt" for number in range(4))))
    assert "3.txt, bad/0.txt and 4 more." in many.remarks[1]


def test_each_class_below_the_root_is_read(tmp_path):
    """Several classes work each, and what lies between them is named."""
    for name in ("nut", "screw"):
        touch(tmp_path / "root" / name, "good/0.png", "good/1.png", "bad/0.png")
    touch(tmp_path / "root", "other/0.png", "list.csv")
    reader = folder.reader()
    assert reader.classes(tmp_path / "root") == ["nut", "screw"]
    task = reader.load(tmp_path / "root", "nut")
    assert task.root == tmp_path / "root"
    assert task.remarks[-1] == f"folder at {tmp_path / 'root'}: passed over: list.csv, other/ (1 image)."


# ---------------------------------------------------------------- mistakes


@pytest.mark.parametrize(
    ("files", "texts"),
    [
        (["good/0.png", "bad/0.png"], ("1 good image in", "at least 2", "Add good images")),
        (["good/x.txt", "bad/0.png"], ("0 good images in", "at least 2")),
        (["good/mon/0.png", "good/tue/0.png", "bad/0.png"], ("but folders in it", "--good good/mon,good/tue")),
        ([*TWO, "scratch/0.png", "dent/0.png"], ("no folder bad, but dent, scratch", "--bad dent,scratch")),
        ([*TWO, "bad/good/0.png"], ("a type of defect called good (bad/good)",)),
        ([*TWO, "bad/0.png", "masks/0.png", "ground_truth/0.png"], ("masks in masks and in ground_truth",)),
    ],
)  # fmt: skip
def test_what_can_not_be_read_is_one_message(tmp_path, files, texts):
    """It names the class, what was found, and what to do."""
    with pytest.raises(DataError) as caught:
        read(touch(tmp_path / "parts", *files))
    assert all(text in str(caught.value) for text in ("class parts of folder", *texts))


def test_an_empty_folder_of_bad_images_is_a_problem(tmp_path):
    """It ends a run that has not --skip-bad."""
    root = make(tmp_path, "bad/scratch/0.png")
    (root / "bad/dent").mkdir()
    (problem,) = read(root).problems
    assert (problem.path, problem.found) == (root / "bad/dent", "no image")


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"good": ("a",), "bad": ("a",)}, "options good and bad of data set folder: found the folder a twice"),
        ({"bad": ("a", "a/")}, "option bad of data set folder: found the folder a twice"),
        ({"bad": ("a", "a/b")}, "a and a/b, one in the other"),
        ({"good": ("bad/fine",)}, "bad/fine and bad, one in the other"),
        ({"good": ()}, "no name"),
        ({"bad": ("../x",)}, "'../x'"),
        ({"test_share": 1.5}, "1.5"),
        ({"split_seed": -1}, "-1"),
    ],
)
def test_names_and_numbers_that_can_not_be(changes, text):
    """They are refused before any folder is read."""
    with pytest.raises(OptionError, match="data set folder") as caught:
        with_options(folder.reader(), changes)
    assert text in str(caught.value)
