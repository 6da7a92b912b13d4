"""Images that are told apart by their names: patterns such as ok_*.png or */good/*, against paths below a class.

``*`` is any text within one name, ``?`` any letter, ``[ab]`` one of some, and ``**`` any number of folders. Capitals
don't count, so *.png finds A.PNG as well.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath

from adbench.api import nfc

from .layout import folders_in, images_in

_WILD = re.compile(r"[*?\[]")
_SEPARATORS = " _-.+"


def is_pattern(text: str) -> bool:
    """Whether an option names images by a pattern, and not a folder."""
    return _WILD.search(text) is not None


def base(pattern: str) -> str:
    """The folders before the first part that isn't fixed: "a/b" of "a/b/ok_*.png"; empty without any."""
    parts = PurePosixPath(pattern).parts[:-1]
    fixed = next((number for number, part in enumerate(parts) if is_pattern(part)), len(parts))
    return "/".join(parts[:fixed])


def defect_type(pattern: str) -> str:
    """The type of defect that a pattern's last name says: "dent" of "x/dent_*.png"; empty of "*.png"."""
    name = PurePosixPath(pattern).name
    name = name.rpartition(".")[0] or name
    parts = [part.strip(_SEPARATORS) for part in re.split(r"[*?]|\[[^]]*\]", name)]
    return next(filter(None, parts), "")


def matching(folder: Path, pattern: str, without: Sequence[str] = ()) -> list[Path]:
    """The images below a folder whose path fits a pattern, in the order of their paths.

    Args:
        folder: of a class.
        pattern: against paths below it.
        without: folders in it that are searched only where the pattern names them.
    """
    parts = _parts(pattern)
    start = [place for place in without if parts[0] != nfc(place).casefold()]
    return [path for path in _images(folder, parts, start) if _fits(_parts(path.relative_to(folder).as_posix()), parts)]


def _parts(path: str) -> list[str]:
    return [nfc(part).casefold() for part in PurePosixPath(path).parts]


def _images(folder: Path, parts: Sequence[str], without: Sequence[str]) -> Iterator[Path]:
    """The images that lie as deep as a pattern may reach."""
    if len(parts) == 1 or parts[0] == "**":
        yield from images_in(folder)
    if len(parts) > 1:
        for inner in folders_in(folder):
            if inner.name in without:
                continue
            if parts[0] == "**":
                yield from _images(inner, parts, ())
            elif fnmatch.fnmatchcase(_parts(inner.name)[0], parts[0]):
                yield from _images(inner, parts[1:], ())


def _fits(names: Sequence[str], parts: Sequence[str]) -> bool:
    if not parts or not names:
        return not parts and not names
    if parts[0] == "**":
        return _fits(names, parts[1:]) or _fits(names[1:], parts)
    return fnmatch.fnmatchcase(names[0], parts[0]) and _fits(names[1:], parts[1:])
