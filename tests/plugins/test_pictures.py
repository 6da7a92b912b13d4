"""Pictures of any folder: found, decoded ahead of their use, and resized."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from adbench_plugins import pictures
from PIL import Image

from adbench.util.errors import DataError


@pytest.fixture
def picture(tmp_path):
    """A picture of 40 x 60 pixels, red on the left and blue on the right."""
    pixels = np.zeros((40, 60, 3), np.uint8)
    pixels[:, :30, 0] = pixels[:, 30:, 2] = 200
    Image.fromarray(pixels).save(tmp_path / "a.png")
    return tmp_path / "a.png"


def test_pictures_of_all_inner_folders_are_found(picture, tmp_path):
    """Sorted, by their endings in any case; other files and hidden ones, such as macOS writes, don't count."""
    for name in ("b.JPG", "a/z.png", "a/notes.txt", "c.webp", "._c.webp"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(picture.read_bytes())
    picture.unlink()
    found = pictures.readable(tmp_path)
    assert [path.relative_to(tmp_path).as_posix() for path in found.files] == ["a/z.png", "b.JPG", "c.webp"]
    assert found.remarks("these") == []


def test_a_folder_without_a_readable_picture_is_refused(tmp_path):
    """The message names the folder and the endings, and what is wrong with files that look like pictures."""
    with pytest.raises(DataError, match=r"--aux x: found no picture, wanted pictures \(.*\.png"):
        pictures.readable(tmp_path, thing="--aux x")
    with pytest.raises(DataError, match="found no such folder"):
        pictures.readable(tmp_path / "gone")
    for number in range(5):
        (tmp_path / f"{number}.png").write_text("no picture")
    named = r"found no picture that can be read: 0\.png \(no image\), 1\.png \(no image\), 2\.png .* and 2 more"
    for _ in range(2):  # what this process remembers is refused as well
        with pytest.raises(DataError, match=named):
            pictures.readable(tmp_path)


@pytest.mark.parametrize("decoded", [9, 1])
def test_broken_pictures_are_passed_over_and_named(picture, decoded, monkeypatch):
    """One line names them and counts all; of a large folder the heads are read alone, so one cut short stays."""
    monkeypatch.setattr(pictures, "DECODED", decoded)
    folder, whole = picture.parent, picture.read_bytes()
    assert pictures.readable(folder).files == (picture,)
    for name, content in (("b.png", b"no picture"), ("c.png", whole), ("d.png", whole[: len(whole) // 2])):
        (folder / name).write_bytes(content)
    found = pictures.readable(folder)
    (line,) = pictures.checked("images", folder)
    cut_short = decoded == 1
    assert [path.name for path in found.files] == ["a.png", "c.png", *(["d.png"] if cut_short else [])]
    count = "1 of 4 pictures can't be read and is" if cut_short else "2 of 4 pictures can't be read and are"
    assert line.startswith(f"Warning: --aux images={folder}: {count} passed over: b.png (no image)")
    assert line.count("d.png") == (0 if cut_short else 1)
    (folder / "b.png").write_bytes(whole)
    (folder / "d.png").write_bytes(whole)
    assert len(pictures.readable(folder).files) == 4  # a mended folder is looked at again


def test_a_picture_that_only_decoding_shows_broken_is_replaced_by_the_next(picture, monkeypatch):
    """It is named in a warning; what is drawn depends on the contents alone. One that is gone is an error."""
    monkeypatch.setattr(pictures, "DECODED", 0)
    folder, whole = picture.parent, picture.read_bytes()
    (folder / "b.png").write_bytes(whole[: len(whole) // 2])
    found = pictures.readable(folder)
    with pytest.warns(UserWarning, match=r"picture .*b\.png can't be read .*; the next is taken"):
        assert found.draw(1, pictures.read).size == (60, 40)
    picture.unlink()
    with pytest.raises(DataError, match=r"picture .*a\.png: found No such file"):
        found.draw(0, pictures.read)


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
