"""The charts of a class: scores of its runs, curves over thresholds, and training."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np

from ...api.scores import MAIN_METRICS, Threshold
from ...metrics.curves import curve_of
from ...metrics.metrics import AUPRO_LIMIT
from ...results import run_files
from ...results.image_scores import ImageScore
from ...results.records import EpochRecord, Result
from ...results.store import RunFolder
from ...results.variants import TITLES
from ...util.errors import ResultError
from . import charts
from .charts import Axis, Chart, Mark, Point, Series

R = TypeVar("R")


@dataclass(frozen=True)
class PixelCurves:
    """Curves over all pixels of a run's test set, each from left to right.

    ``roc`` (false-positive rate, true-positive rate), ``pro`` (false-positive rate, mean overlap of the
    regions), ``pr`` (recall, precision).
    """

    roc: Sequence[Point]
    pro: Sequence[Point]
    pr: Sequence[Point]


@dataclass(frozen=True)
class Shown:
    """One variant's run on one class, with its label, its line style, and the files beside its result.

    Unusable parts are empty; ``problems`` gives the reasons.
    """

    label: str
    style: int
    run: Result
    scores: tuple[ImageScore, ...] = ()
    epochs: tuple[EpochRecord, ...] = ()
    pixels: PixelCurves | None = None
    problems: tuple[str, ...] = ()


@dataclass(frozen=True)
class Figure:
    """A chart with its title."""

    title: str
    chart: Chart
    note: str = ""


@dataclass(frozen=True)
class Plots:
    """Charts of one group, with notes."""

    title: str
    figures: tuple[Figure, ...]
    notes: tuple[str, ...] = ()


def read(label: str, style: int, run: Result, results: Path) -> Shown:
    """Read the files beside a result in the folder ``results``."""
    problems: list[str] = []

    def part(reader: Callable[[RunFolder, Result], R]) -> R | None:
        try:
            return reader(run_files.folder_of(results, run), run)
        except ResultError as error:
            problems.append(str(error))
            return None

    scores, epochs = part(run_files.read_scores) or (), part(run_files.read_epochs) or ()
    return Shown(label, style, run, scores, epochs, part(_pixel_curves), tuple(problems))


def _pixel_curves(folder: RunFolder, run: Result) -> PixelCurves | None:
    histograms = run_files.read_histograms(folder, run)
    if histograms is None or not (roc := histograms.roc()):
        return None
    return PixelCurves(roc, histograms.pro(), histograms.precision_recall())


def class_plots(shown: Sequence[Shown]) -> tuple[Plots, ...]:
    """All charts of a class."""
    return image_plots(shown), pixel_plots(shown), training_plots(shown)


# ---------------------------------------------------------------- images


def image_plots(shown: Sequence[Shown]) -> Plots:
    """ROC and precision-recall over images, and a histogram of each variant's scores."""
    roc, recall = [], []
    for each in shown:
        found = curve_points(each.scores)
        if found is not None:
            roc.append(Series(each.label, found[0], each.style))
            recall.append(Series(each.label, found[1], each.style))
    histograms = [_histogram(each) for each in shown if each.scores]
    curves = _rate_figures("images", roc, recall) if roc else []
    notes = []
    if not histograms:
        notes.append("No curves over images: no run has scores that can be used.")
    elif not curves:
        notes.append("No curves over images: the test set has one kind only.")
    return Plots("Images", (*curves, *histograms), tuple(notes))


def curve_points(scores: Sequence[ImageScore]) -> tuple[list[Point], list[Point]] | None:
    """The ROC (false alarms, hits) and the precision-recall curve, through every threshold.

    None unless there are both good and defective images.
    """
    positions = np.array([number for number, each in enumerate(scores) if each.label], np.int64)
    curve = curve_of(np.array([each.score for each in scores]), positions)
    if curve is None:
        return None
    bad = int(curve.hits[-1])
    roc: list[Point] = [(0.0, 0.0)]
    before = 0
    for hits, above, alarms in zip(curve.hits.tolist(), curve.above.tolist(), curve.alarms.tolist(), strict=True):
        roc += [(above / curve.good, before / bad), (alarms / curve.good, hits / bad)]
        before = hits
    roc.append((1.0, 1.0))
    precision = curve.hits / (curve.hits + curve.alarms)
    recall = [(float(a), float(b)) for a, b in zip(curve.hits / bad, precision, strict=True)]
    return roc, [(0.0, recall[0][1]), *recall]


def _rate_figures(of: str, roc: Sequence[Series], recall: Sequence[Series]) -> list[Figure]:
    rates = Axis("false-positive rate"), Axis("true-positive rate")
    title = "Precision and recall"
    return [
        Figure("ROC", charts.line_chart(f"ROC over {of}", roc, *rates, chance=True)),
        Figure(title, charts.line_chart(f"{title} over {of}", recall, Axis("recall"), Axis("precision"))),
    ]


def _histogram(each: Shown) -> Figure:
    good, bad = ([one.score for one in each.scores if bool(one.label) is kind] for kind in (False, True))
    threshold = each.run.threshold
    line = None
    if threshold is not None and math.isfinite(threshold.value):
        line = (threshold.value, threshold_text(threshold))
    chart = charts.histogram(each.label, good, bad, line=line)
    return Figure(f"Scores: {each.label}", chart, f"Dotted: {line[1]}." if line else "")


