"""A folder with the files that commands in the docs name."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from doc_blocks import ROOT, SAMPLE, blocks, plugins
from PIL import Image


@pytest.fixture(scope="session")
def desk(tmp_path_factory) -> Path:
    """The sample, the guide's plugins as NAME.py, the run files, a folder of textures, and an empty folder DIR."""
    folder = tmp_path_factory.mktemp("desk")
    shutil.copytree(ROOT / "docs" / "sample_plugin", folder / "docs" / "sample_plugin")
    shutil.copy(SAMPLE, folder)
    for name in ("suite.toml", "all.toml"):
        (text,) = (block.text for block in blocks("toml") if f"# {name}\n" in block.text)
        (folder / name).write_text(text, encoding="utf-8")
    for name, source in plugins().items():
        (folder / f"{name}.py").write_text(source, encoding="utf-8")
    textures = folder / "textures"
    textures.mkdir()
    for number in range(3):
        pixels = np.random.default_rng(number).integers(0, 255, (40, 50, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(textures / f"{number}.jpg")
    (folder / "DIR").mkdir()
    return folder
