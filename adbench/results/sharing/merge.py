"""Copies finished runs of other folders into one folder of results.

A run is copied into a temporary folder beside the results, and then renamed as a whole. So there is never half a run,
also where two processes merge at once, or two hosts without a common lock: the one that comes second finds the run
there and compares. What a killed merge leaves is a temporary folder, which the next one removes.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import BinaryIO, Literal

from ...util import files
from ...util.errors import ResultError, TaskError, reason
from ...util.plain_files import blocks_of, is_link, is_locked, open_plain
from .. import audits, removal, result_file
from ..audits import Audit
from ..records import Result
from ..result_file import RESULT
from ..run_files import folder_of
from ..store import LOCK, RunFolder
from .compare import difference, is_same_training
from .scan import FoundRun, Kind, LeftOut, Part, Scan, Watch

Prefer = Literal["ours", "theirs"]
What = Literal["added", "replaced", "completed", "same", "kept"]

ATTEMPTS = 5
"""Times that a run is compared anew after another process has put it there."""

CHOOSE = "Choose with --prefer ours or --prefer theirs"


@dataclass(frozen=True)
class Outcome:
    """What was done with a run.

    "added": it is new. "replaced": it took the place of another one. "completed": it was there, and got files that
    were missing. "same": it was there. "kept": another one of its name was there, and stays.
    """

    run: FoundRun
    what: What


@dataclass(frozen=True)
class Merged:
    """The runs that are there now, those that are left out, and the audits that came with them, by their source."""

    outcomes: tuple[Outcome, ...]
    left_out: tuple[LeftOut, ...]
    audits: tuple[tuple[Path, Audit], ...] = ()

    def of(self, *kinds: What) -> list[FoundRun]:
        """The runs with which one of these things was done."""
        return [each.run for each in self.outcomes if each.what in kinds]

    @property
    def failed(self) -> bool:
        """Whether a finished run is left out."""
        return any(each.kind in ("damaged", "conflict", "link") for each in self.left_out)


def merge(
    scans: Sequence[Scan],
    target: Path,
    *,
    prefer: Prefer | None = None,
    dry_run: bool = False,
    watch: Watch | None = None,
) -> Merged:
    """Copy runs into a folder of results. Nothing outside of it is written, and links in it are not followed.

    Of two audits of the same code, set-up and machine the newer one stays.

    Args:
        scans: the runs of each source, in the order in which they count.
        target: the folder, which may not exist yet.
        prefer: which of two runs of one name with other numbers stays: the one that is there or comes first, or the
            other one. By default both are as before, and the conflict is one of ``left_out``.
        dry_run: find out what would be done, without writing anything.
        watch: called with the run that is being copied.

    Raises:
        ResultError: the folder can't be written. Runs that were copied before stay.
    """
    groups: dict[tuple[str, ...], list[FoundRun]] = {}
    for run in (run for each in scans for run in each.runs):
        groups.setdefault(run.key, []).append(run)
    merger = _Merger(target, prefer, dry_run, watch or (lambda _: None))
    with merger:
        for runs in groups.values():
            merger.take(runs)
        came = [(each.source, audit) for each in scans for audit in each.audits]
        taken = audits.take(came, target, dry_run=dry_run)
    left_out = (*(each for one in scans for each in one.left_out), *merger.left_out)
    return Merged(tuple(merger.outcomes), left_out, taken)


class _LeaveError(Exception):
    """A run can't be taken."""

    def __init__(self, kind: Kind, why: str) -> None:
        super().__init__(why)
        self.kind, self.why = kind, why


@dataclass(frozen=True)
class _There:
    """A class of a run in the target. ``result`` is None where it is unfinished or can't be read."""

    shown: Path
    result: Result | None
    files: frozenset[str] = frozenset()


Present = dict[str, _There]
"""What is there of a run, by class."""


