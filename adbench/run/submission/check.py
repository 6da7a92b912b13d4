"""Checks the archive of a submission before it is handed in.

The server's own program looks at names, types and values of 0 and 255. It lets through maps of a wrong size and with
NaN or infinity, and archives without thresholded maps, which then count as 0. Here they are refused, too, and so is
what can't be unpacked safely.
"""

from __future__ import annotations

import gzip
import io
import tarfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import BinaryIO

import numpy as np
from PIL import Image

from ...api.data import Size, size_text
from ...data import image_files
from ...data.deep import quiet_tifffile
from ...util.errors import first_line
from ...util.plain_files import BLOCK
from .layout import MAPS, SUFFIXES, THRESHOLDED, Private

LARGEST_HEAD = 1 << 20
"""Bytes that a file may have beside its pixels."""

UNKNOWN = "another file"

PNG_END = b"IEND\xaeB`\x82"

Watch = Callable[[int, int], None]


@dataclass
class Fault:
    """What is wrong with some files of one folder, in the same way.

    Attributes:
        place: the folder; empty for the archive.
        found: what was found.
        wanted: what would have been right.
        files: their names, in the order of the archive.
    """

    place: str
    found: str
    wanted: str = ""
    files: list[str] = field(default_factory=list)


class _BadError(Exception):
    """A file that the server would refuse, or measure wrongly."""

    def __init__(self, found: str, wanted: str = "") -> None:
        super().__init__(found)
        self.found, self.wanted = found, wanted


def check(
    stream: BinaryIO, name: str, images: Mapping[Private, Size | None], watch: Watch | None = None
) -> list[Fault]:
    """Read an archive to its end, and list all that is wrong with it; nothing is unpacked to the disk.

    Args:
        stream: the archive, from its begin.
        name: of the submission: the archive's own without suffix.
        images: the private images, with height and width where these are known.
        watch: called with the number of files that were looked at, and of those that should be there.
    """
    return _Check(name, images, watch or (lambda done, total: None)).run(stream)


class _Check:
    """One archive that is being checked."""

    def __init__(self, name: str, images: Mapping[Private, Size | None], watch: Watch) -> None:
        self.name, self.watch = name, watch
        self.sizes = dict(images)
        self.wanted = {each.path(folder): (each, folder) for each in images for folder in SUFFIXES}
        self.folders = {str(parent) for path in self.wanted for parent in PurePosixPath(path).parents}
        self.seen: set[str] = set()
        self.faults: dict[tuple[str, str, str], Fault] = {}

    def run(self, stream: BinaryIO) -> list[Fault]:
        """Look at every entry, and then for what is missing."""
        whole = False
        try:
            with gzip.GzipFile(fileobj=stream, mode="rb") as plain, quiet_tifffile():
                with tarfile.open(fileobj=plain, mode="r|") as archive:
                    for entry in archive:
                        self._look_at(archive, entry)
                        self.watch(len(self.seen), len(self.wanted))
                if any(
                    block.strip(b"\0") for block in iter(lambda: plain.read(BLOCK), b"")
                ):  # up to gzip's checksum at the end
                    self._add("", "", "something behind its end, or a damaged entry", "a whole archive")
            whole = True
        except (tarfile.TarError, EOFError, OSError, zlib.error) as error:
            self._add("", "", f"damaged, or no .tar.gz ({first_line(error)})", "a whole archive")
        if whole or self.seen:
            self._missing()
        return list(self.faults.values())

    def _add(self, place: str, file: str, found: str, wanted: str = "") -> None:
        fault = self.faults.setdefault((place, found, wanted), Fault(place, found, wanted))
        fault.files += [file] if file else []

    def _missing(self) -> None:
        if not any(path.startswith(f"{THRESHOLDED}/") for path in self.seen):
            self._add(THRESHOLDED, "", "no file", "thresholded maps, without which both F1 values are 0")
        for path, (_, folder) in self.wanted.items():
            gone = folder == THRESHOLDED and (THRESHOLDED, "no file") in {key[:2] for key in self.faults}
            if path not in self.seen and not gone:
                self._add(*_split(path), "missing")

    def _look_at(self, archive: tarfile.TarFile, entry: tarfile.TarInfo) -> None:
        path = PurePosixPath(entry.name)
        if path.is_absolute() or ".." in path.parts:
            self._add("", entry.name, "a path that leads out of the folder it is unpacked in")
            return
        inner = str(PurePosixPath(*path.parts[1:]))
        if path.parts and path.parts[0] != self.name:
            self._add("", path.parts[0] if entry.isdir() else str(path), UNKNOWN, f"all of it in '{self.name}'")
            return
        if entry.isdir():
            if inner not in self.folders:
                self._add(*_split(inner), "another folder", "only what the server asks for")
            return
        place, file = _split(inner)
        if not entry.isfile():
            self._add(place, file, "a link or a device", "a file")
        elif inner not in self.wanted:
            self._add(place, file, UNKNOWN, "only what the server asks for")
        elif inner in self.seen:
            self._add(place, file, "the same name twice")
        else:
            self._look_into(archive, entry, inner)
        self.seen.add(inner)

    def _look_into(self, archive: tarfile.TarFile, entry: tarfile.TarInfo, inner: str) -> None:
        private, folder = self.wanted[inner]
        size = self.sizes[private]
        pixels = image_files.most_pixels() if size is None else size[0] * size[1]
        try:
            if entry.size > 2 * pixels + LARGEST_HEAD:
                raise _BadError(f"{entry.size} bytes", "no more than its pixels take")
            reader = archive.extractfile(entry)
            assert reader is not None  # it is a file
            found = (_check_map if folder == MAPS else _check_thresholded)(reader.read(), size)
        except _BadError as error:
            self._add(*_split(inner), error.found, error.wanted)
        else:
            if size is None:  # that of the other file of the same image
                self.sizes[private] = found


