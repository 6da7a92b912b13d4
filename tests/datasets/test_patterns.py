"""Images that are told apart by their names."""

from __future__ import annotations

import pytest
from adbench_datasets import folder, patterns
from layout_files import names, touch

from adbench.api.data_options import with_options
from adbench.util.errors import DataError

FLAT = ("ok_0.png", "ok_1.png", "OK_2.PNG", "ng_0.png", "ng_1.png")


def read(root, *files, good=("ok_*.png",), bad=("ng_*.png",)):
    """The task of the only class, whose images are told apart by patterns."""
    touch(root / "flat", *files)
    return with_options(folder.reader(), {"good": good, "bad": bad}).load(root / "flat", "flat")


def test_one_flat_folder_is_told_apart_by_names(tmp_path):
    """The good images are split as ever; masks beside the bad ones are masks, and what fits nothing is named."""
    task = read(tmp_path, *FLAT, "ng_0_mask.png", "ng_1_mask.png", "x.png", "notes.txt")
    assert len(task.train) + sum(not sample.label for sample in task.test) == 3
    assert names(sample for sample in task.test if sample.label) == [
        ("ng_0.png", 1, "ng", "ng_0_mask.png"),
        ("ng_1.png", 1, "ng", "ng_1_mask.png"),
    ]
    assert task.remarks == (
        "folder/flat: images by patterns without a split: 2 good images for training, 1 good and 2 bad (ng 2) for "
        "testing (--test-share 0.3); masks beside them.",
        "folder/flat: passed over: notes.txt, x.png.",
    )


def test_each_class_below_the_root_may_be_flat(tmp_path):
    """Patterns are against paths below the class's folder; the split is that of the names."""
    for name in ("bolt", "nut"):
        touch(tmp_path / name, *FLAT)
    reader = with_options(folder.reader(), {"good": ("ok_*",), "bad": ("ng_*",)})
    assert reader.classes(tmp_path) == ["bolt", "nut"]
    alone = read(tmp_path / "alone", *FLAT, good=("ok_*",))
    assert names(reader.load(tmp_path, "nut").train) == names(alone.train)


def test_folders_and_patterns_may_be_mixed(tmp_path):
    """Types of defect are the words of the patterns, else the images' folders; masks lie in their folder."""
    files = ("good/0.png", "good/1.png", "mix/dent_0.png", "mix/tear-1.png", "cam/hole/2.png", "masks/dent_0.png")
    more = ("masks/tear-1.png", "masks/hole/2.png")
    task = read(tmp_path, *files, *more, good=("good",), bad=("mix/dent_*", "mix/tear*", "cam/**/*.png"))
    assert names(sample for sample in task.test if sample.label) == [
        ("dent_0.png", 1, "dent", "dent_0.png"),
        ("tear-1.png", 1, "tear", "tear-1.png"),
        ("2.png", 1, "hole", "2.png"),
    ]


@pytest.mark.parametrize(
    ("pattern", "fitting"),
    [
        ("*.png", ["0.png", "ü.PNG"]),
        ("a/*", ["a/1.png"]),
        ("*/?.png", ["a/1.png"]),
        ("**/*.png", ["0.png", "ü.PNG", "a/1.png", "a/b/2.png"]),
        ("**/b/*", ["a/b/2.png"]),
        ("a/**/[12].png", ["a/1.png", "a/b/2.png"]),
        ("U\u0308.png", ["ü.PNG"]),
        ("masks/*", ["masks/9.png"]),
    ],
)
def test_which_paths_a_pattern_fits(tmp_path, pattern, fitting):
    """One star stays within a name, two take any folders; masks are found only where they are named."""
    touch(tmp_path, "0.png", "ü.PNG", "a/1.png", "a/b/2.png", "masks/9.png", "a/x.txt")
    found = patterns.matching(tmp_path, pattern, ["masks"])
    assert [path.relative_to(tmp_path).as_posix() for path in found] == fitting


@pytest.mark.parametrize(
    ("pattern", "kind"),
    [("ng_*.png", "ng"), ("*_ng.png", "ng"), ("x/dent-??.bmp", "dent"), ("[ab]*.png", ""), ("*", "")],
)
def test_the_type_of_defect_is_the_word_of_the_pattern(pattern, kind):
    """It has no marks at its ends; a pattern without a word says none."""
    assert patterns.defect_type(pattern) == kind


@pytest.mark.parametrize(
    ("good", "bad", "text"),
    [
        (("ok_*",), ("*.png",), r"in two of --good and --bad.*Make the patterns narrower"),
        (("ok_*",), ("bad",), r"no folder bad, but ng_0\.png, ng_1\.png.*--bad 'ng_\*'"),
        (("ok_*",), ("def_*",), r"no image that fits def_\*, but ng_0"),
        (("ok_0*",), ("ng_*",), r"1 good image in .*ok_0\*"),
        (("ok_*",), ("?ng_*", "ok?*"), r"in two of --good and --bad"),
    ],
)
def test_patterns_that_can_not_be_meant(tmp_path, good, bad, text):
    """An image is good or bad, and none is left out because of a slip."""
    with pytest.raises(DataError, match=text):
        read(tmp_path, *FLAT, good=good, bad=bad)


def test_names_that_say_it_are_a_hint(tmp_path):
    """A folder of images without labels shows how to give them by their names."""
    touch(tmp_path / "flat", *FLAT)
    assert "--good 'OK*' --bad 'ng*'" in folder.load(tmp_path / "flat", "flat").remarks[1]
