"""Unpacks archives of data sets safely: tar in its packed forms and zip, and archives within them.

Nothing of an archive is trusted. Names must stay below the target folder. Links and devices are refused. Files, bytes
and the ratio of unpacked to packed bytes have limits. All goes to a temporary folder that is renamed at the end, so
that a folder of the wanted name is always whole.
"""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import shutil
import stat
import tarfile
import unicodedata
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from ..util import files
from ..util.errors import DataError, absent, first_line, reason
from ..util.plain_files import BLOCK
from ..util.sizes import bytes_text
from ..util.text import is_safe_name

SUFFIXES = (".tar", ".tar.xz", ".txz", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".zip")
"""Endings of archives, in lower case."""

MOST_ENTRIES = 2_000_000
"""Files in an archive with all that are within it, at most."""

MOST_BYTES = 2_000_000_000_000
"""Bytes of all files when unpacked, at most."""

RATIO, FLOOR = 200, 1_000_000_000
"""An archive unpacks to at most so many times its length, unless that is short; images hardly shrink at all."""

DEPTH = 3
"""Archives within archives, at most so deep."""

DEEPEST = 32
"""Folders within folders, at most."""

_BROKEN = (
    tarfile.TarError, zipfile.BadZipFile, zipfile.LargeZipFile, zlib.error, lzma.LZMAError, EOFError,
    ValueError, KeyError, IndexError, OverflowError, RuntimeError, NotImplementedError, OSError,
)  # fmt: skip
"""What Python's readers raise for a damaged file, or for one that they can't read."""

_JUNK = ("__MACOSX", ".DS_Store", "Thumbs.db", "desktop.ini")
"""Files that systems leave in archives, and that belong to no data set."""

_MAGIC: tuple[tuple[bytes, Callable[[IO[bytes]], io.BufferedIOBase]], ...] = (
    (b"\xfd7zXZ\x00", lzma.LZMAFile),
    (b"\x1f\x8b", lambda raw: gzip.GzipFile(fileobj=raw)),
    (b"BZh", bz2.BZ2File),
)
"""How packed files begin, and what reads them."""

MOST_INDEX = 1_000_000_000
"""Bytes that a reader may ask for at once: the index of a zip, or the long names of a tar."""

_AGAIN = "Get the archive again from the page of the data set"

Watch = Callable[[int, int], None]
"""Called with the bytes read of the archive, and its length."""


@dataclass(eq=False)
class _Budget:
    """What may still be written, of one archive and those within it."""

    archive: Path
    target: Path
    most: int
    entries: int = 0
    written: int = 0
    names: dict[str, str] = field(default_factory=dict)

    def add_entry(self) -> None:
        self.entries += 1
        if self.entries > MOST_ENTRIES:
            raise _refused(self.archive, f"more than {MOST_ENTRIES} files")

    def add_bytes(self, number: int) -> None:
        self.written += number
        if self.written > self.most:
            raise _refused(self.archive, f"more than {bytes_text(self.most)} when unpacked, far more than images take")


def is_archive(path: Path) -> bool:
    """Whether a file's name is that of an archive."""
    return path.name.lower().endswith(SUFFIXES)


def stem(path: Path) -> str:
    """The name of an archive without its ending."""
    ending = max((each for each in SUFFIXES if path.name.lower().endswith(each)), key=len, default="")
    return path.name[: len(path.name) - len(ending)]


