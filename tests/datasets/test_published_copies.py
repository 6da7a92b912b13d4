"""Copies of published data sets that others have packed again: folders, suffixes and masks that differ."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import published_files as made
import pytest
from layout_files import touch

from adbench import Task
from adbench.api import registry
from adbench.util.errors import DataError, UnknownNameError


@pytest.fixture(scope="module")
def readers():
    return registry.load().datasets


def read(readers, name: str, root: Path) -> Task:
    (class_name,) = readers[name].classes(root)
    return readers[name].load(root, class_name)


def masks(task: Task) -> dict[str, str]:
    """The mask of each defective image, by their paths below the root."""
    return {
        sample.path.relative_to(task.root).as_posix(): sample.mask.relative_to(task.root).as_posix()
        for sample in task.test
        if sample.mask is not None
    }


@pytest.mark.parametrize("mask", ["000.png", "000_mask.png", "000_GT.png", "000_label.PNG", "000.bmp", "000_mask.jpg"])
def test_masks_are_found_by_the_stem_of_their_image(readers, tmp_path, mask):
    """Whatever their ending and suffix."""
    files = ("train/good/1.png", "test/good/1.png", "test/hole/000.JPG", f"ground_truth/hole/{mask}")
    task = read(readers, "mpdd", touch(tmp_path, *(f"tubes/{name}" for name in files)))
    assert masks(task) == {"tubes/test/hole/000.JPG": f"tubes/ground_truth/hole/{mask}"}


def test_a_missing_mask_moves_no_other(readers, tmp_path):
    """Masks are never paired by position: the image without one names where it was expected."""
    files = ("test/hole/000.png", "test/hole/001.png", "test/hole/002.png", "test/good/0.png", "train/good/0.png")
    there = ("ground_truth/hole/000_mask.png", "ground_truth/hole/002_mask.png", "ground_truth/hole/009_mask.png")
    task = read(readers, "mpdd", touch(tmp_path, *(f"tubes/{name}" for name in (*files, *there))))
    assert [(sample.mask.name, sample.mask.is_file()) for sample in task.test if sample.mask] == [
        ("000_mask.png", True), ("001_mask.png", False), ("002_mask.png", True),
    ]  # fmt: skip
    assert "mpdd/tubes: passed over: ground_truth/hole/009_mask.png." in task.remarks


def test_each_class_may_have_an_archive_of_its_own(readers, tmp_path):
    """A class in a folder of its own name is found."""
    made.write(tmp_path, *made.tree("drink_can/drink_can", kinds={"dent": "000.png"}))
    assert len(read(readers, "goodsad", tmp_path).train) == 2


def test_of_two_copies_the_larger_is_read_and_the_other_named(readers, tmp_path):
    """So is a folder that looks like a class and is none."""
    for place in ("a/tubes", "b/tubes", "b/connector", "b/spare"):
        made.write(tmp_path, *made.tree(place, kinds={"hole": "000.png"}))
    assert list(readers["mpdd"].classes(tmp_path)) == ["connector", "tubes"]
    said = "\n".join(readers["mpdd"].load(tmp_path, "tubes").remarks)
    assert f"passed over: {tmp_path / 'b' / 'spare'} (no class of it)" in said
    assert f"passed over: {tmp_path / 'a'} (another copy)" in said


def test_a_class_that_is_not_there_is_named(readers, tmp_path):
    """A partial download is no wrong name; a wrong name offers the nearest."""
    made.write(tmp_path, *made.tree("tubes", kinds={"hole": "000.png"}))
    with pytest.raises(DataError, match=r"class connector of mpdd.*beside tubes"):
        readers["mpdd"].load(tmp_path, "connector")
    with pytest.raises(UnknownNameError, match="Did you mean 'tubes'"):
        readers["mpdd"].load(tmp_path, "tube")


@pytest.mark.parametrize("good", ["good", "OK", "Good"])
def test_btad_may_call_good_images_good(readers, tmp_path, good):
    """In any case; the kinds of defects may have other names, too."""
    made.write(tmp_path, *made.tree("02", kinds={"bad": "000.png"}, good=good))
    task = read(readers, "btad", tmp_path)
    assert [(sample.label, sample.defect) for sample in task.test] in (
        [(1, "bad"), (0, "good")],
        [(0, "good"), (1, "bad")],
    )


@pytest.mark.parametrize("mask", ["000_regular_mask.png", "000_regular.png"])
@pytest.mark.parametrize("place", ["test_public/ground_truth", "ground_truth"])
def test_masks_of_mvtec_ad_2_may_be_moved_or_renamed(readers, tmp_path, mask, place):
    """Masks never count as a type of defect."""
    files = ("train/good/0.png", "test_public/good/0.png", "test_public/bad/000_regular.png", f"{place}/bad/{mask}")
    task = read(readers, "mvtec_ad2", touch(tmp_path, *(f"can/{name}" for name in files)))
    assert masks(task) == {"can/test_public/bad/000_regular.png": f"can/{place}/bad/{mask}"}
    assert len(task.test) == 2


def test_loco_in_mvtec_layout_is_read(readers, tmp_path):
    """Its masks are single files."""
    kinds = {"logical_anomalies": "000_mask.png", "structural_anomalies": "000_mask.png"}
    made.write(tmp_path, *made.tree("screw_bag", kinds=kinds))
    assert len(masks(read(readers, "mvtec_loco", tmp_path))) == 2


@pytest.mark.parametrize(
    "place", ["kolektorsdd:KolektorSDD", "kolektorsdd:SDD/commutators", "kolektorsdd2:ksdd2", "mtd:magnetic_tile"]
)
def test_single_classes_in_mvtec_layout_are_read_by_the_name_of_their_folder(readers, tmp_path, place):
    """A folder of another name isn't taken for them: any class has such a layout."""
    name, _, folder = place.partition(":")
    made.write(tmp_path, *made.tree("other", kinds={"crack": "000_mask.png"}))
    with pytest.raises(DataError, match="found none of its files"):
        readers[name].classes(tmp_path)
    made.write(tmp_path, *made.tree(folder, kinds={"crack": "000_mask.png"}))
    task = read(readers, name, tmp_path)
    assert (task.class_name, len(task.train), len(task.test)) == (name, 2, 2)


