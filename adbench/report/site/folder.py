"""The folder of a site: only what an earlier build wrote is replaced or removed, and every file is whole."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path, PurePosixPath

from ...util import files
from ...util.errors import ResultError, UsageError, reason
from .places import FOLDERS

MARKER = "adbench-site.json"
"""The file that says that a folder is a site, and which files are its own."""

SCHEMA = 1


@dataclass(frozen=True)
class Update:
    """What an update changed: files written, files removed, and files that were the same already."""

    written: int
    removed: int
    same: int


def require(folder: Path) -> None:
    """Check that a site may be written into a folder: it is missing, empty, or a site.

    Hidden files, such as those of git, don't count.

    Raises:
        UsageError: other files are there.
        ResultError: it can't be read.
    """
    _own_files(folder)


def update(folder: Path, pages: Mapping[str, bytes]) -> Update:
    """Make a folder hold these pages; files of an earlier build that are not among them go, all others stay.

    A file of the site that somebody has edited and that is no page now stays, too.

    Args:
        folder: the site; made if missing.
        pages: content by path, with forward slashes.

    Raises:
        UsageError: other files are there, or a folder of the site is a link.
        ResultError: a file can't be written.
    """
    old = _own_files(folder)
    new = {path: hashlib.sha256(data).hexdigest() for path, data in pages.items()}
    written = removed = 0
    try:
        for name in FOLDERS:
            if (folder / name).is_symlink():
                raise UsageError(f"{folder / name}", found="a link", wanted="a folder of the site")
            (folder / name).mkdir(parents=True, exist_ok=True)
            files.sweep(folder / name)
        files.sweep(folder)
        _mark(folder, {**old, **new})  # a build that is stopped leaves a site that the next one may replace
        for path, data in pages.items():
            if _digest(folder / path) != new[path]:
                files.write(folder / path, lambda stream, data=data: stream.write(data))  # type: ignore[misc]
                written += 1
        for path in old.keys() - new.keys():
            if _digest(folder / path) == old[path]:
                (folder / path).unlink()
                removed += 1
        _mark(folder, new)
    except OSError as error:
        hint = "Permit writing there, or choose another folder with -o"
        raise ResultError(f"{folder} can't be written", found=reason(error), hint=hint) from error
    return Update(written, removed, len(pages) - written)


def _mark(folder: Path, digests: Mapping[str, str]) -> None:
    content = {"schema": SCHEMA, "adbench": metadata.version("adbench-suite"), "files": dict(sorted(digests.items()))}
    data = (json.dumps(content, indent=1) + "\n").encode()
    if _digest(folder / MARKER) != hashlib.sha256(data).hexdigest():
        files.write(folder / MARKER, lambda stream: stream.write(data))


def _own_files(folder: Path) -> dict[str, str]:
    """The digests of the files that an earlier build wrote; paths that lead elsewhere are none."""
    try:
        if not folder.is_dir():
            if folder.exists():
                raise UsageError(f"-o {folder}", found="a file", wanted="a folder")
            return {}
        if not (folder / MARKER).exists():
            strays = sorted(path.name for path in folder.iterdir() if not path.name.startswith("."))
            if strays:
                found = f"{strays[0]} and {len(strays) - 1} more" if len(strays) > 1 else strays[0]
                raise UsageError(
                    f"-o {folder}", found=found, wanted="an empty folder, or a site of adbench",
                    hint="Choose another folder",
                )  # fmt: skip
            return {}
        content = json.loads((folder / MARKER).read_text(encoding="utf-8"))
        listed = content["files"] if isinstance(content, dict) else None
        if not isinstance(listed, dict):
            raise ValueError("no list of files")
        return {path: str(digest) for path, digest in listed.items() if _is_inside(path)}
    except (ValueError, KeyError) as error:
        hint = "Choose another folder, or remove that file if the folder is a site"
        raise UsageError(f"{folder / MARKER}", found="another content", hint=hint) from error
    except OSError as error:
        raise ResultError(f"{folder} can't be read", found=reason(error), hint="Choose another folder") from error


def _is_inside(path: str) -> bool:
    """Whether a path names a file of a site: at its top or in one of its folders."""
    parts = PurePosixPath(path).parts
    plain = not any(part in ("..", ".", "/") or "\\" in part or ":" in part for part in parts)
    return plain and (len(parts) == 1 or (len(parts) == 2 and parts[0] in FOLDERS))


def _digest(path: Path) -> str:
    """The digest of a file; empty if there is none. Raises ``OSError``."""
    with suppress(FileNotFoundError):
        return hashlib.sha256(path.read_bytes()).hexdigest()
    return ""
