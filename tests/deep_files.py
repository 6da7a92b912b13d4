"""Writes small image files of more than 8 bits, and of cameras that were turned."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
from PIL import Image

BACK = {
    1: None,
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}
"""How an upright image is turned to be stored with an orientation of EXIF."""


def png_16(path: Path, values: np.ndarray) -> Path:
    """Write (H, W) or (H, W, 2 to 4) uint16 as PNG, which Pillow does only for one channel."""
    values = values if values.ndim == 3 else values[:, :, None]
    kind = {1: 0, 2: 4, 3: 2, 4: 6}[values.shape[2]]
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    head = struct.pack(">IIBBBBB", values.shape[1], values.shape[0], 16, kind, 0, 0, 0)
    parts = chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + parts)
    return path


def turned_file(path: Path, upright: np.ndarray, orientation: int, *, tag: bool = True) -> Path:
    """Write an image turned as a camera stores it, with EXIF's note or without."""
    back = BACK[orientation]
    image = Image.fromarray(upright)
    image = image if back is None else image.transpose(back)
    exif = Image.Exif()
    if tag:
        exif[0x0112] = orientation
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path, exif=exif)
    return path
