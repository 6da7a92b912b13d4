"""Image files that are broken, odd, or the same image in another form."""

from __future__ import annotations

import io
import os
import struct
import unicodedata
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from hypothesis import strategies as st
from PIL import Image

from . import data
from .bench import Bench, Verdict

T = TypeVar("T")
Draw = Callable[[st.SearchStrategy[T]], T]

TARGETS = ("train/good/002.png", "test/good/001.png", "test/spot/001.png")
"""Images of which one is changed: for training, good, and defective."""

Change = Callable[[Path, Draw[Any]], Path]
"""Changes an image's file and returns its new path."""


def try_same(draw: Draw[Any], bench: Bench, folder: Path) -> Verdict:
    """The same pixels in another form: the same numbers, or a clear message."""
    target = _target(draw, folder)
    SAME[draw(st.sampled_from(sorted(SAME)))](target, draw)
    return bench.judge_run(folder, (), [bench.reference("clean")])


def try_other_mode(draw: Draw[Any], bench: Bench, folder: Path) -> Verdict:
    """An image in another mode: the numbers of the image that anyone sees in it, as RGB."""
    name = draw(st.sampled_from(TARGETS))
    mode = draw(st.sampled_from(sorted(MODES)))
    reference = bench.reference(f"{mode} {name}", lambda place: _as_rgb(place / name, mode))
    _write_mode(folder / "images" / data.CLASS / name, mode)
    return bench.judge_run(folder, (), [reference])


def try_broken(draw: Draw[Any], bench: Bench, folder: Path) -> Verdict:
    """A file that is no whole image: a clear message, or named as left out; the same numbers if nothing is lost."""
    name = draw(st.sampled_from(TARGETS))
    target = folder / "images" / data.CLASS / name
    kind = draw(st.sampled_from(sorted(BROKEN)))
    BROKEN[kind](target, draw)
    if not draw(st.booleans()):
        return bench.judge_run(folder, (), [bench.reference("clean")])
    without = bench.reference(f"without {name}", lambda place: _remove_image(place / name))
    return bench.judge_run(folder, ("--skip-bad",), [bench.reference("clean")], [without], name)


def try_lossy(draw: Draw[Any], bench: Bench, folder: Path) -> Verdict:
    """A file of another format that is cut short: a clear message, or the numbers of the whole file."""
    name = draw(st.sampled_from(TARGETS))
    kind = draw(st.sampled_from(sorted(FORMATS)))
    reference = bench.reference(f"{kind} {name}", lambda place: _save_as(place / name, kind))
    path = _save_as(folder / "images" / data.CLASS / name, kind)
    whole = path.read_bytes()
    path.write_bytes(whole[: draw(st.integers(0, len(whole) - 1))])
    return bench.judge_run(folder, (), [reference])


# ---------------------------------------------------------------- the same pixels


def _target(draw: Draw[Any], folder: Path) -> Path:
    return folder / "images" / data.CLASS / str(draw(st.sampled_from(TARGETS)))


def _save_as(path: Path, kind: str) -> Path:
    """Save an image in another format, and remove its file."""
    suffix, words = FORMATS[kind]
    new = path.with_suffix(suffix)
    image = Image.open(path)
    image.load()
    path.unlink()
    image.save(new, **words)
    return new


FORMATS: dict[str, tuple[str, dict[str, Any]]] = {
    "bmp": (".bmp", {}),
    "tiff": (".tif", {}),
    "tiff-lzw": (".tiff", {"compression": "tiff_lzw"}),
    "tiff-deflate": (".tif", {"compression": "tiff_adobe_deflate"}),
    "jpeg": (".jpg", {"quality": 95}),
    "jpeg-progressive": (".jpeg", {"quality": 95, "progressive": True}),
}
"""Formats that readers take, with Pillow's words for saving."""


def _other_suffix(path: Path, draw: Draw[Any]) -> Path:
    return path.rename(path.with_suffix(draw(st.sampled_from([".jpg", ".bmp", ".tif", ".PNG", ".JPEG"]))))


def _lossless(path: Path, draw: Draw[Any]) -> Path:
    return _save_as(path, draw(st.sampled_from(["bmp", "tiff", "tiff-lzw", "tiff-deflate"])))


def _opaque(path: Path, draw: Draw[Any]) -> Path:
    image = Image.open(path).convert("RGBA")
    image.putalpha(draw(st.integers(0, 255)))
    image.save(path)
    return path


