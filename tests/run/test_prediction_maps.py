"""Overlays of new images lie below one folder, in the shape of their images."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from adbench.api.data import Problem
from adbench.data.framing import Framing
from adbench.run.overlay import Scale
from adbench.run.predict import Prediction
from adbench.run.prediction_maps import MapWriter


@pytest.fixture
def prediction(tmp_path) -> Prediction:
    """An image of 30 x 60 pixels whose map is hot on the left."""
    path = tmp_path / "wide.png"
    Image.fromarray(np.full((30, 60, 3), 80, np.uint8)).save(path)
    hot = np.zeros((8, 8), np.float32)
    hot[:, :2] = 1
    return Prediction(str(path), 1.0, 0.5, True, hot, (30, 60), Framing((8, 8)))


def test_the_overlay_has_the_shape_of_the_image_and_its_heat(prediction, tmp_path):
    """The left is coloured, the right is the image."""
    written = MapWriter(tmp_path / "maps").write(prediction, "line/wide.png", Scale(0, 1))
    assert written == tmp_path / "maps/line/wide.png"
    drawn = np.asarray(Image.open(written)).astype(int)
    assert drawn.shape == (30, 60, 3)
    assert np.abs(drawn[:, -20:] - 80).max() <= 1
    assert np.abs(drawn[:, :5] - 80).max() > 60


def test_equal_names_do_not_overwrite_each_other(prediction, tmp_path):
    """a.png and a.jpg, and two files of one name, have a map each; no name leaves the folder."""
    writer = MapWriter(tmp_path / "maps")
    names = ["a.png", "a.jpg", "a.png", "../../b.png", "/c.png"]
    written = [writer.write(prediction, name, Scale(0, 1)) for name in names]
    assert len(set(written)) == len(names)
    assert all(Path(each).resolve().is_relative_to((tmp_path / "maps").resolve()) for each in written)


def test_a_large_image_is_drawn_smaller(tmp_path):
    """The longer side has at most 2048 pixels, so that a camera's images don't fill the disk."""
    path = tmp_path / "large.png"
    Image.new("L", (3000, 600), 90).save(path)
    large = Prediction(str(path), 1.0, None, None, np.eye(4, dtype=np.float32), (600, 3000), Framing((4, 4)))
    written = MapWriter(tmp_path / "maps").write(large, "large.png", Scale(0, 1))
    assert Image.open(written).size == (2048, 410)


def test_an_image_that_is_gone_and_a_folder_that_is_a_file_are_told(prediction, tmp_path):
    """Neither ends the stream."""
    (tmp_path / "file").touch()
    assert isinstance(MapWriter(tmp_path / "file").write(prediction, "a.png", Scale(0, 1)), Problem)
    Path(prediction.path).unlink()
    assert isinstance(MapWriter(tmp_path / "maps").write(prediction, "a.png", Scale(0, 1)), Problem)
