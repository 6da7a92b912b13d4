"""The reader of VisA: the layouts of its folder, and its messages about a wrong split."""

from __future__ import annotations

from pathlib import Path

import pytest
from adbench_datasets import visa
from layout_files import names, touch

from adbench.util.errors import DataError


def touch_archive(root: Path, name: str = "candle") -> Path:
    """One class of VisA as in its archive."""
    rows = (
        f"{name},train,normal,{name}/Data/Images/Normal/0000.JPG,",
        f"{name},test,normal,{name}/Data/Images/Normal/0001.JPG,",
        f"{name},test,anomaly,{name}/Data/Images/Anomaly/000.JPG,{name}/Data/Masks/Anomaly/000.png",
        "cashew,train,normal,cashew/Data/Images/Normal/0000.JPG,",
    )
    touch(root / name / "Data", "Images/Normal/0000.JPG", "Images/Normal/0001.JPG", "Images/Normal/unlisted.JPG")
    touch(root / name / "Data", "Images/Anomaly/000.JPG", "Masks/Anomaly/000.png")
    touch(root, "split_csv/1cls.csv").joinpath("split_csv/1cls.csv").write_text(
        "\n".join(("object,split,label,image,mask", *rows, "")), encoding="utf-8"
    )
    return root


@pytest.mark.parametrize("place", ["", "visa", "VisA", "VisA_20220922"])
def test_visa_as_in_its_archive(tmp_path, place):
    """The split's file says which images are for training; unlisted images are passed over, and named."""
    touch_archive(tmp_path / place)

    task = visa.load(tmp_path, "candle")

    assert names(task.train) == [("0000.JPG", 0, "good", None)]
    assert names(task.test) == [("0001.JPG", 0, "good", None), ("000.JPG", 1, "anomaly", "000.png")]
    assert all(sample.path.is_file() for sample in (*task.train, *task.test))
    assert task.test[1].mask.is_file()
    assert task.remarks[0] == "visa/candle: passed over: Data/Images/Normal/unlisted.JPG."


@pytest.mark.parametrize("place", ["", "1cls", "visa_pytorch", "visa_pytorch/1cls", "VisA/VisA_pytorch/1cls"])
def test_visa_rearranged(tmp_path, place):
    """The layout made by the authors' script is found in its usual folders."""
    files = ("train/good/0.JPG", "test/good/1.JPG", "test/bad/000.JPG", "ground_truth/bad/000.png")
    touch(tmp_path / place / "pcb1", *files)

    task = visa.load(tmp_path, "pcb1")

    assert names(task.test) == [("000.JPG", 1, "bad", "000.png"), ("1.JPG", 0, "good", None)]
    assert len(visa.classes(tmp_path)) == 12


def test_visa_keeps_a_mask_that_the_split_does_not_name(tmp_path):
    """For an anomalous row without a mask, the archive's usual place is searched."""
    split = touch_archive(tmp_path) / visa.SPLIT
    split.write_text(
        split.read_text(encoding="utf-8").replace("candle/Data/Masks/Anomaly/000.png", ""), encoding="utf-8"
    )

    assert visa.load(tmp_path, "candle").test[1].mask == tmp_path / "candle" / "Data" / "Masks" / "Anomaly" / "000.png"


def test_visa_without_its_split_is_refused(tmp_path):
    """The missing file is named, with where to get it."""
    split = touch_archive(tmp_path) / visa.SPLIT
    split.unlink()

    with pytest.raises(DataError) as caught:
        visa.load(tmp_path, "candle")

    assert str(split) in str(caught.value)
    assert visa.SOURCE in str(caught.value)


@pytest.mark.parametrize(
    ("content", "found"),
    [("object,split,image\n", "no column label, mask"), ("", "no column"), (b"\xff\xfe\x00", "codec")],
)
def test_visa_with_a_broken_split_is_refused(tmp_path, content, found):
    """For a file without the columns, or a binary one, the message says what is wrong."""
    split = touch_archive(tmp_path) / visa.SPLIT
    split.write_bytes(content if isinstance(content, bytes) else content.encode())

    with pytest.raises(DataError) as caught:
        visa.load(tmp_path, "candle")

    assert str(split) in str(caught.value)
    assert found in str(caught.value)


def test_visa_whose_split_lacks_the_class_is_refused(tmp_path):
    """A class without a row is reported with the path of the split."""
    touch_archive(tmp_path)
    touch(tmp_path, "pcb2/Data/Images/Normal/0.JPG")

    with pytest.raises(DataError, match=r"class pcb2 of visa: found no test image in .*1cls\.csv"):
        visa.load(tmp_path, "pcb2")