def test_dagm_in_mvtec_layout_is_read(readers, tmp_path):
    """As some programs arrange it."""
    made.write(tmp_path, *made.tree("Class3", kinds={"bad": "000_label.PNG"}, suffix=".PNG"))
    assert masks(read(readers, "dagm", tmp_path)) == {
        "Class3/test/bad/000.PNG": "Class3/ground_truth/bad/000_label.PNG"
    }


@pytest.mark.parametrize(("of_image", "of_mask"), [("NFC", "NFD"), ("NFD", "NFC")])
def test_masks_of_dagm_are_paired_in_one_form_of_letters(readers, tmp_path, of_image, of_mask):
    """An image of another form than its mask, or its flag, is defective; two masks of one image are refused."""
    made.dagm(tmp_path)
    place = tmp_path / "Class1/Test"
    name = unicodedata.normalize(of_image, "grün")
    (place / "0002.PNG").rename(place / f"{name}.PNG")
    mask = (place / "Label/0002_label.PNG").rename(place / "Label" / unicodedata.normalize(of_mask, "grün_label.PNG"))
    (bad,) = (each for each in read(readers, "dagm", tmp_path).test if each.label)
    assert (bad.path.stem, bad.mask) == (name, mask)
    other = mask.with_suffix(".png")
    other.write_bytes(mask.read_bytes())
    (problem,) = read(readers, "dagm", tmp_path).problems
    assert (problem.path.stem, problem.found) == (name, f"2 masks, {mask.name} and {other.name}")
    for each in (mask, other):
        each.unlink()
    labels = place / "Label/Labels.txt"
    labels.write_text(unicodedata.normalize(of_mask, "1\n2\t1\tgrün.PNG\t0\tgrün_label.PNG\n"), encoding="utf-8")
    assert [each.path.stem for each in read(readers, "dagm", tmp_path).test if each.label] == [name]


def test_flags_of_dagm_without_a_mask_are_a_missing_mask(readers, tmp_path):
    """An image that Labels.txt calls defective is never taken for good; a mask of a good one is a problem."""
    made.dagm(tmp_path)
    labels = tmp_path / "Class1/Test/Label"
    (labels / "0002_label.PNG").unlink()
    made.write(labels, "0001_label.PNG = 2")
    task = read(readers, "dagm", tmp_path)
    assert {sample.path.name: sample.mask.is_file() for sample in task.test if sample.label} == {
        "0001.PNG": True, "0002.PNG": False,
    }  # fmt: skip
    assert [(problem.path.name, problem.found) for problem in task.problems] == [
        ("0001.PNG", "a mask, but Labels.txt calls the image good")
    ]


def test_real_iad_finds_its_parts_in_several_places(readers, tmp_path):
    """The json files may be nested once or twice, and a mask may have another name than the json says."""
    for number, folder in enumerate(("realiad_jsons", "splits/realiad_jsons", "a/realiad_jsons/realiad_jsons")):
        root = made.real_iad(tmp_path / str(number), folder=folder)
        (mask,) = root.rglob("*_C1_1.png")
        mask.rename(mask.with_name(f"{mask.stem}_mask.png"))
        (found,) = masks(read(readers, "real_iad", root)).values()
        assert found.endswith("_C1_1_mask.png")


@pytest.mark.parametrize("text", ["", "{}", '{"train": [], "test": [{}]}', '{"train": 1, "test": []}'])
def test_a_broken_json_of_real_iad_is_refused(readers, tmp_path, text):
    """The message names it and what is wanted."""
    made.write_text(made.real_iad(tmp_path), "realiad_jsons/realiad_jsons/audiojack.json", text)
    with pytest.raises(DataError, match=r"audiojack.json.*wanted lists train and test"):
        read(readers, "real_iad", tmp_path)


@pytest.mark.parametrize("place", ["data", "src/elpv_dataset/data"])
def test_elpv_lies_deeper_in_its_repository(readers, tmp_path, place):
    """Old and new copies of the repository are read."""
    made.elpv(tmp_path / place)
    assert len(read(readers, "elpv", tmp_path).train) == 2