def unpack(archives: Sequence[Path], target: Path, watch: Watch | None = None) -> int:
    """Unpack archives into a new folder, which appears when all is there.

    Archives within an archive are unpacked as well, each beside itself, in a folder of its name if it holds more than
    one thing.

    Args:
        archives: their files.
        target: the folder to make; its parent is made, too.
        watch: called with the progress.

    Returns:
        the number of files.

    Raises:
        DataError: the target is there, an archive is missing, damaged or not safe to open, or the disk is full.
    """
    for path in archives:
        if not path.is_file():
            raise DataError(f"archive {path}", found=absent(path, "file"))
        if not is_archive(path):
            raise DataError(f"archive {path}", found="another kind of file", wanted=", ".join(SUFFIXES))
    if target.exists():
        raise DataError(f"folder {target}", found="something there", wanted="a new folder", hint="Choose another --to")
    try:
        with files.new_folder(target) as own:
            count = 0
            for path in archives:
                budget = _Budget(path, own, min(MOST_BYTES, RATIO * path.stat().st_size + FLOOR))
                _unpack(path, own, budget, DEPTH, watch)
                count += budget.entries
            if not count:
                raise DataError(f"archive {archives[0]}", found="no file in it", hint=_AGAIN)
            own.rename(target)
            files.flush_folder(target.parent)
    except OSError as error:
        raise DataError(f"{target} can't be written", found=reason(error), hint="Free some space") from error
    return count


def _unpack(path: Path, folder: Path, budget: _Budget, depth: int, watch: Watch | None) -> None:
    """Unpack one archive and those within it."""
    inner: list[Path] = []
    opened = _zip_files if path.name.lower().endswith(".zip") else _tar_files
    with _damage_named(budget.archive, path):
        for name, size, stream in opened(path, budget, watch):
            if any(part in _JUNK or part.startswith("._") for part in name.split("/")):
                continue
            place = _place(budget, folder, name)
            if stream is None:
                continue
            _write(place, stream, size, budget)
            if is_archive(place):
                inner.append(place)
    for each in inner:
        if depth <= 1:
            raise _refused(budget.archive, f"archives within archives deeper than {DEPTH}")
        own = each.with_name(f"{stem(each)}.unpacked")
        own.mkdir()
        _unpack(each, own, budget, depth - 1, None)
        each.unlink()
        _lift(own, each.with_name(stem(each)))


def _lift(own: Path, wanted: Path) -> None:
    """Give what came from an archive within another one its place: beside it, or in a folder of the archive's name."""
    content = list(own.iterdir())
    single = len(content) == 1 and content[0].is_dir()
    place = own.parent / content[0].name if single else wanted
    if place.exists():
        place = wanted if not wanted.exists() else own
    if place != own:
        (content[0] if single and place.name == content[0].name else own).rename(place)
    if single and own.exists() and not any(own.iterdir()):
        own.rmdir()


# ---------------------------------------------------------------- checked


def safe_parts(name: str) -> tuple[str, ...] | None:
    """The folders and the file of a name in an archive; None where it would lead elsewhere on any system."""
    parts = tuple(part for part in name.split("/") if part not in ("", "."))
    is_out = name.startswith("/") or ".." in parts or "\\" in name or "\0" in name or len(parts) > DEEPEST
    if is_out or not all(is_safe_name(part) for part in parts):
        return None
    return parts


def _place(budget: _Budget, folder: Path, name: str) -> Path:
    """Where a file goes. Refuses what leads elsewhere, is the folder itself, or that another file has."""
    parts = safe_parts(name)
    if not parts:
        raise _refused(budget.archive, f"the name {name!r}, which leads out of the folder or is no name on all systems")
    place = folder.joinpath(*parts)
    key = unicodedata.normalize("NFC", str(place)).casefold()
    other = budget.names.setdefault(key, name)
    if other != name or place.exists():
        raise _refused(budget.archive, f"{name!r} twice, or {other!r} which some systems take for the same")
    budget.add_entry()
    return place


def _write(place: Path, stream: IO[bytes], size: int, budget: _Budget) -> None:
    """Write one file of exactly the length that its archive says."""
    if size > shutil.disk_usage(budget.target).free:
        raise DataError(
            f"archive {budget.archive}", found=f"{bytes_text(size)} for {place.name}", wanted="as much free space",
            hint=f"Free some space on the disk of {budget.target.parent}, or choose another --to",
        )  # fmt: skip
    place.parent.mkdir(parents=True, exist_ok=True)
    left = size
    with place.open("xb") as target:
        while block := stream.read(min(BLOCK, left + 1)):
            left -= len(block)
            if left < 0:
                raise _refused(budget.archive, f"{place.name} with more bytes than it says")
            budget.add_bytes(len(block))
            target.write(block)
    if left:
        raise EOFError(f"{place.name} is cut short")


