"""The stored results that a command is about, as its options choose them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from ..util.errors import ResultError, UsageError
from .console import load_plugins, status_line, warn
from .values import ALL_BESIDE

if TYPE_CHECKING:
    from ..api.data import Setting
    from ..api.registry import Registry
    from ..results.records import Result
    from ..results.variants import Names
    from ..run.standing import Inspected, Sorted


@dataclass(frozen=True, kw_only=True)
class Chosen:
    """The options of ``arguments.results_option`` and ``arguments.chosen``."""

    results: Path
    dataset: str | None
    class_name: str | None

    def read(self) -> Sequence[Result]:
        """The results of the data set and the classes. Raises the errors of ``store.read_all``."""
        return read(self.results, self.dataset, self.class_name)

    def runs(self, command: str, names: Sequence[str], *, every: bool | None = None) -> list[Result]:
        """The results of the runs that are named, or else of the data set, of the classes, or all.

        Args:
            command: its name, for messages.
            names: runs, as ``find.find_runs`` knows them.
            every: whether ``--all`` is given; None for a command without this option.

        Raises:
            UsageError: nothing is chosen.
            UnknownNameError: no run has a name.
        """
        from ..results.find import find_runs

        if not (names or self.dataset or self.class_name or every):
            wanted = "RUN, -d DATASET or -c CLASS" if every is None else "RUN, -d DATASET, -c CLASS or --all"
            raise UsageError(command, found="no run", wanted=wanted)
        stored = self.read()
        return find_runs(stored, names, self.results) if names else list(stored)

    def names_of(self, shown: Sequence[Result]) -> Names:
        """Names of the variants of some results among all that are stored."""
        from ..results import store
        from ..results.variants import Names

        return Names(store.read_all(self.results).results, shown)


@dataclass(frozen=True, kw_only=True)
class LookedUp(Chosen):
    """The same with those of ``arguments.looked_up``, by which stale results are told from the others."""

    data_roots: Sequence[Path]
    plugin_files: tuple[Path, ...]

    @cached_property
    def registry(self) -> Registry:
        """All plugins, with those of ``--plugin``."""
        return load_plugins(self.plugin_files)

    def standing(self, stored: Sequence[Result]) -> list[Inspected]:
        """The standing of some results."""
        return standing_of(self.results, stored, self.registry, self.data_roots)

    def counting(self, setting: Setting | None = None) -> Sorted:
        """The chosen results that count, of one setting if one is given, and remarks about those that don't.

        Raises:
            ResultError: there is none.
        """
        return without_stale(self.results, of_setting(self.read(), setting), self.registry, self.data_roots)


def read(results: Path, dataset: str | None, class_name: str | None) -> Sequence[Result]:
    """Read stored results, and warn about unreadable ones."""
    from ..results import store

    chosen = "all" if class_name is None else class_name
    names = [None] if chosen.strip() == "all" else [name.strip() for name in chosen.split(",") if name.strip()]
    if not names:
        known = sorted({result.class_name for result in store.read_all(results, dataset=dataset).results})
        raise UsageError(f"--class '{chosen}'", found="no class", wanted="all, or some of " + ", ".join(known))
    if "all" in names and "all" not in {each.class_name for each in store.read_all(results, dataset=dataset).results}:
        if {*names} != {"all"}:
            raise UsageError(f"--class '{chosen}'", found=ALL_BESIDE, wanted="all, or names of classes")
        names = [None]
    libraries = [store.read_all(results, dataset=dataset, class_name=name) for name in dict.fromkeys(names)]
    for problem in dict.fromkeys(problem for library in libraries for problem in library.problems):
        warn(problem)
    return [result for library in libraries for result in library.results]


def of_setting(stored: Sequence[Result], setting: Setting | None) -> Sequence[Result]:
    """The results of one setting, if one is asked for. Raises ``ResultError`` where there is none."""
    known = sorted({result.protocol.setting for result in stored})
    if setting is not None and stored and setting not in known:
        raise ResultError(f"results of --setting {setting}", found=f"those of {', '.join(known)} only")
    return [result for result in stored if setting in (None, result.protocol.setting)]


def standing_of(
    results: Path, stored: Sequence[Result], registry: Registry, data_roots: Sequence[Path]
) -> list[Inspected]:
    """Look up the standing of each result; a line on a terminal shows the class."""
    from ..run.standing import Inspector

    with status_line() as show:
        return Inspector(registry, data_roots, show, results=results).inspect(stored)


def without_stale(results: Path, stored: Sequence[Result], registry: Registry, data_roots: Sequence[Path]) -> Sorted:
    """The results that count, and remarks about those that don't."""
    from ..results import store
    from ..run.standing import sort

    return sort(standing_of(results, stored, registry, data_roots), store.read_all(results).results)
