"""Turned copies of images, against OpenCV's."""

from __future__ import annotations

import pytest
import torch
from adbench_plugins.anomalydino.rotation import TURNS, turned
from flow_doubles import golden_file

pytestmark = pytest.mark.usefixtures("one_thread")


def test_turned_images_are_those_of_opencv():
    """Each of the eight golden copies; here and there one grey level off, where rounding decides."""
    archive = golden_file("anomalydino_small.npz")
    given, expected = (torch.from_numpy(archive[name]).float() for name in ("rot_in", "rot_out"))
    image = given.movedim(2, 0)[None] / 255
    found = torch.cat([turned(image, degrees) for degrees in (0, *TURNS)]) * 255
    differences = (found.movedim(1, 3) - expected).abs()
    assert float(differences.max()) <= 1.01
    assert float((differences > 0.5).float().mean()) < 0.005


def test_no_turn_changes_nothing():
    """Beside the rounding to 256 greys."""
    image = torch.randint(0, 256, (2, 3, 9, 14)) / 255
    torch.testing.assert_close(turned(image, 0), image, rtol=0, atol=1e-6)


@pytest.mark.parametrize("degrees", TURNS)
def test_corners_are_filled(degrees):
    """A constant image stays constant, without black corners."""
    image = torch.full((1, 3, 20, 32), 200 / 255)
    torch.testing.assert_close(turned(image, degrees), image, rtol=0, atol=1e-6)
