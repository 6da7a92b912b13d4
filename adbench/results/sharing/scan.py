"""Finds the finished runs in a folder of results and checks them; writes nothing there and follows no link."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal
from zipfile import BadZipFile, ZipFile

from ...util import integrity
from ...util.errors import ResultError, reason
from ...util.plain_files import is_link, is_locked, is_plain, sha256_of
from .. import audits, result_file, run_files, speeds
from ..audits import Audit
from ..find import LAST
from ..image_scores import SCORES, THRESHOLD_SCORES
from ..records import Result
from ..result_file import EPOCHS, RESULT
from ..speeds import SPEED
from ..store import HISTOGRAMS, LOCK, ORACLE, STATE, RunFolder

CORE = (RESULT, SCORES, EPOCHS, THRESHOLD_SCORES, HISTOGRAMS)
"""The files of a result, whose digests it has."""

RAW_MAPS, OVERLAYS = "maps.npz", "maps"
"""Anomaly maps in one file, and a folder of pictures."""

MOST_UNPACKED = 4_000_000_000
"""Bytes that score histograms may unpack to; usual ones have some millions."""

_CHECKPOINT = re.compile(rf"{re.escape(LAST)}|{ORACLE}[a-z0-9_]+\.pt")
_MARKS = (STATE, SCORES)
_DEPTH = 4
_AGAIN = "Compute the run again with --force"

Kind = Literal["damaged", "unfinished", "busy", "link", "conflict"]
Watch = Callable[[str], None]


@dataclass(frozen=True)
class Take:
    """What is taken of runs beside their results: checkpoints, and anomaly maps."""

    checkpoints: bool = True
    maps: bool = True


@dataclass(frozen=True)
class Part:
    """One class of a finished and intact run.

    Attributes:
        folder: where its files lie.
        shown: the same for messages: what is unpacked from an archive has the archive's name.
        result: its result.
        files: what is taken, as paths below the folder with forward slashes.
        digests: SHA-256 of the files of the result.
    """

    folder: Path
    shown: Path
    result: Result
    files: tuple[str, ...]
    digests: Mapping[str, str]


@dataclass(frozen=True)
class FoundRun:
    """A finished and intact run: a part for each class, the first one first.

    Attributes:
        source: the folder of results, or the archive, in which it was found.
        parts: its classes, several of a model of several.
        movable: its files lie in a temporary folder, from which they may be moved.
    """

    source: Path
    parts: tuple[Part, ...]
    movable: bool = False

    @property
    def key(self) -> tuple[str, ...]:
        """What the same run has on another machine as well."""
        return key_of(self.parts[0].result)

    @property
    def text(self) -> str:
        """The run as DATASET/CLASS/METHOD/RUN."""
        return text_of([part.result for part in self.parts])

    @property
    def bytes(self) -> int:
        """The size of all files that are taken."""
        return sum((part.folder / name).stat().st_size for part in self.parts for name in part.files)


@dataclass(frozen=True)
class LeftOut:
    """A run that is not taken: where it was found, where its folder is, and why in one sentence."""

    source: Path
    place: Path
    kind: Kind
    reason: str


@dataclass(frozen=True)
class Scan:
    """The runs of one source, and the audits of methods that lie beside them."""

    source: Path
    runs: tuple[FoundRun, ...]
    left_out: tuple[LeftOut, ...] = ()
    audits: tuple[Audit, ...] = ()


def key_of(result: Result) -> tuple[str, ...]:
    """Data set, class, method and run; the classes of one model share a key."""
    return result.dataset, "" if result.protocol.classes else result.class_name, result.method, result.run


def text_of(results: Sequence[Result]) -> str:
    """A run as DATASET/CLASS/METHOD/RUN, by the results of its classes."""
    first, names = results[0], [each.class_name for each in results]
    classes = "+".join(names) if len(names) <= 3 else f"{len(names)} classes"
    return f"{first.dataset}/{classes}/{first.method}/{first.run}"


def scan(
    folder: Path,
    take: Take | None = None,
    *,
    chosen: Sequence[Result] | None = None,
    source: Path | None = None,
    watch: Watch | None = None,
) -> Scan:
    """Find the finished runs in a folder of results, and check all of their files.

    Args:
        folder: ``RESULTS`` with runs in ``DATASET/CLASS/METHOD/RUN``.
        take: what to take beside the results; by default all.
        chosen: look for these results alone, and for the audits of their methods; of a model of several classes for
            the results of all of them.
        source: the archive that was unpacked into the folder, whose files may then be moved.
        watch: called with the run that is being checked.

    Returns:
        The runs, and those that are left out since they are damaged, unfinished, in progress or links.
    """
    return _Scanner(folder, take or Take(), source, watch or (lambda _: None)).scan(chosen)


class _Scanner:
    """One walk through a folder."""

    def __init__(self, root: Path, take: Take, source: Path | None, watch: Watch) -> None:
        self.root, self.take, self.watch = root, take, watch
        self.source, self.movable = source or root, source is not None
        self.left_out: list[LeftOut] = []

    def scan(self, chosen: Sequence[Result] | None) -> Scan:
        alone: list[FoundRun] = []
        joint: dict[tuple[str, ...], dict[str, Part]] = {}
        for folder in self._folders(self.root, 0) if chosen is None else self._places(chosen):
            part = self._part(folder)
            if part is None:
                continue
            if part.result.protocol.classes:
                joint.setdefault(key_of(part.result), {}).setdefault(part.result.class_name, part)
            elif is_locked(folder / LOCK):
                self._leave(folder, "busy", f"{self._shown(folder)} is being computed by another process.")
            else:
                alone.append(FoundRun(self.source, (part,), self.movable))
        whole = [run for parts in joint.values() if (run := self._joint(parts)) is not None]
        runs = sorted([*alone, *whole], key=lambda run: [str(part.folder) for part in run.parts])
        found, problems = audits.read_all(self.root, None if chosen is None else {each.method for each in chosen})
        for path, problem in problems:
            self._leave(path, "damaged", problem.replace(str(self.root), str(self.source)))
        return Scan(self.source, tuple(runs), tuple(self.left_out), tuple(found))

    def _places(self, chosen: Sequence[Result]) -> Iterator[Path]:
        """The folders of some results, sorted."""
        places = {
            run_files.folder_of(self.root, replace(each, class_name=name)).path
            for each in chosen
            for name in each.protocol.classes or (each.class_name,)
        }
        for place in sorted(places):
            if place.is_dir() and not is_link(place):
                yield place
            else:
                self._leave(place, "damaged", f"{place} is not there: the folder of its run has another name.")

    def _folders(self, folder: Path, depth: int) -> Iterator[Path]:
        """The folders of the fourth level, sorted."""
        try:
            paths = sorted(folder.iterdir())
        except OSError as error:
            self._leave(folder, "damaged", f"{self._shown(folder)} can't be read: {reason(error)}.")
            return
        for path in paths:
            if depth == 0 and path.name.startswith("."):  # temporary folders, and what other programs keep
                continue
            if is_link(path):
                if path.is_dir():
                    self._leave(path, "link", f"{self._shown(path)} is a link, which is not followed.")
            elif path.is_dir() and depth + 1 == _DEPTH:
                yield path
            elif path.is_dir():
                yield from self._folders(path, depth + 1)

    def _part(self, folder: Path) -> Part | None:
        """The run in a folder; None if there is none to take."""
        if not os.path.lexists(folder / RESULT):
            if any((folder / name).is_file() for name in _MARKS):
                busy = is_locked(folder / LOCK)
                state = "is being computed by another process" if busy else "is unfinished"
                self._leave(folder, "busy" if busy else "unfinished", f"{self._shown(folder)} {state}.")
            return None
        self.watch(f"checking {self._shown(folder)}")
        try:
            part = check(folder, self.take)
            if self.movable and folder != run_files.folder_of(self.root, part.result).path:
                raise ResultError(f"{folder}", found=f"the result of {text_of([part.result])}", wanted="its own")
            return replace(part, shown=self._shown(folder))
        except ResultError as error:
            self._leave(folder, "damaged", str(error).replace(str(self.root), str(self.source)))
            return None

    def _joint(self, parts: Mapping[str, Part]) -> FoundRun | None:
        """A model of several classes; None if one of them is missing."""
        some = next(iter(parts.values()))
        names = some.result.protocol.classes
        missing = [name for name in names if name not in parts]
        first = RunFolder(self.root, some.result.dataset, names[0], some.result.method, some.result.run)
        if is_locked(first.path / LOCK):
            self._leave(some.folder, "busy", f"{some.shown} is being computed by another process.")
        elif missing:
            has = f"{some.shown} is one of {len(names)} classes of a model"
            self._leave(some.folder, "unfinished", f"{has} that has no intact result of {missing[0]}.")
        else:
            return FoundRun(self.source, tuple(parts[name] for name in names), self.movable)
        return None

    def _shown(self, path: Path) -> Path:
        return self.source / path.relative_to(self.root)

    def _leave(self, path: Path, kind: Kind, why: str) -> None:
        self.left_out.append(LeftOut(self.source, self._shown(path), kind, why))


# ---------------------------------------------------------------- one folder


def check(folder: Path, take: Take) -> Part:
    """Check a finished run of one class: its numbers, the files beside it, and what else is to be taken.

    Raises:
        ResultError: a file is missing or damaged, is none of the run's, or is a link.
    """
    names = _names(folder, take)
    for name in names:
        if not is_plain(folder / name):
            raise ResultError(f"{folder / name}", found="a link" if is_link(folder / name) else "no plain file")
    result = result_file.read(folder / RESULT)
    try:
        digests = {name: sha256_of(folder / name) for name in names if name in CORE}
        _check_core(folder, result, digests)
        for name in names:
            _check_extra(folder, name)
    except OSError as error:
        raise ResultError(f"{folder} can't be read", found=reason(error)) from error
    kept = [name for name in names if name not in CORE or name == RESULT or name in result.files or not result.files]
    return Part(folder, folder, result, tuple(kept), {name: digests[name] for name in kept if name in digests})


def is_taken(name: str, take: Take) -> bool:
    """Whether a file with this path below a run's folder is one to take."""
    if name in CORE or name == SPEED:
        return True
    if _CHECKPOINT.fullmatch(name):
        return take.checkpoints
    return take.maps and (name == RAW_MAPS or name.startswith(f"{OVERLAYS}/"))


