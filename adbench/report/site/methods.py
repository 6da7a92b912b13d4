"""The page of a method: its numbers by data set and class, the gaps to its paper, and its measured speeds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ...api.data import size_text
from ...api.registry import Registry
from ...api.scores import MAIN_METRICS, METRIC_NAMES
from ...results.records import Result, variant_name
from ...results.speeds import Speed
from ...results.variants import Variant
from ...util.threads import threads_text
from .. import audits
from ..compare import MANY, compare
from ..leaderboard import leaderboard
from ..published import numbers_of
from ..tables import AnyTable, Column, Table
from . import places
from .boards import About, BoardPart, Linked, variant_anchor
from .library import Library

OPENED = 3
"""Variants of a board whose tables are open at first."""


@dataclass(frozen=True)
class VariantPart:
    """A variant on one board: its classes, whose rows link to the runs."""

    anchor: str
    label: str
    opened: bool
    classes: Linked


@dataclass(frozen=True)
class MethodBoard:
    """A method on one board, and the gaps to the numbers that its authors report."""

    title: str
    href: str
    variants: tuple[VariantPart, ...]
    gaps: tuple[AnyTable, ...]
    note: str


@dataclass(frozen=True)
class MethodPage:
    """All about a method.

    ``packages`` are the distributions that its runs come from, ``audit`` says what ``adbench check-method`` found, and
    ``checks`` are those of the first audit.
    """

    name: str
    summary: str
    paper: str
    packages: tuple[str, ...]
    boards: tuple[MethodBoard, ...]
    speeds: AnyTable | None
    audit: str
    checks: AnyTable | None


def of_method(name: str, library: Library, boards: Sequence[MethodBoard], registry: Registry) -> MethodPage:
    """Gather the page of a method.

    Args:
        name: the method's name.
        library: all runs.
        boards: those that have it.
        registry: finds the method's facts, if it is at hand.
    """
    method = registry.methods.get(name)
    own = [each.result for each in library.runs.values() if each.result.method == name]
    return MethodPage(
        name,
        method.summary if method else "",
        method.paper if method else "",
        tuple(sorted({run.method_package for run in own})),
        tuple(boards),
        _speed_table(library, own),
        audits.line(library.audits, name),
        audits.checks(library.audits, name),
    )


def on_board(name: str, part: BoardPart, library: Library, registry: Registry, metric: str) -> MethodBoard:
    """A method on one board, class by class and beside its paper.

    Args:
        name: the method's name.
        part: a board that has it.
        library: all runs.
        registry: finds its published numbers, if it is at hand.
        metric: the field of ``Metrics`` that ranks.
    """
    runs = [run for run in part.runs if run.method == name]
    variants = [variant for variant in part.whole.variants if variant.method == name]
    tables = leaderboard(
        runs, metric=metric, by_class=True, confidence=library.confidence, names=library.names,
        latencies=library.latencies,
    )  # fmt: skip
    by_label = {str(table.column("variant")[0]): table for table in tables}
    shown = [
        VariantPart(
            variant_anchor(part.dataset, part.setting, variant), variant.label, number < OPENED,
            Linked(by_label[variant.label], tuple(_runs(variant, str(each)) for each in
                                                  by_label[variant.label].column("class"))),
        )
        for number, variant in enumerate(variants)
        if variant.label in by_label
    ]  # fmt: skip
    gaps, note = _gaps(name, part, variants, library, registry)
    return MethodBoard(part.title, f"{places.INDEX}#{part.anchor}", tuple(shown), tuple(gaps), note)


def _runs(variant: Variant, class_name: str) -> About:
    """Links to the runs of a class, one for each seed."""
    runs = sorted(variant.runs[class_name], key=lambda run: run.seed)
    return About("class", more=tuple((f"seed {run.seed}", places.run_page(run)) for run in runs))


# ---------------------------------------------------------------- beside the paper


def _gaps(
    name: str, part: BoardPart, variants: Sequence[Variant], library: Library, registry: Registry
) -> tuple[list[AnyTable], str]:
    """Tables with the published numbers and the gaps to ours, for at most ``MANY`` variants: the paper's set-up first.

    A note says where there are none, and which variants are left out.
    """
    method = registry.methods.get(name)
    if method is None:
        return [], "Its published numbers are not at hand where this site was built: the method is not installed there."
    first = part.runs[0].protocol
    metrics = [
        metric
        for metric in (*MAIN_METRICS, *METRIC_NAMES)
        if numbers_of(method.published, part.whole.dataset, metric, first.setting, first.shots)
    ]
    if not metrics:
        return [], f"adbench ships no published numbers of {name} for this data set and setting."
    usual = sorted(variants, key=lambda each: each.label != variant_name(name, "paper", {}, first.setting_words))
    chosen = [run for variant in usual[:MANY] for run in variant.all_runs]
    tables = compare(
        chosen, [name], metrics=list(dict.fromkeys(metrics)), vs_published={name: method.published},
        called=library.names,
    )  # fmt: skip
    left_out = ", ".join(variant.label for variant in usual[MANY:])
    return tables, f"Without a gap here: {left_out}." if left_out else ""


# ---------------------------------------------------------------- speed


@dataclass(frozen=True)
class _Measured:
    """One measurement by ``adbench speed``."""

    variant: str
    run: Result
    speed: Speed


def _speed_table(library: Library, runs: Sequence[Result]) -> Table[_Measured] | None:
    """What ``adbench speed`` measured at each run's own size; None if nothing was measured."""
    rows = [_Measured(library.names.of(run), run, speed) for run in runs for speed in library.speeds_of(run)]
    rows = [row for row in rows if row.speed.latency() is not None]
    if not rows:
        return None

    def best(row: _Measured) -> float | None:
        return next((each.images_per_second for each in row.speed.best if each.size == row.speed.own_size), None)

    def p95(row: _Measured) -> float | None:
        return next((1000 * each.p95 for each in row.speed.single if each.size == row.speed.own_size), None)

    columns: tuple[Column[_Measured], ...] = (
        Column("variant", "variant", lambda row: row.variant, role="key"),
        Column("where", "class", lambda row: f"{row.run.dataset}/{row.run.class_name}, seed {row.run.seed}"),
        Column("median_ms", "median ms", lambda row: 1000 * (row.speed.latency() or 0.0), "seconds", role="main"),
        Column("p95_ms", "P95 ms", p95, "seconds"),
        Column("images_per_second", "images/s", best, "rate"),
        Column("size", "size", lambda row: size_text(row.speed.own_size)),
        Column("device", "device", lambda row: _device(row.speed)),
        Column("precision", "precision", lambda row: "fp32" if row.speed.precision == "off" else row.speed.precision),
        Column("program", "program", lambda row: row.speed.program),
    )
    notes = (
        "median and P95: of one image, from the decoded image to the map on the host; images/s: of the best batch "
        "(adbench speed).",
    )
    return Table("Measured speed, at the size of each run", columns, tuple(rows), notes)


def _device(speed: Speed) -> str:
    return ", ".join([speed.device_name, *([threads_text(speed.threads)] if speed.device == "cpu" else [])])
