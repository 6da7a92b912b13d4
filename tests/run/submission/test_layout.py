"""Names and sizes of a submission's images."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from adbench.api.data import UNLABELLED, Sample, Task
from adbench.api.facts import Counts, Facts, Submission
from adbench.run.submission.layout import Private, count_warning, name_of, private_images, published, size_of
from adbench.util.errors import DataError, UsageError

SERVER = Submission("https://example.org", {"private": "{:03d}_regular"})
FACTS = Facts(classes=("can",), counts={"can": Counts(unlabelled={"private": 2})}, submission=SERVER)


def task(*names: str) -> Task:
    samples = tuple(Sample(Path("can") / "private" / name, defect=UNLABELLED) for name in names)
    return Task("ad2", "can", Path(), (), (Sample(Path("x.png")),), tests={"public": (), "private": samples})


def test_the_published_numbers_name_all_images():
    """They count from 0, in the order of the server."""
    assert list(published(FACTS, SERVER)) == [Private("can", "private", f"00{number}_regular") for number in range(2)]
    assert count_warning(published(FACTS, SERVER), FACTS) == ""
    assert count_warning([Private("can", "private", "000_regular")], FACTS).endswith("(in brackets): can/private 1 (2)")


def test_images_come_in_the_order_of_their_names():
    """Whatever the order in which the reader lists them."""
    found = private_images(task("001_regular.png", "000_regular.png"), SERVER)
    assert [each.name for each in found] == ["000_regular", "001_regular"]


@pytest.mark.parametrize(
    ("names", "said"),
    [
        ((), "no image in private"),
        (("000_regular.png", "002_regular.png"), "no image 001_regular, wanted 000_regular to 001_regular"),
        (("000_regular.png", "1.png"), "no image 001_regular"),
        (("000_regular.png", "000_mixed.png"), "image 000_mixed"),
    ],
)
def test_names_that_the_server_does_not_know_are_refused(names, said):
    """A gap, a number without zeros, a name of another split, and a split without images."""
    with pytest.raises(DataError, match=said):
        private_images(task(*names), SERVER)


def test_a_size_is_that_of_the_image_as_it_is_scored(tmp_path):
    """A camera's turn exchanges height and width; a missing or broken file is named."""
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("L", (5, 3)).save(tmp_path / "a.png")
    Image.new("L", (5, 3)).save(tmp_path / "b.jpg", exif=exif)
    assert (size_of(tmp_path / "a.png"), size_of(tmp_path / "b.jpg")) == ((3, 5), (5, 3))
    (tmp_path / "c.png").write_bytes(b"x")
    for name in ("c.png", "d.png"):
        with pytest.raises(DataError, match=name):
            size_of(tmp_path / name)


@pytest.mark.parametrize("name", ["a.tgz", ".tar.gz", "a.tar", "..tar.gz"])
def test_an_archive_s_name_ends_in_tar_gz(name):
    """What stands before it is the name of the submission."""
    assert name_of(Path("x/my maps.tar.gz")) == "my maps"
    with pytest.raises(UsageError, match=r"wanted NAME\.tar\.gz"):
        name_of(Path("x") / name)
