"""Opens archives that other people made: nothing of them is trusted before it is checked.

The names of all files are made from the runs that the manifest lists, so none leads out of the folder. Lengths are
known before anything is unpacked, and no file becomes longer than its own.
"""

from __future__ import annotations

import hashlib
import io
import shutil
import stat
import struct
import unicodedata
import zlib
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO
from zipfile import ZIP_DEFLATED, ZIP_STORED, BadZipFile, LargeZipFile, ZipFile, ZipInfo

from ...util import files
from ...util.errors import ResultError, absent, first_line, reason
from ...util.plain_files import BLOCK, is_link, open_plain
from ...util.sizes import bytes_text
from .. import audits
from . import manifest as manifests
from .manifest import FORMAT, MANIFEST, ArchivedFile, Manifest, is_allowed
from .scan import Watch

MOST_ENTRIES = 200_000
"""Files in an archive, at most."""

MOST_INDEX = 64_000_000
"""Bytes of the index and of the manifest, at most, each."""

MOST_BYTES = 2_000_000_000_000
"""Bytes of all files when unpacked, at most."""

MOST_JSON = 32_000_000
"""Bytes of a result, which is read as a whole."""

RATIO, FLOOR = 200, 16_000_000
"""A file unpacks to at most so many times its packed length, unless it is short; tables reach some 20."""

_BROKEN = (
    BadZipFile, LargeZipFile, zlib.error, EOFError, struct.error,
    ValueError, KeyError, IndexError, OverflowError, RuntimeError, OSError, AssertionError,
)  # fmt: skip
"""What Python's reader raises for a damaged file, or for one that it can't read."""

_ENCRYPTED = 0x1
_AGAIN = "Get the file again"


def unpack(path: Path, folder: Path, watch: Watch | None = None) -> Manifest:
    """Check an archive and unpack it into an empty folder, as a folder of results.

    Args:
        path: the archive.
        folder: where ``DATASET/CLASS/METHOD/RUN`` and audits are made; a temporary one, since an error leaves it half
            full.
        watch: called with what is being unpacked.

    Raises:
        ResultError: the file is no archive of results, is damaged or not safe to open, or the folder can't be written.
    """
    if not path.is_file():
        raise ResultError(f"archive {path}", found=absent(path, "file"))
    with _opened(path) as archive:
        manifest = _checked(path, archive)
        _require_space(path, folder, manifest)
        for run in manifest.runs:
            if watch:
                watch(f"unpacking {run.folder}")
            place = folder.joinpath(*run.folder.split("/")[1:])
            for file in run.files:
                own = place.joinpath(*file.name.split("/"))
                if file.same_as:
                    _repeat(folder.joinpath(*file.same_as.split("/")[1:]), own)
                else:
                    _unpack(path, archive, f"{run.folder}/{file.name}", file, own)
    for audit in manifest.audits:
        audits.write(folder, audit)  # under a name that is made from its content
    return manifest


# ---------------------------------------------------------------- checked


class _Limited(io.BufferedReader):
    """A file of which no call reads more than an index may have: ``ZipFile`` reads that at once."""

    def read(self, size: int | None = -1, /) -> bytes:
        if size is not None and size > MOST_INDEX:
            raise BadZipFile(f"an index of {bytes_text(size)}")
        return super().read(size)


@contextmanager
def _opened(path: Path) -> Iterator[ZipFile]:
    """Open an archive, and turn the errors of damaged ones into one message."""
    link = path.resolve() if is_link(path) else path  # the user named it
    try:
        source = open_plain(link)
    except OSError as error:
        raise ResultError(f"archive {path} can't be read", found=reason(error)) from error
    with source, _Limited(io.FileIO(source.fileno(), closefd=False)) as stream:
        try:
            archive = ZipFile(stream)
        except _BROKEN as error:
            found = f"no zip file that can be read ({first_line(error)})"
            raise ResultError(f"archive {path}", found=found, hint=_AGAIN) from error
        with archive:
            yield archive


