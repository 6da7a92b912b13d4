"""The whole page: the content of each section, rendered by the templates into one file."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from ...report import confidence, speeds
from ...results.records import Result
from ...results.variants import Board, Names, boards
from ...run.gallery import Gallery, NoGallery, RunKey, run_key
from ...util import files
from ...util.errors import ResultError, reason
from ..audits import Audits, overview
from ..leaderboard import leaderboard
from ..runs import class_table, run_table
from ..tables import AnyTable
from . import figures, ranks, speed, templates
from .figures import Plots, Shown
from .ranks import Ranks
from .speed import Speed

PAGE = "index.html"

Galleries = Mapping[RunKey, Gallery | NoGallery]


@dataclass(frozen=True)
class ClassSection:
    """One class of a data set; ``key`` has labels with their line styles, ``galleries`` labels with their galleries."""

    anchor: str
    name: str
    opened: bool
    table: AnyTable
    problems: tuple[str, ...]
    key: tuple[tuple[str, int], ...]
    plots: tuple[Plots, ...]
    galleries: tuple[tuple[str, Gallery | NoGallery], ...]


@dataclass(frozen=True)
class BoardSection:
    """One data set: its leaderboard, its ranks over classes, its classes, and its runs at the end of the page."""

    title: str
    dataset: str
    synthetic: bool
    tables: tuple[AnyTable, ...]
    speed: Speed | None
    latency: Speed | None
    ranks: Ranks
    classes: tuple[ClassSection, ...]
    runs: AnyTable


@dataclass(frozen=True)
class Page:
    """The content of the page; ``ranks`` are over data sets, if there are several."""

    about: str
    boards: tuple[BoardSection, ...]
    ranks: Ranks | None
    commands: tuple[str, ...]
    audits: AnyTable


def write(
    results: Sequence[Result],
    folder: Path,
    *,
    stored: Path,
    metric: str = "image_auroc",
    galleries: Galleries | None = None,
    remarks: Mapping[str, Sequence[str]] | None = None,
    names: Names | None = None,
    audits: Audits | None = None,
    watch: Callable[[str], None] | None = None,
    warn: Callable[[str], None] | None = None,
) -> Path:
    """Write the report of some results as ``FOLDER/index.html``.

    Args:
        results: what to show.
        folder: folder of the page; made if missing.
        stored: the folder of all results, with the files beside each.
        metric: the metric that ranks.
        galleries: from ``run.gallery.of_results``; None leaves galleries out.
        remarks: further notes on each data set's runs (``standing.Sorted``).
        names: names of the variants; by default from these results alone.
        audits: what ``adbench check-method`` found of methods (``report.audits.read``).
        watch: called with a text about the present work.
        warn: called with a text about each file that can't be used; its curves are left out.

    Raises:
        ResultError: there is no result, or the page can't be written.
    """
    if not results:
        raise ResultError("there is no result to show", hint="Make one with adbench run, or look at --results")
    page = _Builder(results, stored, metric, galleries, remarks, names, audits or {}, watch or _ignore,
                    warn or _ignore).page()  # fmt: skip
    data = templates.page_html(page).encode("utf-8")
    place = folder / PAGE
    try:
        folder.mkdir(parents=True, exist_ok=True)
        files.sweep(folder)
        files.write(place, lambda stream: stream.write(data))
    except OSError as error:
        hint = "Choose another folder with -o"
        raise ResultError(f"{place} can't be written", found=reason(error), hint=hint) from error
    return place


def _ignore(_: str) -> None:
    pass


class _Builder:
    """Collects the content of the page."""

    def __init__(
        self,
        results: Sequence[Result],
        stored: Path,
        metric: str,
        galleries: Galleries | None,
        remarks: Mapping[str, Sequence[str]] | None,
        names: Names | None,
        audits: Audits,
        watch: Callable[[str], None],
        warn: Callable[[str], None],
    ) -> None:
        self.results, self.stored, self.metric = results, stored, metric
        self.galleries, self.remarks, self.names = galleries or {}, remarks, names
        self.audits, self.watch, self.warn = audits, watch, warn

    def page(self) -> Page:
        newest = max(result.finished for result in self.results)[:10]
        found = boards(self.results, self.remarks, self.names)
        return Page(
            f"{len(self.results)} runs, the newest of {newest}; adbench {metadata.version('adbench-suite')}.",
            tuple(self._board(number, board) for number, board in enumerate(found)),
            ranks.of_boards(found, self.metric, "datasets") if len(found) > 1 else None,
            tuple(dict.fromkeys(result.command for result in self.results if result.command)),
            overview(self.audits, sorted({result.method for result in self.results})),
        )

    def _board(self, number: int, board: Board) -> BoardSection:
        runs = [result for result in self.results if board.holds(result)]
        sure = confidence.stored(self.stored, _ignore)  # the section of the class reports a broken file
        tables = leaderboard(
            runs, metric=self.metric, confidence=sure, remarks=self.remarks, names=self.names,
            latencies=speeds.stored(self.stored, runs, self.warn),
        )  # fmt: skip
        ranked = [str(label) for table in tables for label in table.column("variant")]
        styles = {label: style for style, label in enumerate(dict.fromkeys(ranked))}
        names = dict.fromkeys(name for variant in board.variants for name in variant.runs)
        classes = [self._class(f"c{number}-{place}", board, name, styles) for place, name in enumerate(names)]
        every_run = [(variant.label, run) for variant in board.variants for run in variant.all_runs]
        return BoardSection(
            board.title, board.name, board.synthetic, tuple(tables), speed.throughput(tables, self.metric),
            speed.latency(tables, self.metric), ranks.of_boards([board], self.metric, "classes"), tuple(classes),
            run_table(board, every_run),
        )  # fmt: skip

    def _class(self, anchor: str, board: Board, name: str, styles: Mapping[str, int]) -> ClassSection:
        self.watch(f"{board.dataset}/{name}")
        shown = [
            figures.read(variant.label, styles.get(variant.label, len(styles)), run, self.stored)
            for variant in board.variants
            for run in variant.runs.get(name, ())[:1]
        ]
        shown.sort(key=lambda each: each.style)
        problems = tuple(problem for each in shown for problem in each.problems)
        for problem in problems:
            self.warn(problem)
        return ClassSection(
            anchor=anchor,
            name=name,
            opened=anchor.endswith("-0"),
            table=class_table(board, name, self.metric),
            problems=problems,
            key=tuple((each.label, each.style) for each in shown),
            plots=figures.class_plots(shown),
            galleries=tuple(self._galleries(shown)),
        )

    def _galleries(self, shown: Iterable[Shown]) -> Iterable[tuple[str, Gallery | NoGallery]]:
        for each in shown:
            found = self.galleries.get(run_key(each.run))
            if found is not None and each.scores:  # without scores, a problem says why
                yield each.label, found
