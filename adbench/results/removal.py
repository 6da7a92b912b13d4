"""Finds the folders of stored runs, finished or not, and removes runs from the disk."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

from ..util import plain_files
from ..util.errors import ResultError, TaskError, UnknownNameError, UsageError, absent
from . import result_file
from .image_scores import SCORES
from .records import Result
from .result_file import RESULT
from .run_files import folder_at
from .store import STATE
from .words import LISTED, Words

MARKS = (RESULT, STATE, SCORES)
"""A folder ``DATASET/CLASS/METHOD/RUN`` with one of these files is a run's. Other programs write "last.pt", too."""

CLASSES_LISTED = 3
"""Up to so many classes of a run are named."""


@dataclass(frozen=True)
class RunOnDisk:
    """A run by its folders: one for each class, so several for a model of several classes."""

    folders: tuple[Path, ...]

    @property
    def text(self) -> str:
        """The run as DATASET/CLASS/METHOD/RUN, with the classes of a model of several."""
        dataset, class_name, method, run = self.folders[0].parts[-4:]
        if len(self.folders) > CLASSES_LISTED:
            class_name = f"{len(self.folders)} classes"
        elif len(self.folders) > 1:
            class_name = "+".join(folder.parts[-3] for folder in self.folders)
        return f"{dataset}/{class_name}/{method}/{run}"

    @property
    def bytes(self) -> int:
        """Size of all its files."""
        return sum(map(plain_files.size_of, self.folders))

    @property
    def is_finished(self) -> bool:
        """Whether each class has its result."""
        return all((folder / RESULT).is_file() for folder in self.folders)


def run_folders(results: Path) -> list[Path]:
    """The folders of all runs below ``results``, finished or not; a link is none."""
    return [path for path in sorted(results.glob("*/*/*/*")) if _is_run(path)]


def _is_run(path: Path) -> bool:
    return not path.is_symlink() and any((path / name).is_file() for name in MARKS)


def find(results: Path, names: Sequence[str], *, whole: bool = False) -> list[RunOnDisk]:
    """Find the runs that names stand for, each once, in the order of the names.

    A name is a run's name, its folder or a file in it, words such as its variant that only one run has (``words``), or
    any such part of ``DATASET/CLASS/METHOD/RUN``. Runs without a readable result are found as well, but for words. If
    names must be ``whole``, no part of one is enough.

    Raises:
        ResultError: there is no folder of results.
        UnknownNameError: no run has this name.
        UsageError: several runs have it, or only a part of it is that of a run and it must be ``whole``.
    """
    if not results.is_dir():
        raise ResultError(f"results folder {results}", found=absent(results, "folder"))
    folders = run_folders(results)
    found = [_meant(folders, name) for name in names]
    for name, run in zip(names, found, strict=True):
        if whole and not any(_is_whole_name(name, folder) for folder in run.folders):
            raise UsageError(
                f"run '{name}'", found=f"a part of {run.text}", wanted="its whole name or its folder",
                hint="Without a terminal nobody can be asked; give --yes if this run is meant",
            )  # fmt: skip
    return list(dict.fromkeys(found))


def _is_whole_name(name: str, folder: Path) -> bool:
    """Whether a text names a run's folder itself, and no part of it or folder around it."""
    path, place = Path(name), folder.resolve()
    if name == folder.name or name.strip("/\\") in ("/".join(folder.parts[-4:]), _stored_names(folder)):
        return True
    return path.exists() and place in (path.resolve(), path.resolve().parent)


def _meant(folders: Sequence[Path], name: str) -> RunOnDisk:
    part = name.strip("/\\")
    alike = [folder for folder in folders if part in "/".join(folder.parts[-4:])]
    known = {folder: run for folder in folders if (run := _result_of(folder)) is not None}
    words = Words(list(known.values()))
    fitting = {id(run) for run in words.fitting(name)}
    of_words = [folder for folder in folders if folder in known and id(known[folder]) in fitting]
    unfinished = [folder for folder in alike if folder not in known]  # none is left out beside one that is finished
    named = (
        [folder for folder in folders if folder.name == name]
        or _around(folders, Path(name))
        or (of_words and [*of_words, *unfinished])
        or alike
        or [folder for folder in folders if part in _stored_names(folder)]
    )
    if not part or not named:
        near = get_close_matches(name, [folder.name for folder in folders], n=3, cutoff=0.4)
        raise UnknownNameError("run", name, near, hint="See adbench list runs")
    found = list(dict.fromkeys(_whole(folders, folder) for folder in named))
    if len(found) > 1:
        chosen = [known[each.folders[0]] for each in found if each.folders[0] in known]
        if len(chosen) == len(found):
            raise words.ambiguous(name, chosen)
        more = f" and {len(found) - LISTED} more" if len(found) > LISTED else ""  # unfinished ones have no variant
        listed = ", ".join(each.text for each in found[:LISTED])
        raise UsageError(f"run '{name}'", found=f"{len(found)} runs: {listed}{more}", wanted="a part that only one has")
    return found[0]


def _whole(folders: Sequence[Path], folder: Path) -> RunOnDisk:
    """The run of a folder, with the folders of all classes of its model."""
    if not _is_of_several(folder):
        return RunOnDisk((folder,))
    dataset, _, method, run = folder.parts[-4:]
    return RunOnDisk(tuple(each for each in folders if (each.parts[-4], *each.parts[-2:]) == (dataset, method, run)))


def _is_of_several(folder: Path) -> bool:
    """Whether one model of several classes made a result; its name says it where the result can't be read."""
    with suppress(ResultError):
        return result_file.read(folder / RESULT).protocol.setting == "multi-class"
    return "-multi-class-" in folder.name


def _around(folders: Sequence[Path], path: Path) -> list[Path]:
    """The folder that a path names or lies in, or those that lie in it."""
    if not path.exists():
        return []
    place = path.resolve()
    resolved = ((folder, folder.resolve()) for folder in folders)
    return [folder for folder, own in resolved if place == own or own in place.parents or place in own.parents]


def _stored_names(folder: Path) -> str:
    """The names in a result, of which folders have a form that every system accepts; empty without a result."""
    run = _result_of(folder)
    return "" if run is None else f"{run.dataset}/{run.class_name}/{run.method}/{run.run}"


def _result_of(folder: Path) -> Result | None:
    with suppress(ResultError):
        return result_file.read(folder / RESULT)
    return None


def remove(run: RunOnDisk) -> None:
    """Remove all folders of a run, and those above them that become empty.

    Raises:
        TaskError: a process is computing it; then nothing is removed.
        ResultError: a file can't be removed.
    """
    folders = [folder_at(path) for path in run.folders]
    with ExitStack() as locks:
        for folder in folders:
            locks.enter_context(folder.lock())
        for folder in folders:
            folder.discard()
        left = [folder for folder in folders if not folder.vanish()]
    for folder in left:  # where open files such as the lock can't be removed
        with suppress(TaskError):  # a process began it anew meanwhile
            folder.remove()