def _checked(path: Path, archive: ZipFile) -> Manifest:
    """Read the manifest, and compare it with what is there."""
    entries = archive.infolist()
    if len(entries) > MOST_ENTRIES:
        raise _refused(path, f"{len(entries)} files", f"at most {MOST_ENTRIES}")
    _check_names(path, [entry.orig_filename for entry in entries])
    by_name = {entry.orig_filename: entry for entry in entries}
    for entry in entries:
        _check_kind(path, entry)
    manifest = _manifest(path, archive, by_name)
    listed = dict(manifest.entries())
    if len(listed) < sum(len(run.files) for run in manifest.runs):
        raise _refused(path, "a manifest that lists a file twice")
    _check_repeated(path, manifest)
    held = {name: file for name, file in listed.items() if not file.same_as}
    if missing := sorted(held.keys() - by_name.keys()):
        raise _refused(path, f"no {missing[0]}", "all files that its manifest lists")
    if others := sorted(by_name.keys() - held.keys() - {MANIFEST}):
        raise _refused(path, f"{others[0]}, which its manifest doesn't list")
    for name, file in held.items():
        _check_size(path, by_name[name], file)
    total, packed = sum(file.bytes for file in listed.values()), path.stat().st_size
    if total > MOST_BYTES or total > RATIO * packed + FLOOR:
        raise _refused(path, f"{bytes_text(total)} in a file of {bytes_text(packed)}", "results")
    return manifest


def _check_names(path: Path, names: list[str]) -> None:
    """Refuse names that lead elsewhere, or that another system takes for one."""
    for name in names:
        inner = name.split("/")
        if name.startswith("/") or ".." in inner or "\\" in name or (len(name) > 1 and name[1] == ":"):
            raise _refused(path, f"the name {name!r}, which leads out of the folder")
    for name, count in Counter(names).items():
        if count > 1:
            raise _refused(path, f"{name!r} {count} times")
    folded: dict[str, str] = {}
    for name in names:
        other = folded.setdefault(unicodedata.normalize("NFC", name).casefold(), name)
        if other != name:
            raise _refused(path, f"{name!r} and {other!r}, which some systems take for one name")


def _check_kind(path: Path, entry: ZipInfo) -> None:
    """Refuse links, folders, devices, and what can't be unpacked."""
    kind = stat.S_IFMT(entry.external_attr >> 16)
    if kind not in (0, stat.S_IFREG) or entry.is_dir():
        what = "a link" if stat.S_ISLNK(kind) else "a folder" if entry.is_dir() or stat.S_ISDIR(kind) else "a device"
        raise _refused(path, f"{what}, {entry.orig_filename!r}", "plain files")
    if entry.flag_bits & _ENCRYPTED or entry.compress_type not in (ZIP_STORED, ZIP_DEFLATED):
        raise _refused(path, f"{entry.orig_filename!r} encrypted or packed in another way", "plain files")


def _check_size(path: Path, entry: ZipInfo, file: ArchivedFile) -> None:
    name = entry.orig_filename
    if file.bytes < 0 or entry.file_size != file.bytes:
        raise _refused(path, f"{name} of {entry.file_size} bytes", f"{file.bytes}")
    if entry.file_size > max(FLOOR, RATIO * entry.compress_size):
        raise _refused(path, f"{name}, {entry.compress_size} bytes that unpack to {entry.file_size}", "results")
    if name.endswith(".json") and entry.file_size > MOST_JSON:
        raise _refused(path, f"{name} of {bytes_text(entry.file_size)}", f"at most {bytes_text(MOST_JSON)}")