class _Merger:
    """Merges one run after the other. As a context manager it removes its temporary folder."""

    def __init__(self, target: Path, prefer: Prefer | None, dry_run: bool, watch: Watch) -> None:
        self.target, self.prefer, self.dry_run, self.watch = target, prefer, dry_run, watch
        self.outcomes: list[Outcome] = []
        self.left_out: list[LeftOut] = []
        self._open = ExitStack()
        self._stage: Path | None = None
        self._count = 0

    def __enter__(self) -> _Merger:
        if not self.dry_run and self.target.is_dir():
            files.sweep(self.target)
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    def take(self, runs: Sequence[FoundRun]) -> None:
        """Take all found copies of one run."""
        try:
            present = self._present(runs[0])
            finished = any(there.result for there in present.values())
            if not finished and self.prefer is None and self._disagree(runs):
                return
        except _LeaveError as error:
            self._leave(runs[0], error)
            return
        for run in runs:
            try:
                what, present = self._take(run, present)
                self.outcomes.append(Outcome(run, what))
            except _LeaveError as error:
                self._leave(run, error)

    def _disagree(self, runs: Sequence[FoundRun]) -> bool:
        """Whether sources differ about a run of which the target has nothing; then none of them is taken."""
        first = _as_present(runs[0])
        errors = [_conflict(run, first, found) for run in runs[1:] if (found := _difference(run, first))]
        for error in errors:
            self._leave(runs[0], error)
        return bool(errors)

    def _leave(self, run: FoundRun, error: _LeaveError) -> None:
        self.left_out.append(LeftOut(run.source, run.parts[0].shown, error.kind, error.why))

    # -- what is there

    def _present(self, run: FoundRun) -> Present:
        """What the target has of a run."""
        return {
            part.result.class_name: there for part in run.parts if (there := self._there(self._place(part))) is not None
        }

    def _place(self, part: Part) -> Path:
        return folder_of(self.target, part.result).path

    def _there(self, place: Path) -> _There | None:
        for folder in (place, *list(place.parents)[:3]):
            if is_link(folder):
                raise _LeaveError("link", f"{folder} is a link, which is not followed.")
        if not os.path.lexists(place):
            return None
        if not place.is_dir():
            raise _LeaveError("conflict", f"{place} is in the way: found a file, wanted the folder of a run.")
        if not os.path.lexists(place / RESULT):
            if is_locked(place / LOCK):
                raise _LeaveError("busy", f"{place} is being computed by another process.")
            return _There(place, None)
        try:
            names = frozenset(path.name for path in place.iterdir())
            return _There(place, result_file.read(place / RESULT), names)
        except (ResultError, OSError) as error:
            if self.prefer != "theirs":
                raise _LeaveError("conflict", f"the run that is there is damaged: {error} {CHOOSE}.") from error
            return _There(place, None)

    # -- one run

    def _take(self, run: FoundRun, present: Present) -> tuple[What, Present]:
        """Take a run; return what was done, and what is there afterwards."""
        for _ in range(ATTEMPTS):
            what = self._decide(run, present)
            if what in ("same", "kept"):
                return what, present
            if self.dry_run:
                return what, {**present, **_as_present(run)}
            self.watch(f"copying {run.text}")
            with _writing(self.target):
                done = self._complete(run, present) if what == "completed" else self._put(run, present, what)
            if not done:
                present = self._present(run)  # another process was faster
                continue
            return what, {**present, **_as_present(run)}
        raise _LeaveError("busy", f"{run.text} is being written by other processes.")

    def _decide(self, run: FoundRun, present: Present) -> What:
        found = _difference(run, present)
        if found and self.prefer is None:
            raise _conflict(run, present, found)
        if found:
            return "replaced" if self.prefer == "theirs" else "kept"
        here = [present.get(part.result.class_name) for part in run.parts]
        if any(there is None or there.result is None for there in here):
            return "added"
        return "completed" if any(self._missing(part, present) for part in run.parts) else "same"

    def _put(self, run: FoundRun, present: Present, what: What) -> bool:
        """Put a run in place; False if another process has put a part of it there meanwhile."""
        staged = self._staged(run, [(part, part.files) for part in run.parts])
        gone = [
            self._place(part)
            for part in run.parts
            if (there := present.get(part.result.class_name)) and (what == "replaced" or there.result is None)
        ]
        if gone:
            try:
                removal.remove(removal.RunOnDisk(tuple(gone)))
            except TaskError as error:
                raise _LeaveError("busy", str(error)) from error
        whole = True
        for own, part in reversed(list(zip(staged, run.parts, strict=True))):  # the first one has the run's lock
            there = present.get(part.result.class_name)
            if what == "replaced" or there is None or there.result is None:
                whole = _renamed(own, self._place(part)) and whole
        return whole

    def _missing(self, part: Part, present: Present) -> list[str]:
        """The files and folders beside the result that a copy of it lacks."""
        there = present.get(part.result.class_name)
        if there is None or there.result is None or not is_same_training(part.result, there.result):
            return []
        return sorted({PurePosixPath(name).parts[0] for name in part.files} - there.files)

    def _complete(self, run: FoundRun, present: Present) -> bool:
        """Add missing checkpoints, maps and measurements to a run that is there."""
        lock = RunFolder(self.target, *_names_of(run.parts[0].result))
        missing = {part.result.class_name: self._missing(part, present) for part in run.parts}
        chosen = [
            (part, [name for name in part.files if PurePosixPath(name).parts[0] in missing[part.result.class_name]])
            for part in run.parts
        ]
        staged = self._staged(run, chosen)
        try:
            with lock.lock():
                for own, part in zip(staged, run.parts, strict=True):
                    place = self._place(part)
                    if not (place / RESULT).is_file():
                        return False
                    for name in missing[part.result.class_name]:
                        _renamed(own / name, place / name)
        except TaskError as error:
            raise _LeaveError("busy", str(error)) from error
        return True

    # -- copies

    def _staged(self, run: FoundRun, chosen: Iterable[tuple[Part, Sequence[str]]]) -> list[Path]:
        """Bring files of each part into a temporary folder of its own."""
        if self._stage is None:
            self._stage = self._open.enter_context(files.new_folder(self.target / "merge"))
        links: dict[tuple[int, int], Path] = {}
        staged = []
        for part, names in chosen:
            own = self._stage / str(self._count)
            own.mkdir()
            self._count += 1
            for name in names:
                _bring(part, name, own / name, links, movable=run.movable)
            staged.append(own)
        return staged


