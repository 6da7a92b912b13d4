"""The list of all runs, and the page of each: metrics, options, protocol, environment, command and curves."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ...api.options import option_text
from ...api.registry import Registry
from ...results.records import Best, Result
from ...results.variants import TITLES
from .. import show, speeds
from ..oracle import NOTE as ORACLE_NOTE
from ..page import figures, templates
from ..page.figures import Figure
from ..runs import list_runs
from ..tables import AnyTable, Column, Table
from . import places
from .boards import About, BoardPart, Linked
from .facets import Facets
from .library import Library, Stored, setting_of

CURVES_AT_MOST, CURVES_OF_ALL = 60_000, 8_000_000
"""Bytes of charts on one page, and on all of them: 1,000 runs stay below 20 MB with everything else."""

AROUND = 300
"""Bytes around a chart on its page."""

FIRST = ("ROC", "Scores", "PRO", "image AUROC", "pixel AUROC", "loss")
"""Charts that a page keeps before the others, by their titles."""


@dataclass(frozen=True)
class RunPage:
    """All about one stored run.

    Attributes:
        variant: its variant's name.
        where: data set, class, setting and seed.
        method: its name.
        method_href: the page of its method, below the site's folder.
        board_href: its board; empty for a run that doesn't count.
        stale: why it doesn't count; empty if it does.
        metrics: of the last epoch.
        facts: labels and texts.
        command: what made it.
        preset: its name.
        options: all of them: name, value, and whether the user changed it.
        oracle: the best epochs on the test set.
        speeds: what was measured.
        charts: curves and histograms, each with its group.
        notes: about the charts.
        problems: of files that can't be used.
    """

    variant: str
    where: str
    method: str
    method_href: str
    board_href: str
    stale: str
    metrics: AnyTable
    facts: tuple[tuple[str, str], ...]
    command: str
    preset: str
    options: tuple[tuple[str, str, bool], ...]
    oracle: AnyTable | None
    speeds: tuple[AnyTable, ...]
    charts: tuple[tuple[str, Figure], ...]
    notes: tuple[str, ...]
    problems: tuple[str, ...]


def all_runs(library: Library, facets: Facets) -> Linked:
    """A table of all runs, stale ones included, with a link to the page of each."""
    runs = list(library.runs.values())
    table = list_runs([each.result for each in runs], [each.standing for each in runs], library.names)
    about = [About("variant", places.run_page(each.result), facets=facets.of([each])) for each in runs]
    return Linked(table, tuple(about))


def of_run(each: Stored, library: Library, parts: Iterable[BoardPart], registry: Registry, *, curves: bool) -> RunPage:
    """Gather the page of a run.

    Args:
        each: the run.
        library: all runs.
        parts: all boards.
        registry: finds its method, for the values of its preset.
        curves: whether to read the files beside it and draw them.
    """
    run = each.result
    variant = library.names.of(run)
    shown = show.of_run([run], [each.standing], each.results, registry, variant)
    facts = [(label, text) for label, text in show.facts(shown) if label not in ("folder", "command")]
    part = next((part for part in parts if any(one is run for one in part.runs)), None)
    charts, notes, problems = _charts(each, variant, len(library.runs)) if curves else ([], [], ())
    return RunPage(
        variant,
        f"{run.dataset}/{run.class_name}, {setting_of(run)}, seed {run.seed}",
        run.method,
        places.method_page(run.method),
        f"{places.INDEX}#{part.anchor}" if part else "",
        each.standing.reason if each.standing.state == "stale" else "",
        show.metrics_table(shown),
        (("run", run.run), *facts),
        run.command,
        run.preset,
        tuple((key, option_text(key, run.options[key]), key in run.overrides) for key in sorted(run.options)),
        _oracle(run),
        tuple(speeds.table(speed) for speed in library.speeds_of(run)),
        tuple(charts),
        tuple(notes),
        problems,
    )


def _oracle(run: Result) -> Table[Best] | None:
    if not run.oracle:
        return None
    columns: tuple[Column[Best], ...] = (
        Column("metric", "metric", lambda best: TITLES.get(best.metric, best.metric), role="key"),
        Column("value", "oracle", lambda best: best.value, "percent"),
        Column("epoch", "epoch", lambda best: best.epoch, "count"),
    )
    of = f", of {run.evaluations} evaluated" if run.evaluations else ""
    return Table(f"The best epoch on the test set{of} (%)", columns, run.oracle, (ORACLE_NOTE,))


# ---------------------------------------------------------------- charts


def _charts(each: Stored, variant: str, runs: int) -> tuple[list[tuple[str, Figure]], list[str], tuple[str, ...]]:
    """The charts for which the page has room, notes on those that are missing, and problems of files."""
    read = figures.read(variant, 0, each.result, each.results)
    plots = figures.class_plots([read])
    found = [(group.title, figure) for group in plots for figure in group.figures]
    room = room_of(runs)
    kept = set()
    for number in sorted(range(len(found)), key=lambda number: _priority(found, number)):
        size = len(templates.chart_svg(found[number][1].chart).encode()) + AROUND
        if size <= room:
            room -= size
            kept.add(number)
    notes = [note for group in plots for note in group.notes]
    if len(kept) < len(found):
        names = ", ".join(f"{group}: {figure.title}" for number, (group, figure) in enumerate(found)
                          if number not in kept)  # fmt: skip
        notes.append(f"Left out, to keep the site small: {names}.")
    return [chart for number, chart in enumerate(found) if number in kept], notes, read.problems


def room_of(runs: int) -> int:
    """Bytes of the charts on each page; the same for many numbers of runs, so that one more run changes no page."""
    return min(CURVES_AT_MOST, CURVES_OF_ALL // (1 << (runs - 1).bit_length()))


def _priority(found: Sequence[tuple[str, Figure]], number: int) -> tuple[int, int]:
    title = found[number][1].title
    return next((place for place, start in enumerate(FIRST) if title.startswith(start)), len(FIRST)), number