def threshold_text(threshold: Threshold) -> str:
    """Describe a threshold and its effect on the test set."""
    rates = ((threshold.false_alarm_rate, "of the good images above it"), (threshold.miss_rate, "of defects missed"))
    parts = [f"{100 * rate:.1f} % {what}" for rate, what in rates if rate is not None]
    return ", ".join([f"threshold {threshold.value:.4g}", *parts])


# ---------------------------------------------------------------- pixels


def pixel_plots(shown: Sequence[Shown]) -> Plots:
    """ROC, PRO and precision-recall over pixels, for the variants that have them."""
    having = [(each, each.pixels) for each in shown if each.pixels is not None]
    if not having:
        return Plots("Pixels", (), ("No curves over pixels: the runs have none stored beside them.",))
    roc, pro, recall = (
        [Series(each.label, getattr(curves, name), each.style) for each, curves in having]
        for name in ("roc", "pro", "pr")
    )
    axes = Axis("false-positive rate", 0, AUPRO_LIMIT), Axis("mean overlap of regions")
    inside = [Series(each.name, up_to(each.points, AUPRO_LIMIT), each.style) for each in pro]
    overlap = Figure("PRO", charts.line_chart("Per-region overlap", inside, *axes))
    missing = [each.label for each in shown if each.pixels is None]
    notes = (f"Without curves over pixels: {', '.join(missing)}.",) if missing else ()
    return Plots("Pixels", (*_rate_figures("pixels", roc, recall), overlap), notes)


def up_to(points: Sequence[Point], limit: float) -> list[Point]:
    """The part of a curve up to ``limit``."""
    inside = [point for point in points if point[0] <= limit]
    beyond = next((point for point in points if point[0] > limit), None)
    if beyond is not None and inside:
        (x0, y0), (x1, y1) = inside[-1], beyond
        inside.append((limit, y0 + (y1 - y0) * (limit - x0) / (x1 - x0)))
    return inside


# ---------------------------------------------------------------- training


def training_plots(shown: Sequence[Shown]) -> Plots:
    """The metrics by epoch, with last epoch and oracle marked, and each variant's loss."""
    trained = [each for each in shown if len([record for record in each.epochs if record.metrics]) > 1]
    others = [each.label for each in shown if each not in trained]
    if not trained:
        return Plots("Training", (), ("No epoch curves: no run was evaluated more than once.",))
    note = "● last epoch, which counts; ◇ oracle: the best epoch on the test set, which doesn't."
    note += f" Evaluated once, so without a curve: {', '.join(others)}." if others else ""
    metrics = [
        _metric_figure(name, trained) for name in MAIN_METRICS if any(_metric_points(each, name) for each in trained)
    ]
    losses = [_loss_figure(each) for each in trained if len(_loss_points(each)) > 1]
    return Plots("Training", (*metrics, *losses), (note,))


def _metric_points(each: Shown, name: str) -> list[Point]:
    values = [(record.number, getattr(record.metrics, name)) for record in each.epochs if record.metrics]
    return [(float(number), 100 * value) for number, value in values if value is not None]


def _loss_points(each: Shown) -> list[Point]:
    return [(float(record.number), record.loss) for record in each.epochs if record.loss is not None]


def _metric_figure(name: str, trained: Sequence[Shown]) -> Figure:
    series, marks = [], []
    for each in trained:
        points = _metric_points(each, name)
        if not points:
            continue
        series.append(Series(each.label, points, each.style))
        marks += [
            Mark((float(best.epoch), 100 * best.value),
                 f"{each.label}: oracle {100 * best.value:.2f} at epoch {best.epoch}", each.style, "oracle")
            for best in each.run.oracle
            if best.metric == name and math.isfinite(best.value)
        ]  # fmt: skip
        number, value = points[-1]
        marks.append(Mark(points[-1], f"{each.label}: last {value:.2f} at epoch {number:g}", each.style, "last"))
    points = [point for each in series for point in each.points] + [mark.point for mark in marks]
    y = charts.percent_axis(f"{TITLES[name]}, %", [value for _, value in points], 102.0)
    return Figure(TITLES[name], charts.line_chart(f"{TITLES[name]} by epoch", series, _epochs(points), y, marks=marks))


def _loss_figure(each: Shown) -> Figure:
    points = _loss_points(each)
    values = [value for _, value in points]
    steep = min(values) > 0 and max(values) / min(values) > 20
    low, high = (min(values) / 1.2, max(values) * 1.2) if steep else charts.padded(values)
    y = Axis("loss (log)" if steep else "loss", low, high, log=steep)
    title = f"Loss of {each.label}"
    return Figure(
        title, charts.line_chart(f"{title} by epoch", [Series(each.label, points, each.style)], _epochs(points), y)
    )


def _epochs(points: Sequence[Point]) -> Axis:
    last = max(number for number, _ in points)
    return Axis("epoch", 0, last * 1.03, whole=True)
