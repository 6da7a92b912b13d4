"""MVTec AD 2 with all its objects and two images or three in each private test, and archives for its server."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import published_files
from PIL import Image

OBJECTS = ("can", "fabric", "fruit_jelly", "rice", "sheet_metal", "vial", "wallplugs", "walnuts")

SPLITS = {"test_private": "regular", "test_private_mixed": "mixed"}


def write_data(root: Path, names: tuple[str, ...] = OBJECTS) -> Path:
    """Noise of another size for each object."""
    draw = np.random.default_rng(0)
    for number, name in enumerate(names):
        published_files.ad2(root, name)
        shape = (36 + number, 44)
        for path in sorted((root / name).rglob("*.png")):
            if "ground_truth" not in path.parts:
                Image.fromarray(draw.integers(0, 200, shape, np.uint8)).save(path)
            else:
                mask = np.zeros(shape, np.uint8)
                mask[:2, :3] = 255
                Image.fromarray(mask).save(path)
    return root


def entries(archive: Path) -> dict[str, bytes]:
    """The files of an archive, by their paths."""
    with tarfile.open(archive, "r:gz") as opened:
        return {each.name: opened.extractfile(each).read() for each in opened}


def pack(files: Mapping[str, bytes | tarfile.TarInfo], path: Path) -> Path:
    """Write an archive of files and of other entries."""
    with tarfile.open(path, "w:gz", compresslevel=1) as archive:
        for name, content in files.items():
            entry = tarfile.TarInfo(name) if isinstance(content, bytes) else content
            entry.name = name
            entry.size = len(content) if isinstance(content, bytes) else 0
            archive.addfile(entry, io.BytesIO(content) if isinstance(content, bytes) else None)
    return path


def tiff(values: np.ndarray, **more: object) -> bytes:
    import tifffile

    stream = io.BytesIO()
    tifffile.imwrite(stream, values, metadata=None, **more)
    return stream.getvalue()


def png(values: np.ndarray, mode: str | None = None, kind: str = "PNG") -> bytes:
    stream = io.BytesIO()
    image = Image.fromarray(values)
    (image.convert(mode) if mode else image).save(stream, kind)
    return stream.getvalue()
