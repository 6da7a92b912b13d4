"""Finds stored runs by text that people type: a name, any unique part of it, or a folder."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from difflib import get_close_matches
from pathlib import Path

from ..util.errors import ResultError, UnknownNameError, UsageError
from . import result_file, store
from .records import Result
from .result_file import RESULT
from .run_files import folder_of
from .words import Words, model_of

LAST = "last.pt"
"""The checkpoint of a run's last epoch."""


def find_runs(stored: Sequence[Result], names: Sequence[str], results: Path) -> list[Result]:
    """Find the runs that the names stand for, in the order in which they are stored.

    A name is a run's name in ``adbench list runs``, its folder or a file in it, words such as its variant that only one
    run has (``words``), or any such part of ``DATASET/CLASS/METHOD/RUN``. A run of a model of several classes has a
    result of each.

    Args:
        stored: all runs.
        names: texts that people typed.
        results: the folder of all results.

    Raises:
        UnknownNameError: no run has this name.
        UsageError: several runs have it; the message has the words that pick each.
    """
    found = [run for name in names for run in _meant(stored, name, results)]
    return [run for run in stored if any(run is each for each in found)]


def _meant(stored: Sequence[Result], name: str, results: Path) -> list[Result]:
    exact = [run for run in stored if run.run == name]
    if exact:
        return exact
    every: Sequence[Result] = ()
    with suppress(ResultError):
        every = store.read_all(results).results  # variants have their names among all of them
    words = Words(stored, every)
    found = _in_folder(stored, Path(name), results) or words.fitting(name)
    found = found or [run for run in stored if name.strip("/\\") in _text(run)]
    if not found:
        if Path(name).is_file() and Path(name).suffix == ".pt":
            raise UsageError(
                f"{name}", found="a checkpoint without its result", wanted=f"a run in {results}",
                hint="Copy the run's whole folder, to its place DATASET/CLASS/METHOD/RUN below --results",
            )  # fmt: skip
        _refuse_moved(name, results)
        raise UnknownNameError("run", name, near(stored, name), hint="See adbench list runs")
    if len(set(map(model_of, found))) > 1:
        raise words.ambiguous(name, found)
    return found


def find_checkpoint(name: str, results: Path, *, thing: str) -> Path:
    """The checkpoint that a text stands for: a file, or the last epoch's of a run as in ``find_runs``.

    Args:
        name: a text that people typed.
        results: the folder of all results; it need not exist.
        thing: what asks for it, for messages.

    Returns:
        A path; for a name that is on disk but no run, that path, whatever it is.

    Raises:
        UsageError: no file and no run, or several runs.
    """
    given = Path(name)
    if given.is_file():
        return given.with_name(LAST) if given.name == RESULT else given
    if (given / LAST).is_file():  # wherever the run's folder was copied
        return given / LAST
    stored: Sequence[Result] = ()
    with suppress(ResultError):  # no results yet
        stored = store.read_all(results).results
    try:
        runs = find_runs(stored, [name], results)
    except UnknownNameError as error:
        if given.exists():
            return given
        alike = near(stored, name)
        raise UsageError(
            thing, found="no such file, and no such run", wanted=f"a file, or a run in {results}",
            hint=f"Did you mean {' or '.join(alike)}?" if alike else "See adbench list runs",
        ) from error  # fmt: skip
    if len(set(map(model_of, runs))) > 1:  # classes of one model share its checkpoint
        raise UsageError(thing, found=f"{len(runs)} runs of that name", wanted="the folder of one")
    return folder_of(results, runs[0]).path / LAST


def near(stored: Sequence[Result], name: str) -> list[str]:
    """The names of runs that are most like a text, best first."""
    return get_close_matches(name, list(dict.fromkeys(run.run for run in stored)), n=3, cutoff=0.4)


def _refuse_moved(name: str, results: Path) -> None:
    """Raise ``ResultError`` for the folder of a result that lies elsewhere than its names say: a renamed folder."""
    place = Path(name) if Path(name).is_dir() else Path(name).parent
    if not (place / RESULT).is_file():
        return
    run = result_file.read(place / RESULT)
    raise ResultError(
        f"folder {place}", found=f"the result of run {_text(run)}", wanted=f"it in {folder_of(results, run).path}",
        hint="Give the folder its old name, or choose its place with --results",
    )  # fmt: skip


def _in_folder(stored: Sequence[Result], path: Path, results: Path) -> list[Result]:
    """The runs in a folder, or the run whose folder contains the path."""
    if not path.exists():
        return []
    place = path.resolve()
    folders = ((run, folder_of(results, run).path.resolve()) for run in stored)
    return [run for run, folder in folders if place == folder or place in folder.parents or folder in place.parents]


def _text(run: Result) -> str:
    return f"{run.dataset}/{run.class_name}/{run.method}/{run.run}"
