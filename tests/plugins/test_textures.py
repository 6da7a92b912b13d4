"""Textures of a folder and of scikit-image's photographs."""

from __future__ import annotations

import subprocess
import sys
from importlib import resources
from pathlib import Path

import numpy as np
import pytest
import torch
from adbench_plugins.textures import PHOTOGRAPHS, TEXTURES, Textures
from PIL import Image

from adbench.api.requirements import Requirements, require
from adbench.util.errors import DataError, TaskError


def filled(colour: int, path: Path, size: tuple[int, int] = (20, 30)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, (colour,) * 3).save(path)


def test_photographs_come_with_scikit_image_and_none_is_in_the_demo() -> None:
    """Each is a file of the package, so that nothing is downloaded; those that demo is cut from are not used."""
    folder = resources.files("skimage.data")
    assert [name for name in PHOTOGRAPHS if not folder.joinpath(name).is_file()] == []
    assert {Path(name).stem for name in PHOTOGRAPHS}.isdisjoint({"brick", "grass", "gravel"})


def test_crops_differ_and_follow_the_seed() -> None:
    """uint8 RGB of the wanted size; the same seed gives the same ones, and no two of them are equal."""
    found = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        source = Textures((24, 40))
        found.append(torch.stack([source.draw() for _ in range(12)]))
    assert found[0].shape == (12, 3, 24, 40)
    assert found[0].dtype == torch.uint8
    assert torch.equal(found[0], found[1])
    assert len({bytes(each.numpy()) for each in torch.cat((found[0], found[2]))}) == 24


def test_textures_of_a_folder_are_whole_images(tmp_path: Path) -> None:
    """Images at any depth are drawn about equally often, stretched to the size; other files don't count."""
    filled(10, tmp_path / "a" / "x.jpg")
    filled(200, tmp_path / "b" / "c" / "y.PNG")
    (tmp_path / "a" / "notes.txt").write_text("no image")
    split = np.zeros((20, 30, 3), np.uint8)
    split[:, 15:] = 255
    Image.fromarray(split).save(tmp_path / "half.png")
    torch.manual_seed(0)
    source = Textures((8, 8), tmp_path)
    drawn = [source.draw() for _ in range(60)]
    means = [round(each.float().mean().item()) for each in drawn]
    assert {10, 200} < set(means)
    assert min(means.count(10), means.count(200)) > 10
    halves = next(each for each, mean in zip(drawn, means, strict=True) if mean not in (10, 200))
    assert (halves[:, :, :3] == 0).all()
    assert (halves[:, :, 5:] == 255).all()


def test_an_empty_folder_and_a_broken_file_are_named(tmp_path: Path) -> None:
    """Both are mistakes in the user's data, and are found when the source is made; readable ones are drawn alone."""
    with pytest.raises(DataError, match=r"--aux textures=.*found no picture"):
        Textures((8, 8), tmp_path)
    (tmp_path / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n no more")
    with pytest.raises(DataError, match=r"--aux textures=.*found no picture that can be read: broken\.png"):
        Textures((8, 8), tmp_path)
    filled(10, tmp_path / "good.png")
    source = Textures((8, 8), tmp_path)
    assert all((source.draw() == 10).all() for _ in range(5))
    (line,) = TEXTURES.check(tmp_path, None)
    assert "1 of 2 pictures can't be read and is passed over: broken.png" in line


def test_a_photograph_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a package of scikit-image without data."""
    monkeypatch.setattr("adbench_plugins.textures.PHOTOGRAPHS", ("lost.png",))
    with pytest.raises(TaskError, match=r"photograph lost\.png"):
        Textures((8, 8)).draw()


def test_the_folder_is_optional_and_needs_no_torch(tmp_path: Path) -> None:
    """Training without --aux is allowed, and importing the module is quick."""
    needs = Requirements(auxiliary=(TEXTURES,))
    require("draem", needs, None, {})
    filled(10, tmp_path / "a.png")
    require("draem", needs, None, {"textures": tmp_path})
    command = "import sys, adbench_plugins.textures; sys.exit('torch' in sys.modules or 'PIL' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", command], check=False).returncode == 0