def _manifest(path: Path, archive: ZipFile, by_name: Mapping[str, ZipInfo]) -> Manifest:
    entry = by_name.get(MANIFEST)
    if entry is None and min((each.header_offset for each in by_name.values()), default=0) > 0:
        # The index of a packed evidence.npz, which is a zip file, too: what was behind it is lost.
        raise ResultError(f"archive {path}", found="a zip file with other bytes in front, or cut off", hint=_AGAIN)
    if entry is None:
        raise ResultError(
            f"archive {path}", found=f"a zip file without {MANIFEST}", wanted="one of adbench results archive",
            hint="Unpack other files by hand, and merge the folder of results",
        )  # fmt: skip
    if entry.file_size > MOST_INDEX:
        raise _refused(path, f"a manifest of {bytes_text(entry.file_size)}", f"at most {bytes_text(MOST_INDEX)}")
    text = b"".join(_blocks(path, archive, entry, MOST_INDEX))
    try:
        manifest = manifests.from_text(text)
    except ValueError as error:
        raise _damaged(path, MANIFEST, first_line(error)) from error
    if manifest.format != FORMAT:
        raise ResultError(
            f"archive {path}", found=f"format {manifest.format}, written by another adbench", wanted=f"format {FORMAT}",
            hint="Upgrade adbench to read it",
        )  # fmt: skip
    for name, file in manifest.entries():
        if not is_allowed(file.name):
            raise _refused(path, f"{name!r}", "files of runs, with names that every system takes")
    return manifest


def _check_repeated(path: Path, manifest: Manifest) -> None:
    """Refuse a file that repeats what is no earlier file of the same content."""
    before: dict[str, ArchivedFile] = {}
    for name, file in manifest.entries():
        if file.same_as:
            other = before.get(file.same_as)
            if other is None or (other.bytes, other.sha256) != (file.bytes, file.sha256):
                raise _refused(path, f"{name} as a copy of {file.same_as!r}", "an earlier file of the same content")
        else:
            before[name] = file


def _require_space(path: Path, folder: Path, manifest: Manifest) -> None:
    wanted = sum(file.bytes for _, file in manifest.entries() if not file.same_as)
    free = shutil.disk_usage(folder).free
    if wanted > free:
        raise ResultError(
            f"archive {path}", found=f"{bytes_text(wanted)} when unpacked", wanted=f"at most the {bytes_text(free)} "
            f"that are free in {folder.parent}", hint="Free some space",
        )  # fmt: skip


# ---------------------------------------------------------------- unpacked


def _unpack(path: Path, archive: ZipFile, name: str, file: ArchivedFile, place: Path) -> None:
    """Unpack one file, and check its digest."""
    hasher = hashlib.sha256()
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        with place.open("xb") as stream:
            for block in _blocks(path, archive, archive.getinfo(name), file.bytes):
                hasher.update(block)
                stream.write(block)
            files.flush(stream)
    except OSError as error:
        raise ResultError(f"{place} can't be written", found=reason(error), hint="Free some space") from error
    if hasher.hexdigest() != file.sha256:
        raise _damaged(path, name, "another content than its digest says")


def _repeat(first: Path, place: Path) -> None:
    """Give an unpacked file a second name."""
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        files.link_or_copy(first, place)
    except OSError as error:
        raise ResultError(f"{place} can't be written", found=reason(error), hint="Free some space") from error


def _blocks(path: Path, archive: ZipFile, entry: ZipInfo, most: int) -> Iterator[bytes]:
    """The content of one file, of at most so many bytes."""
    left = most
    try:
        stream: BinaryIO = archive.open(entry)  # type: ignore[assignment]
    except _BROKEN as error:
        raise _damaged(path, entry.orig_filename, first_line(error)) from error
    with stream:
        while True:
            try:
                block = stream.read(BLOCK)
            except _BROKEN as error:
                raise _damaged(path, entry.orig_filename, first_line(error)) from error
            if not block:
                return
            left -= len(block)
            if left < 0:
                raise _damaged(path, entry.orig_filename, "more bytes than it says")
            yield block


def _refused(path: Path, found: str, wanted: str = "") -> ResultError:
    return ResultError(f"archive {path} is not opened", found=found, wanted=wanted, hint=_AGAIN)


def _damaged(path: Path, name: str, why: str) -> ResultError:
    return ResultError(f"archive {path} is damaged", found=f"in {name}: {why}", hint=_AGAIN)