def _trailing(path: Path, draw: Draw[Any]) -> Path:
    path.write_bytes(path.read_bytes() + draw(st.binary(min_size=1, max_size=200)))
    return path


def _chunks(path: Path, draw: Draw[Any]) -> Path:
    """Put chunks that don't belong to the pixels into the PNG: texts, gamma, a rotation, unknown ones."""
    kind = draw(st.sampled_from([b"tEXt", b"gAMA", b"eXIf", b"prIv", b"iCCP", b"sRGB", b"pHYs", b"tRNS"]))
    exif = Image.Exif()
    exif[0x0112] = 6
    content = {
        b"tEXt": b"Comment\0" + draw(st.binary(max_size=50)).replace(b"\0", b" "),
        b"gAMA": struct.pack(">I", draw(st.integers(1, 10**6))),
        b"eXIf": exif.tobytes().removeprefix(b"Exif\0\0"),
        b"tRNS": struct.pack(">HHH", 0, 0, 0),
        b"sRGB": b"\0",
        b"pHYs": struct.pack(">IIB", 1, 1, 1),
    }.get(kind) or draw(st.binary(max_size=40))
    bytes_ = path.read_bytes()
    path.write_bytes(bytes_[:33] + chunk(kind, content) + bytes_[33:])
    return path


def chunk(kind: bytes, content: bytes) -> bytes:
    """A chunk of a PNG file with its checksum."""
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def _animated(path: Path, draw: Draw[Any]) -> Path:
    """A file of several images whose first one is the old one."""
    image = Image.open(path).convert("RGB")
    others = [Image.new("RGB", image.size, (200, 10 * number, 0)) for number in range(draw(st.integers(1, 3)))]
    if draw(st.booleans()):
        path.unlink()
        path = path.with_suffix(".tif")
    image.save(path, save_all=True, append_images=others)
    return path


def _linked(path: Path, draw: Draw[Any]) -> Path:
    elsewhere = path.parents[3] / "elsewhere.bin"
    path.rename(elsewhere)
    path.symlink_to(elsewhere if draw(st.booleans()) else os.path.relpath(elsewhere, path.parent))
    return path


def _written_again(path: Path, draw: Draw[Any]) -> Path:
    image = Image.open(path)
    image.load()
    image.save(path, compress_level=draw(st.integers(0, 9)), optimize=draw(st.booleans()))
    return path


SAME: dict[str, Change] = {
    "another suffix": _other_suffix,
    "another lossless format": _lossless,
    "an alpha channel": _opaque,
    "bytes after the end": _trailing,
    "further chunks": _chunks,
    "several images": _animated,
    "a link": _linked,
    "written again": _written_again,
}


# ---------------------------------------------------------------- other modes


def _as_rgb(path: Path, mode: str) -> None:
    """Save as RGB what the image is in another mode."""
    values = MODES[mode](np.asarray(Image.open(path).convert("RGB")))[1]
    Image.fromarray(values).save(path)


def _write_mode(path: Path, mode: str) -> None:
    image = MODES[mode](np.asarray(Image.open(path).convert("RGB")))[0]
    path.unlink()
    image.save(path.with_suffix(".tif" if mode.startswith(("float", "32")) else ".png"))


def _grey(values: np.ndarray) -> np.ndarray:
    return np.asarray(values[..., 0])


def _three(grey: np.ndarray) -> np.ndarray:
    return np.repeat(grey[..., None], 3, axis=2).astype(np.uint8)


def _palette(values: np.ndarray) -> tuple[Image.Image, np.ndarray]:
    image = Image.fromarray(values).quantize(32)
    colours = np.asarray(image.getpalette(), np.uint8).reshape(-1, 3)
    return image, colours[np.asarray(image)]


MODES: dict[str, Callable[[np.ndarray], tuple[Image.Image, np.ndarray]]] = {
    "grey": lambda v: (Image.fromarray(_grey(v)), _three(_grey(v))),
    "grey with alpha": lambda v: (Image.fromarray(_grey(v)).convert("LA"), _three(_grey(v))),
    "palette": _palette,
    "16 bits": lambda v: (Image.fromarray(_grey(v).astype(np.uint16) * 257), _three(_grey(v))),
    "32 bits": lambda v: (Image.fromarray(_grey(v).astype(np.int32)), _three(_grey(v))),
    "floats up to 1": lambda v: (Image.fromarray(_grey(v).astype(np.float32) / 255), _three(_grey(v))),
    "floats up to 255": lambda v: (Image.fromarray(_grey(v).astype(np.float32)), _three(_grey(v))),
    "1 bit": lambda v: (Image.fromarray(_grey(v) > 110), _three(255 * (_grey(v) > 110))),
}
"""The image in a mode, and (H, W, 3) as RGB."""