Content = Iterator[tuple[str, int, IO[bytes] | None]]
"""Name, length and content of each file in an archive."""


class _Limited(io.BufferedIOBase):
    """A file of which no call reads more than ``MOST_INDEX`` bytes, which a hostile index would ask for."""

    def __init__(self, stream: IO[bytes] | io.BufferedIOBase) -> None:
        self._stream = stream

    def read(self, size: int | None = -1, /) -> bytes:
        """Read as a file does. Raises ``ValueError`` for too much at once."""
        if size is not None and size > MOST_INDEX:
            raise ValueError(f"an index of {bytes_text(size)}")
        return self._stream.read(-1 if size is None else size)

    def seek(self, offset: int, whence: int = 0, /) -> int:
        """Move as in a file."""
        return self._stream.seek(offset, whence)

    def tell(self) -> int:
        """The place in the file."""
        return self._stream.tell()

    def seekable(self) -> bool:
        """Whether one can move in it: yes."""
        return True

    def readable(self) -> bool:
        """Whether one can read it: yes."""
        return True


def _zip_files(path: Path, budget: _Budget, watch: Watch | None) -> Content:
    with path.open("rb") as raw, zipfile.ZipFile(_Limited(raw)) as archive:
        entries = archive.infolist()
        total, done = sum(entry.file_size for entry in entries), 0
        if budget.written + total > budget.most:
            budget.add_bytes(total)
        for entry in entries:
            kind = stat.S_IFMT(entry.external_attr >> 16)
            if entry.is_dir():
                continue
            if kind not in (0, stat.S_IFREG):
                raise _refused(budget.archive, f"{entry.filename!r}, a link or a device")
            if entry.flag_bits & 0x1:
                raise _refused(budget.archive, f"{entry.filename!r}, which is encrypted")
            with archive.open(entry) as stream:
                yield entry.orig_filename, entry.file_size, stream
            done += entry.file_size
            if watch:
                watch(done, total)


def _tar_files(path: Path, budget: _Budget, watch: Watch | None) -> Content:
    total = path.stat().st_size
    with path.open("rb") as raw, _unpacked(raw) as stream, tarfile.open(fileobj=_Limited(stream), mode="r:") as archive:
        while (entry := archive.next()) is not None:
            vars(archive)["members"] = []  # it keeps all entries it has seen, though they are read once
            if entry.isdir():
                continue
            if not entry.isreg() or entry.issparse():
                raise _refused(budget.archive, f"{entry.name!r}, a link, a device or a file with holes")
            if budget.written + entry.size > budget.most:
                budget.add_bytes(entry.size)
            yield entry.name, entry.size, archive.extractfile(entry)
            if watch:
                watch(min(raw.tell(), total), total)
        stream.seek(archive.offset)
        if stream.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):
            raise EOFError("its end is missing")


def _unpacked(raw: IO[bytes]) -> IO[bytes] | io.BufferedIOBase:
    """The content of a packed file, or the file itself, by its first bytes."""
    start = raw.read(8)
    raw.seek(0)
    for magic, opened in _MAGIC:
        if start.startswith(magic):
            return opened(raw)
    return raw


@contextmanager
def _damage_named(archive: Path, path: Path) -> Iterator[None]:
    """Turn the errors of Python's readers into one message; those of writing stay."""
    try:
        yield
    except DataError:
        raise
    except _BROKEN as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        inside = "" if path == archive else f"in {path.name}: "
        raise DataError(f"archive {archive} is damaged", found=inside + first_line(error), hint=_AGAIN) from error


def _refused(path: Path, found: str) -> DataError:
    return DataError(f"archive {path} is not unpacked", found=found, wanted="plain files", hint=_AGAIN)
