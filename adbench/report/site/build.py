"""Builds the site: reads the results, makes all pages, and writes them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from ...api.registry import Registry
from ...results.variants import boards
from ...util.text import plural
from ..page.ranks import Ranks
from . import boards as board_parts
from . import folder, library, methods, places, render, runs
from .boards import BoardPart, Linked
from .facets import Facet, Facets
from .library import Library
from .methods import MethodBoard

TITLE = "adbench results"


@dataclass(frozen=True)
class Built:
    """A site that was written.

    Attributes:
        index: its first page.
        runs: stored runs, stale ones included.
        methods: methods with a page.
        boards: by data set and setting.
        bytes: size of all files.
        written: files that are new or changed.
        removed: files of an earlier build that went.
    """

    index: Path
    runs: int
    methods: int
    boards: int
    bytes: int
    written: int
    removed: int


@dataclass(frozen=True)
class Index:
    """The first page; ``overall`` has the mean ranks over data sets of each setting."""

    about: str
    facets: tuple[Facet, ...]
    boards: tuple[BoardPart, ...]
    overall: tuple[tuple[str, Ranks], ...]
    methods: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class AllRuns:
    """The page with the list of all runs."""

    facets: tuple[Facet, ...]
    listed: Linked


def build(
    results: Sequence[Path],
    out: Path,
    *,
    registry: Registry,
    data_roots: Sequence[Path] = (),
    metric: str = "image_auroc",
    title: str = TITLE,
    curves: bool = True,
    show: Callable[[str], None] | None = None,
    warn: Callable[[str], None] | None = None,
) -> Built:
    """Write a static site over results folders. The same results give the same bytes.

    All pages are made before the first one is written. An earlier site in the folder is replaced; other files stay.

    Args:
        results: folders of results.
        out: the site's folder: missing, empty, or an earlier site; hidden files in it don't count.
        registry: finds methods and data sets, for what is stale, for facts and for published numbers.
        data_roots: possible folders of data sets, besides the one where a run found it.
        metric: the field of ``Metrics`` that ranks.
        title: the heading.
        curves: whether the pages of runs have curves.
        show: called with a text about the present work.
        warn: called with a text about each file that can't be used.

    Raises:
        UsageError: the folder has other files.
        ResultError: there are no results that count, or a page can't be written.
    """
    show, warn = show or _ignore, warn or _ignore
    folder.require(out)
    found = library.read(results, registry, data_roots, show, warn)
    pages = _Pages(found, registry, metric, title, curves, show, warn)
    made = pages.all()
    show("writing")
    update = folder.update(out, made)
    size = sum(map(len, made.values())) + (out / folder.MARKER).stat().st_size
    return Built(
        out / places.INDEX, len(found.runs), len(pages.methods), len(pages.boards), size, update.written, update.removed
    )


def _ignore(_: str) -> None:
    pass


class _Pages:
    """Makes the pages of a library."""

    def __init__(
        self, found: Library, registry: Registry, metric: str, title: str, curves: bool, show: Callable[[str], None],
        warn: Callable[[str], None],
    ) -> None:  # fmt: skip
        self.library, self.registry, self.metric, self.title, self.curves = found, registry, metric, title, curves
        self.show, self.warn = show, warn
        by_data = boards(found.counting, names=found.names)
        self.facets = Facets(found, by_data)
        self.methods = sorted({each.result.method for each in found.runs.values()})
        self.boards: list[BoardPart] = []
        self.of_methods: dict[str, list[MethodBoard]] = {name: [] for name in self.methods}
        show("boards")
        for part in board_parts.of_library(found, by_data, self.facets, metric):
            self.boards.append(part)
            for name in dict.fromkeys(run.method for run in part.runs):
                show(f"{part.title}: {name}")
                self.of_methods[name].append(methods.on_board(name, part, found, registry, metric))
            found.confidence.forget()  # a board's histograms at a time, not those of thousands of runs

    def all(self) -> dict[str, bytes]:
        """The content of every file, by its path below the site's folder."""
        site = render.Site(self.title, metadata.version("adbench-suite"))
        made = {places.STYLE: render.style(), places.SCRIPT: render.script()}
        made[places.INDEX] = render.page("index", site, self._index())
        listed = AllRuns(tuple(self.facets.shown()), runs.all_runs(self.library, self.facets))
        made[places.RUNS] = render.page("runs", site, listed)
        for name in self.methods:
            page = methods.of_method(name, self.library, self.of_methods[name], self.registry)
            made[places.method_page(name)] = render.page("method", site, page)
        for each in self.library.runs.values():
            self.show(f"run {each.result.dataset}/{each.result.class_name}/{each.result.method}")
            run = runs.of_run(each, self.library, self.boards, self.registry, curves=self.curves)
            for problem in run.problems:
                self.warn(problem)
            made[places.run_page(each.result)] = render.page("run", site, run)
        return made

    def _about(self) -> str:
        newest = max(each.result.finished for each in self.library.runs.values())[:10]
        stale = len(self.library.runs) - len(self.library.counting)
        parts = [plural(len(self.library.runs), "run"), *([f"{stale} of them stale"] if stale else [])]
        return f"{', '.join(parts)}; the newest of {newest}."

    def _index(self) -> Index:
        return Index(
            self._about(), tuple(self.facets.shown()), tuple(self.boards),
            tuple(board_parts.over_datasets(self.boards, self.metric)),
            tuple((name, places.method_page(name)) for name in self.methods),
        )  # fmt: skip