# ---------------------------------------------------------------- broken files


def _remove_image(path: Path) -> None:
    """Remove an image with its mask."""
    path.unlink()
    if path.parent.name == "spot":
        (path.parents[2] / "ground_truth" / "spot" / f"{path.stem}_mask.png").unlink()


def _cut(path: Path, draw: Draw[Any]) -> Path:
    whole = path.read_bytes()
    path.write_bytes(whole[: draw(st.integers(0, len(whole) - 1))])
    return path


def _flipped(path: Path, draw: Draw[Any]) -> Path:
    """Change some bytes of the pixels of the PNG, which has a checksum."""
    whole = bytearray(path.read_bytes())
    for _ in range(draw(st.integers(1, 3))):
        whole[draw(st.integers(0, len(whole) - 13))] ^= draw(st.integers(1, 255))
    path.write_bytes(bytes(whole))
    return path


def _flipped_stored(path: Path, draw: Draw[Any]) -> Path:
    """The same in a PNG whose pixels are stored as they are."""
    image = Image.open(path)
    image.load()
    image.save(path, compress_level=0)
    return _flipped(path, draw)


def _zeros(path: Path, draw: Draw[Any]) -> Path:
    """A block of zeros, as after a power cut."""
    whole = bytearray(path.read_bytes())
    start = draw(st.integers(0, len(whole) - 13))
    whole[start:] = bytes(len(whole) - start)
    path.write_bytes(bytes(whole))
    return path


def _foreign(path: Path, draw: Draw[Any]) -> Path:
    path.write_bytes(draw(st.one_of(
        st.just(b""), st.binary(max_size=300), st.sampled_from([
            b"<html>", b"\x1f\x8b\x08\x00", b"%PDF-1.7", b"\xff\xd8", b"\x89PNG\r\n\x1a\n", b"II*\x00\xff\xff\xff\xff",
            b"version https://git-lfs.github.com/spec/v1\n",
        ]),
    )))  # fmt: skip
    return path


def _huge(path: Path, draw: Draw[Any]) -> Path:
    """A PNG that claims to be very large, or to have no pixels."""
    sides = draw(
        st.sampled_from([(100_000, 100_000), (2**31 - 1, 1), (1, 2**31 - 1), (0, 64), (64, 0), (30_000, 30_000)])
    )
    head = struct.pack(">IIBBBBB", *sides, 8, 2, 0, 0, 0)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + path.read_bytes()[33:])
    return path


def _no_file(path: Path, draw: Draw[Any]) -> Path:
    path.unlink()
    kind = draw(st.sampled_from(["dangling", "loop", "pipe", "link to folder"]))
    if kind == "pipe" and hasattr(os, "mkfifo"):
        os.mkfifo(path)
    elif kind == "link to folder":
        path.symlink_to(path.parent)
    else:
        path.symlink_to(path if kind == "loop" else "nowhere.png")
    return path


def unfit(path: Path, draw: Draw[Any]) -> Path:
    """Numbers without a fixed meaning as a colour."""
    values = np.full(
        (data.SIDE, data.SIDE), draw(st.sampled_from([1e9, np.inf, 70_000.0, -np.inf, np.nan])), np.float32
    )
    path.unlink()
    new = path.with_suffix(".tif")
    Image.fromarray(values).save(new)
    return new


def _forbidden(path: Path, draw: Draw[Any]) -> Path:
    path.chmod(0)
    return path


BROKEN: dict[str, Change] = {
    "cut short": _cut,
    "changed bytes": _flipped,
    "changed bytes, stored": _flipped_stored,
    "zeros to the end": _zeros,
    "another file": _foreign,
    "a huge or empty image": _huge,
    "no file": _no_file,
    "numbers that are no colours": unfit,
    "no right to read": _forbidden,
}


def decomposed(text: str) -> str:
    """A name in the form of letters that macOS once wrote."""
    return unicodedata.normalize("NFD", text)


def png(values: np.ndarray) -> bytes:
    """An array as a PNG file."""
    stream = io.BytesIO()
    Image.fromarray(values).save(stream, "png")
    return stream.getvalue()