def _names(folder: Path, take: Take) -> list[str]:
    """The files to take, in a fixed order."""
    try:
        names = [path.name for path in folder.iterdir()]
        overlays = folder / OVERLAYS
        if take.maps and overlays.is_dir() and not is_link(overlays):
            names += [path.relative_to(folder).as_posix() for path in _files_below(overlays)]
    except OSError as error:
        raise ResultError(f"{folder} can't be read", found=reason(error)) from error
    return sorted(name for name in names if is_taken(name, take))


def _files_below(folder: Path) -> Iterator[Path]:
    for place, _, names in os.walk(folder):  # which enters no links
        yield from (Path(place) / name for name in names)


def _check_core(folder: Path, result: Result, digests: Mapping[str, str]) -> None:
    """Raise ``ResultError`` unless the files of a result are there and are those that the run stored."""
    if not result.files:  # of adbench 0.1, without digests
        run = run_files.folder_at(folder)
        run_files.read_scores(run, result)
        run_files.read_epochs(run, result)
        run_files.read_histograms(run, result)
        return
    for name in {SCORES, EPOCHS, *result.files}:
        if name not in CORE:
            raise ResultError(f"result {folder / RESULT}", found=f"a digest of {name!r}", wanted="files of a result")
        if name not in digests:
            raise ResultError(f"{folder / name}", found="no such file", hint=_AGAIN)
        if digests[name] not in result.files.get(name, "").split():
            found = "another content than the run stored"
            raise ResultError(f"{folder / name} doesn't fit its result", found=found, hint=_AGAIN)


def _check_extra(folder: Path, name: str) -> None:
    """Raise ``ResultError`` for a damaged checkpoint or measurement, or for histograms that would fill the memory."""
    path = folder / name
    if name == SPEED:
        speeds.read(folder)
    elif name == HISTOGRAMS and (size := _unpacked(path)) > MOST_UNPACKED:
        raise ResultError(f"{path}", found=f"{size} bytes when unpacked", wanted=f"at most {MOST_UNPACKED}")
    elif _CHECKPOINT.fullmatch(name) and (record := integrity.damage_of(path)):
        hint = "Compute the run again with --force, or leave it behind with --no-checkpoints"
        raise ResultError(f"checkpoint {path}", found=f"damage in {record}", hint=hint)


def _unpacked(path: Path) -> int:
    """Bytes of all arrays in a file of NumPy; 0 where it is none, which its reader reports."""
    try:
        with ZipFile(path) as archive:
            return sum(each.file_size for each in archive.infolist())
    except (BadZipFile, ValueError, NotImplementedError):
        return 0
