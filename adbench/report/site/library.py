"""The runs of all results folders: which count, how they are named, and the files beside each."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ...api.registry import Registry
from ...results import run_files, speeds, store
from ...results.records import Result, in_order, setting_text
from ...results.speeds import Speed
from ...results.store import RunFolder
from ...results.variants import Names
from ...run import standing
from ...run.standing import Inspected, Standing
from ...util.errors import ResultError, UsageError
from .. import audits
from ..audits import Audits
from ..confidence import Confidence
from ..speeds import Latencies

if TYPE_CHECKING:
    from ...metrics.histograms import ScoreHistograms

Key = tuple[str, str, str, str]
"""Data set, class, method and run: what a run is called in any folder."""

Talk = Callable[[str], None]


@dataclass(frozen=True)
class Stored:
    """A run, its standing on this machine, and the results folder that it lies in."""

    result: Result
    standing: Standing
    results: Path

    @property
    def folder(self) -> RunFolder:
        """The run's own folder."""
        return run_files.folder_of(self.results, self.result)


@dataclass(frozen=True)
class Library:
    """All runs, sorted; stale ones are among ``runs`` but don't count.

    Attributes:
        runs: by their keys.
        counting: the results that rank.
        names: names of the variants.
        confidence: intervals of the counting results.
        speeds: what ``adbench speed`` measured, oldest first, of each run that has any.
        latencies: the newest of these.
        audits: what ``adbench check-method`` found of each method, in any of the folders.
    """

    runs: Mapping[Key, Stored]
    counting: tuple[Result, ...]
    names: Names
    confidence: Confidence
    speeds: Mapping[Key, tuple[Speed, ...]]
    latencies: Latencies
    audits: Audits

    def of(self, result: Result) -> Stored:
        """A run with its standing."""
        return self.runs[key_of(result)]

    def remarks_on(self, runs: Iterable[Stored]) -> Mapping[str, Sequence[str]]:
        """What is said below the board of some runs, of which one counts at least: which are stale or unchecked."""
        inspected = [Inspected(each.result, each.standing) for each in runs]
        return standing.sort(inspected, [each.result for each in self.runs.values()]).remarks

    def speeds_of(self, result: Result) -> tuple[Speed, ...]:
        """What ``adbench speed`` measured of a run."""
        return self.speeds.get(key_of(result), ())


def key_of(result: Result) -> Key:
    """What a run is called in any folder."""
    return result.dataset, result.class_name, result.method, result.run


def setting_of(result: Result) -> str:
    """The setting of a run for people: "one-class", "few-shot=4"."""
    return setting_text(result.protocol.setting, result.protocol.shots) or "one-class"


def read(folders: Sequence[Path], registry: Registry, data_roots: Sequence[Path], show: Talk, warn: Talk) -> Library:
    """Read the results of several folders, and look up which of them are stale.

    Of a run that several folders have, the newest counts; if their numbers differ, ``warn`` says so.

    Args:
        folders: the results folders, in any order.
        registry: finds methods and data sets.
        data_roots: possible folders of data sets, besides the one where a run found it.
        show: called with the present work.
        warn: called with a text about each file that can't be used.

    Raises:
        UsageError: no folder is given.
        ResultError: a folder is missing or has no results, or all of them are stale.
    """
    if not folders:
        raise UsageError("adbench site", found="no results folder", wanted="one or more")
    found: dict[Key, Stored] = {}
    places = list(dict.fromkeys(each.absolute() for each in folders))
    for folder in places:
        library = store.read_all(folder)
        for problem in library.problems:
            warn(problem)
        for each in standing.Inspector(registry, data_roots, show, results=folder).inspect(library.results):
            _add(found, Stored(each.result, each.standing, folder), warn)
    runs = sorted(found.values(), key=lambda each: _order(each.result))
    counting = standing.sort([Inspected(each.result, each.standing) for each in runs])
    by_key = {key_of(each.result): each for each in runs}
    measured = {key: speed for key, each in by_key.items() if (speed := _speeds(each, warn))}
    newest = {key: max(speed, key=lambda one: one.measured) for key, speed in measured.items()}
    names = [each.result.method for each in runs]
    return Library(
        by_key, counting.results, counting.names, _confidence(by_key, warn), measured, Latencies(newest),
        audits.read(places, registry, methods=names, results=counting.results, warn=warn),
    )  # fmt: skip


def _order(run: Result) -> tuple[object, ...]:
    """As in a single folder, whatever the order of the folders."""
    return run.dataset, run.class_name, run.method, *in_order(run), repr(run.options), run.seed, run.run


def _add(found: dict[Key, Stored], new: Stored, warn: Talk) -> None:
    key = key_of(new.result)
    old = found.setdefault(key, new)
    if old is new:
        return
    if old.result.metrics != new.result.metrics:
        warn(f"{'/'.join(key)} has other numbers in {old.results} than in {new.results}; the newer run is shown.")
    if (new.result.finished, str(old.results)) > (old.result.finished, str(new.results)):
        found[key] = new


def _speeds(each: Stored, warn: Talk) -> tuple[Speed, ...]:
    try:
        return speeds.read(each.folder.path)
    except ResultError as error:
        warn(str(error))
        return ()


def _confidence(runs: Mapping[Key, Stored], warn: Talk) -> Confidence:
    def histograms(result: Result) -> ScoreHistograms | None:
        try:
            return run_files.read_histograms(runs[key_of(result)].folder, result)
        except ResultError as error:
            warn(str(error))
            return None

    return Confidence(histograms)
