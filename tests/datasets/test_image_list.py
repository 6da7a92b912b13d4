"""Own images that a list names."""

from __future__ import annotations

import json
import unicodedata
from pathlib import Path

import pytest
from adbench_datasets import folder
from layout_files import names, touch

from adbench.api.data_options import with_options
from adbench.util.errors import DataError

HEAD = "path,split,label,defect,mask\n"
ROWS = HEAD + "a/0.png,train,good,,\na/1.png,test,ok,,m/1.png\na/2.png,test,NG,scratch,m/2.png\na/3.png,val,0,,\n"
FILES = ("a/0.png", "a/1.png", "a/2.png", "a/3.png", "m/1.png", "m/2.png")


def listed(root: Path, text: str, name: str = "dataset.csv") -> Path:
    touch(root, *FILES)
    (root / name).write_text(text, encoding="utf-8")
    return root


def test_a_list_says_what_each_image_is(tmp_path):
    """Split, label, type of defect and mask are those of its row, whatever the image's folder."""
    root = listed(tmp_path / "parts", ROWS)
    assert folder.classes(root) == ["parts"]
    task = folder.load(root, "parts")
    assert names(task.train) == [("0.png", 0, "good", None)]
    assert names(task.validation) == [("3.png", 0, "good", None)]
    assert names(task.test) == [("1.png", 0, "good", None), ("2.png", 1, "scratch", "2.png")]
    assert task.remarks == (
        "folder/parts: read by dataset.csv: 1 images for training, 1 for validation, 1 good and 1 bad for testing.",
        "folder/parts: 1 masks of good images are not read.",
    )


def test_json_and_other_separators_give_the_same(tmp_path):
    """A list of objects, and columns that are separated by semicolons or tabs, have the same images."""
    wanted = folder.load(listed(tmp_path / "csv" / "parts", ROWS), "parts").fingerprint
    lines = [line.split(",") for line in ROWS.splitlines()]
    objects = [{key: cell or None for key, cell in zip(lines[0], line, strict=True)} for line in lines[1:]]
    for place, text in ((";", ROWS.replace(",", ";")), ("tab", "\ufeff" + ROWS.replace(",", "\t"))):
        assert folder.load(listed(tmp_path / place / "parts", text), "parts").fingerprint == wanted
    root = listed(tmp_path / "json" / "parts", json.dumps(objects), "dataset.json")
    assert folder.load(root, "parts").fingerprint == wanted


def test_without_splits_the_good_images_are_split_by_their_names(tmp_path):
    """As in folders without a split, all defective images are for testing, and the share can be changed."""
    rows = "".join(f"a/{number}.png,good\n" for number in range(10)) + "a/x.png,bad\n"
    root = listed(tmp_path, "path,label\n" + rows)
    (name,) = folder.classes(root)
    task = folder.load(root, name)
    assert (len(task.train), len(task.test), task.options) == (7, 4, folder.USUAL)
    reader = with_options(folder.reader(), {"test_share": 0.5})
    assert len(reader.load(root, name).train) == 5


def test_a_column_makes_classes_and_what_is_not_listed_is_named(tmp_path):
    """Each class has its own rows; images of no row are passed over; training images with a defect are left out."""
    text = "path,split,defect,class\na/0.png,train,dent,nut\na/1.png,test,good,nut\na/2.png,test,,bolt\n"
    root = listed(tmp_path, text)
    assert folder.classes(root) == ["bolt", "nut"]
    nut, bolt = (folder.load(root, name) for name in ("nut", "bolt"))
    assert (names(nut.train), names(nut.test)) == ([], [("1.png", 0, "good", None)])
    assert "1 images of training or validation that are not good are left out" in nut.remarks[1]
    assert nut.remarks[2] == f"folder at {root}: passed over: a/3.png, m/1.png, m/2.png."
    assert not bolt.test[0].is_labelled


@pytest.mark.parametrize(("listed_form", "disk_form"), [("NFC", "NFD"), ("NFD", "NFC")])
def test_letters_of_names_may_be_composed_either_way(tmp_path, listed_form, disk_form):
    """A list that was written on another system finds its images, masks and classes; none of them is passed over."""
    files = ("grün/ä.png", "grün/ö.png", "masks/ö.png")
    touch(tmp_path, *(unicodedata.normalize(disk_form, name) for name in files))
    text = "path,split,label,mask,class\ngrün/ä.png,train,ok,,Tür\ngrün/ö.png,test,ng,masks/ö.png,Tür\n"
    (tmp_path / "dataset.csv").write_text(unicodedata.normalize(listed_form, text), encoding="utf-8")
    assert folder.classes(tmp_path) == ["Tür"]
    task = folder.load(tmp_path, "Tür")
    assert all(path.is_file() for sample in (*task.train, *task.test) for path in sample.files)
    assert len(task.remarks) == 1


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", "the columns none"),
        (HEAD, "no row"),
        ("path,split\na/0.png,test\n", "the columns path, split"),
        ("path,label,colour\na/0.png,good,red\n", "the column 'colour'"),
        ("path,label\n../0.png,good\n", "row 1: path '../0.png'"),
        ("path,label\n/etc/0.png,good\n", "row 1: path '/etc/0.png'"),
        ("path,label\na/0.png,fine\n", "row 1: label 'fine'"),
        ("path,label,defect\na/0.png,good,dent\n", "a good image with the defect 'dent'"),
        ("path,label,defect\na/0.png,bad,good\n", "a bad image with the defect 'good'"),
        ("path,label,split\na/0.png,good,tests\n", "row 1: split 'tests'"),
        ("path,label\na/0.png,good\na/0.png,bad\n", "a/0.png twice (row 2)"),
        ("path,label,split\na/0.png,good,test\na/1.png,good,\n", "row 2 without a split"),
        ("path,label,split\na/0.png,good,train\n", "no test image"),
    ],
)
def test_a_wrong_list_is_one_message(tmp_path, text, found):
    """It has the list's name, what was found in which row, and what was wanted."""
    root = listed(tmp_path, text)
    with pytest.raises(DataError) as error:
        folder.load(root, folder.classes(root)[0])
    assert f"list {root / 'dataset.csv'}" in str(error.value)
    assert found in str(error.value)


@pytest.mark.parametrize("text", ["no json", '{"path": 1}', "[1]"])
def test_a_wrong_json_list_is_one_message(tmp_path, text):
    """What is no list of objects is refused."""
    with pytest.raises(DataError, match=r"list .*dataset\.json"):
        folder.classes(listed(tmp_path, text, "dataset.json"))