def _names_of(result: Result) -> tuple[str, str, str, str]:
    return result.dataset, result.class_name, result.method, result.run


def _as_present(run: FoundRun) -> Present:
    """A run as if it were in the target."""
    return {
        part.result.class_name: _There(
            part.shown, part.result, frozenset(PurePosixPath(name).parts[0] for name in part.files)
        )
        for part in run.parts
    }


def _difference(run: FoundRun, present: Mapping[str, _There]) -> str:
    """How a run differs from what is there; "" if it doesn't."""
    for part in run.parts:
        there = present.get(part.result.class_name)
        if there is not None and there.result is not None and (found := difference(part.result, there.result)):
            return found
    return ""


def _conflict(run: FoundRun, present: Mapping[str, _There], found: str) -> _LeaveError:
    """The sentence that names both files."""
    for part in run.parts:
        there = present.get(part.result.class_name)
        if there is not None and there.result is not None and difference(part.result, there.result):
            both = f"{part.shown / RESULT} and {there.shown / RESULT}"
            return _LeaveError("conflict", f"{both} are the same run with {found}. {CHOOSE}.")
    raise AssertionError("two runs that don't differ")


def _bring(part: Part, name: str, own: Path, links: dict[tuple[int, int], Path], *, movable: bool) -> None:
    """Copy one file, or link it where the run has it twice. Raises ``OSError`` if the copy can't be written."""
    own.parent.mkdir(parents=True, exist_ok=True)
    if movable:
        with suppress(OSError):  # a file system without links
            own.hardlink_to(part.folder / name)
            return
    try:
        source = open_plain(part.folder / name)
    except OSError as error:
        raise _LeaveError("damaged", f"{part.shown / name} can't be read: {reason(error)}.") from error
    with source:
        status = os.fstat(source.fileno())
        first = links.setdefault((status.st_dev, status.st_ino), own)
        if first is not own:
            with suppress(OSError):
                own.hardlink_to(first)
                return
        hasher = hashlib.sha256()
        with own.open("xb") as stream:
            for block in _read(source, part.shown / name):
                hasher.update(block)
                stream.write(block)
            files.flush(stream)
    if part.digests.get(name, hasher.hexdigest()) != hasher.hexdigest():
        raise _LeaveError("damaged", f"{part.shown / name} was changed while it was copied. Merge again.")


def _read(stream: BinaryIO, shown: Path) -> Iterator[bytes]:
    try:
        yield from blocks_of(stream)
    except OSError as error:
        raise _LeaveError("damaged", f"{shown} can't be read: {reason(error)}.") from error


def _renamed(own: Path, place: Path) -> bool:
    """Give a file or folder its name; False if something is there. Raises ``OSError`` if it can't be renamed."""
    for left in reversed(range(ATTEMPTS)):
        place.parent.mkdir(parents=True, exist_ok=True)
        if own.is_dir():
            files.flush_folder(own)
        elif os.path.lexists(place):
            return False
        try:
            own.rename(place)
        except FileNotFoundError:  # another process removed the empty folder above it
            if not left:
                raise
        except OSError:
            if os.path.lexists(place):
                return False
            raise
        else:
            files.flush_folder(place.parent)
            return True
    return False


@contextmanager
def _writing(target: Path) -> Iterator[None]:
    """Turn an error of a full or read-only disk into one that names the folder."""
    try:
        yield
    except OSError as error:
        hint = "Free some space or permit writing there, or choose another folder with --into"
        raise ResultError(f"results folder {target} can't be written", found=reason(error), hint=hint) from error
