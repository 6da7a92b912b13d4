"""Pictures of any folder: found, decoded ahead of their use, and resized."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from adbench_plugins.efficientad import pictures
from PIL import Image

from adbench.util.errors import DataError


@pytest.fixture
def picture(tmp_path):
    """A picture of 40 x 60 pixels, red on the left and blue on the right."""
    pixels = np.zeros((40, 60, 3), np.uint8)
    pixels[:, :30, 0] = pixels[:, 30:, 2] = 200
    Image.fromarray(pixels).save(tmp_path / "a.png")
    return tmp_path / "a.png"


def test_pictures_of_all_inner_folders_are_found(tmp_path):
    """Sorted, by their endings in any case; other files don't count."""
    for name in ("b.JPG", "a/z.png", "a/notes.txt", "c.webp"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.touch()
    found = [path.relative_to(tmp_path).as_posix() for path in pictures.find(tmp_path)]
    assert found == ["a/z.png", "b.JPG", "c.webp"]


def test_a_folder_without_a_picture_is_refused(tmp_path):
    """The message names the folder and the endings."""
    with pytest.raises(DataError, match=r"found no picture, wanted files with the endings .*\.png"):
        pictures.find(tmp_path)
    with pytest.raises(DataError, match="found no such folder"):
        pictures.find(tmp_path / "gone")


def test_a_broken_picture_is_named(tmp_path):
    """A file that Pillow can't read is an error with its path, not a hole in the training."""
    (tmp_path / "broken.png").write_bytes(b"no picture")
    with pytest.raises(DataError, match=r"broken\.png.*Remove the file"):
        pictures.read(tmp_path / "broken.png")


@pytest.mark.parametrize(("decoded", "found"), [(9, ["a.png", "b.png"]), (1, ["b.png"])])
def test_a_folder_is_checked_before_training(picture, decoded, found, monkeypatch):
    """One message names the first broken picture and counts the others; of a large folder the heads are read alone."""
    monkeypatch.setattr(pictures, "DECODED", decoded)
    folder = picture.parent
    assert pictures.checked(folder) == [picture]
    whole = picture.read_bytes()
    (folder / "b.png").write_bytes(b"no picture")
    picture.write_bytes(whole[: len(whole) // 2])
    more = "; 1 more of 2 can't be read either" if len(found) > 1 else ""
    with pytest.raises(DataError) as refused:
        pictures.checked(folder)
    assert refused.value.parts["thing"] == f"picture {folder / found[0]}"
    assert refused.value.parts["found"].endswith(more)
    (folder / "b.png").write_bytes(whole)
    picture.write_bytes(whole)
    assert pictures.checked(folder) == [picture, folder / "b.png"]


def test_grey_pictures_have_three_equal_channels(picture):
    """Any mode becomes RGB; ``grey`` keeps the brightness alone."""
    plain, grey = (np.asarray(pictures.read(picture, grey=grey)) for grey in (False, True))
    assert plain.shape == grey.shape == (40, 60, 3)
    assert (grey == grey[..., :1]).all()
    assert not (plain == plain[..., :1]).all()
    Image.new("LA", (5, 4)).save(picture)
    assert pictures.read(picture).mode == "RGB"


def test_pictures_are_resized_to_height_and_width(picture):
    """The order of the sides is that of tensors; the centre is half as high and wide as the whole."""
    image = pictures.read(picture)
    whole = pictures.resized(image, (20, 30))
    assert (whole.shape, whole.dtype) == ((3, 20, 30), torch.uint8)
    assert whole[0, :, :14].min() == whole[2, :, 16:].min() == 200
    assert torch.equal(pictures.central(image, (20, 30)), pictures.resized(image, (40, 60))[:, 10:30, 15:45])


def test_results_come_in_order_and_ahead():
    """Some jobs are begun before their results are asked for, and not all of them."""
    begun = []

    def work(number: int) -> int:
        begun.append(number)
        return number**2

    results = pictures.ahead(work, range(50), threads=2)
    assert next(results) == 0
    assert len(begun) < 10
    assert list(results) == [number**2 for number in range(1, 50)]


def test_an_error_of_a_job_reaches_the_caller():
    """It is raised where its result was due."""
    results = pictures.ahead(lambda number: 1 // (number - 1), range(9))
    assert next(results) == -1
    with pytest.raises(ZeroDivisionError):
        next(results)
