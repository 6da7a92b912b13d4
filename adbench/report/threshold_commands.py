"""The commands that gave a stored run its threshold, where its own command gives another one."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path

from ..api.scores import BY_HAND, Promise
from ..results.records import Result
from ..run.places import named_in
from ..util.text import share_of, share_text

USUAL_RESULTS = Path("results")
"""The folder of results that commands use by default."""


def of_run(run: Sequence[Result], results: Path) -> tuple[str, ...]:
    """The commands that, after the run's own, give the thresholds of its classes; none where that gives them.

    A threshold by hand keeps the promise of the pixels, whose command then comes before its own.

    Args:
        run: the results of one run, one for each class.
        results: the folder of all results.
    """
    return tuple(dict.fromkeys(command for each in run for command in _of_class(each, results, len(run) > 1)))


def _of_class(result: Result, results: Path, several: bool) -> list[str]:
    found = result.threshold
    if found is None:
        return []
    by_hand = found.rule == BY_HAND
    promise = found.pixel.promise if by_hand and found.pixel else found.promise
    commands = []
    if promise and not _asks_for(result.command, promise):
        commands.append(_for_target(result, promise, results, several))
    if by_hand:
        commands.append(_threshold(result, ["--value", repr(found.value)], results, several))
    return commands


def _asks_for(command: str, promise: Promise) -> bool:
    """Whether a command gives this promise."""
    targets, folds = named_in(command, "--target-false-alarms"), named_in(command, "--folds")
    return _share(targets[-1:]) == promise.target and (not folds or folds[-1] == str(promise.folds))


def _share(words: Sequence[str]) -> float | None:
    try:
        return share_of(words[0]) if words else None
    except ValueError:
        return None


def _for_target(result: Result, promise: Promise, results: Path, several: bool) -> str:
    """A new share is set from stored scores; a cross-validation that the run did not ask for is one of ``run``."""
    text = share_text(promise.target)
    if share_of(text) != promise.target:
        text = repr(promise.target)
    if promise.folds is None or named_in(result.command, "--target-false-alarms"):
        return _threshold(result, ["--target", text], results, several)
    return f"{result.command} --target-false-alarms {text} --folds {promise.folds}"


def _threshold(result: Result, words: Sequence[str], results: Path, several: bool) -> str:
    place = f"{result.dataset}/{result.class_name}/{result.method}/{result.run}"
    of_class = ["-c", result.class_name] if several else []
    where = [] if results == USUAL_RESULTS else ["--results", str(results)]
    return shlex.join(["adbench", "threshold", place, *words, *of_class, *where])
