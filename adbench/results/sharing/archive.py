"""Writes runs into one file, an archive, with the same bytes for the same content."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from zipfile import ZIP_DEFLATED, ZIP_STORED, ZipFile, ZipInfo

from ...util.errors import ResultError, reason
from ...util.files import NewFile
from ...util.plain_files import blocks_of, open_plain, sha256_of
from ..audits import Audit, newest
from .manifest import FORMAT, MANIFEST, ArchivedFile, ArchivedRun, Manifest, is_allowed, to_text
from .scan import FoundRun, Part, Watch

CHECKPOINT = ".pt"
"""How names of checkpoints end, which classes of one model share."""

_TEXT = (".json", ".csv")
_PLAIN_FILE, _UNIX = 0o100644 << 16, 3


@dataclass(frozen=True)
class Written:
    """An archive: its path, its bytes, the number of its files and the bytes of these."""

    path: Path
    bytes: int
    files: int
    unpacked: int


def write(runs: Sequence[FoundRun], path: Path, watch: Watch | None = None, *, audits: Sequence[Audit] = ()) -> Written:
    """Write runs into an archive, in place of an older one. Times, owners and the order of ``runs`` don't matter.

    Args:
        runs: as found and checked.
        path: the file.
        watch: called with the run that is being written.
        audits: of their methods.

    Raises:
        ResultError: the file can't be written, a run was changed meanwhile, or a file's name is one that not every
            system takes. Then there is no new file.
    """
    parts = sorted((part for run in runs for part in run.parts), key=lambda part: _run(part, ()).folder)
    stored: list[ArchivedRun] = []
    known: dict[str, str] = {}
    try:
        with NewFile(path) as stream, ZipFile(stream, "w", ZIP_DEFLATED) as archive:
            for part in parts:
                if watch:
                    watch(f"writing {part.shown}")
                stored.append(_add(archive, part, known))
            manifest = Manifest(FORMAT, tuple(stored), tuple(newest(audits)))
            archive.writestr(_entry(MANIFEST), to_text(manifest))
        size = path.stat().st_size
    except OSError as error:
        hint = "Free some space or permit writing there, or choose another file with -o"
        raise ResultError(f"archive {path} can't be written", found=reason(error), hint=hint) from error
    entries = [file for _, file in manifest.entries()]
    return Written(path, size, len(entries), sum(file.bytes for file in entries))


def _add(archive: ZipFile, part: Part, known: dict[str, str]) -> ArchivedRun:
    """Add the files of one class of a run. ``known`` has the checkpoints that are there, by their digests."""
    bare = _run(part, ())
    files = [_add_file(archive, part, name, f"{bare.folder}/{name}", known) for name in part.files]
    return _run(part, tuple(files))


def _add_file(archive: ZipFile, part: Part, name: str, entry: str, known: dict[str, str]) -> ArchivedFile:
    if not is_allowed(name):
        wanted = "a name that every system takes"
        raise ResultError(f"{part.shown / name}", found=f"the name {name!r}", wanted=wanted, hint="Leave out --maps")
    if name.endswith(CHECKPOINT):
        digest = sha256_of(part.folder / name)
        if known.setdefault(digest, entry) != entry:
            return ArchivedFile(name, (part.folder / name).stat().st_size, digest, known[digest])
    hasher, size = hashlib.sha256(), 0
    try:
        source = open_plain(part.folder / name)
    except OSError as error:
        raise ResultError(f"{part.shown / name} can't be read", found=reason(error)) from error
    with source, archive.open(_entry(entry, (part.folder / name).stat().st_size), "w") as target:
        for block in blocks_of(source):
            hasher.update(block)
            target.write(block)
            size += len(block)
    if part.digests.get(name, hasher.hexdigest()) != hasher.hexdigest():
        raise ResultError(f"{part.shown / name}", found="another content than a moment ago", hint="Archive again")
    return ArchivedFile(name, size, hasher.hexdigest())


def _run(part: Part, files: tuple[ArchivedFile, ...]) -> ArchivedRun:
    result = part.result
    return ArchivedRun(result.dataset, result.class_name, result.method, result.run, files)


def _entry(name: str, size: int = 0) -> ZipInfo:
    """The head of a file in the archive: the same on any system and at any time."""
    entry = ZipInfo(name)  # of the year 1980
    entry.create_system, entry.external_attr, entry.file_size = _UNIX, _PLAIN_FILE, size
    entry.compress_type = ZIP_DEFLATED if name.endswith(_TEXT) else ZIP_STORED  # the others are packed already
    return entry