def _split(path: str) -> tuple[str, str]:
    place, _, file = path.rpartition("/")
    return place, file


def _check_map(data: bytes, size: Size | None) -> Size:
    """Check a TIFF; return its height and width."""
    import tifffile

    with _reading("TIFF"), tifffile.TiffFile(io.BytesIO(data)) as file:
        pages, page = len(file.pages), file.pages[0]
        shape, dtype = tuple(page.shape), page.dtype
        if pages != 1:
            raise _BadError(f"{pages} images in one file", "one")
        if len(shape) != 2:
            raise _BadError(f"shape {size_text(shape)}", "one channel")
        if dtype != np.float16:
            raise _BadError(f"{dtype}", "float16")
        _require_size((shape[0], shape[1]), size)
        values = page.asarray()
    if np.isnan(values).any():
        raise _BadError("NaN", "finite values")
    if np.isinf(values).any():
        raise _BadError("infinity", "finite values")
    return shape[0], shape[1]


def _check_thresholded(data: bytes, size: Size | None) -> Size:
    """Check a PNG; return its height and width."""
    with _reading("PNG"), image_files.quiet(), Image.open(io.BytesIO(data), formats=["PNG"]) as image:
        if getattr(image, "n_frames", 1) != 1:
            raise _BadError("an animation", "one image")
        if image.mode != "L":
            raise _BadError(f"mode {image.mode}", "8-bit grey (L)")
        found = image.height, image.width
        _require_size(found, size)
        counts = image.histogram()
        if not data.endswith(PNG_END):
            raise ValueError("cut short, or more behind its end")
    if sum(counts[1:255]):
        raise _BadError("values between 0 and 255", "0 and 255 alone")
    return found


def _require_size(found: Size, size: Size | None) -> None:
    if size is None and found[0] * found[1] > image_files.most_pixels():
        raise _BadError(f"{size_text(found)} pixels", "the image's size")
    if size is not None and found != size:
        raise _BadError(f"{size_text(found)} pixels", f"{size_text(size)} as the image")


@contextmanager
def _reading(kind: str) -> Iterator[None]:
    """Turn any error of broken bytes into one that says so."""
    try:
        yield
    except _BadError:
        raise
    except Exception as error:  # broken bytes make readers raise errors of any type
        raise _BadError(f"no readable {kind} ({first_line(error)})") from error
