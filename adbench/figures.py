"""The charts of a class: what its runs scored, how well that ranks, and how training went."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from . import charts, run_files
from .charts import Axis, Mark, Point, Series
from .curves import curve_of
from .errors import ResultError
from .markup import Html, breakable, join, tag
from .metrics import AUPRO_LIMIT
from .store import ImageScore, RunFolder
from .types import MAIN_METRICS, EpochRecord, Result, Threshold
from .variants import TITLES


@dataclass(frozen=True)
class Shown:
    """One variant's run on one class, as the page shows it: with its label and its style of line."""

    label: str
    style: int
    run: Result
    folder: RunFolder
    scores: tuple[ImageScore, ...]
    epochs: tuple[EpochRecord, ...]


@dataclass(frozen=True)
class PixelCurves:
    """Curves over all pixels of a run's test set, each from left to right.

    ``roc`` (false-positive rate, true-positive rate), ``pro`` (false-positive rate, mean overlap of the
    regions), ``pr`` (recall, precision).
    """

    roc: Sequence[Point]
    pro: Sequence[Point]
    pr: Sequence[Point]


def pixel_curves(folder: RunFolder, result: Result) -> PixelCurves | None:
    """The pixel curves stored beside a result; None where none are. Raises ``ResultError`` for a broken file."""
    evidence = run_files.read_evidence(folder, result)
    if evidence is None or not (roc := evidence.roc()):
        return None
    return PixelCurves(roc, evidence.pro(), evidence.precision_recall())


def figure(title: str, *body: Html, note: str = "") -> Html:
    """A chart under its title."""
    notes = [tag("p", {"class": "note"}, note)] if note else []
    return tag("figure", {"class": "plot"}, tag("figcaption", None, breakable(title)), *body, *notes)


def key(shown: Sequence[Shown]) -> Html:
    """The legend of a class's charts."""
    return charts.legend([(each.style, each.label) for each in shown])


# ---------------------------------------------------------------- pictures


def picture_charts(shown: Sequence[Shown]) -> Html:
    """ROC and precision-recall over the pictures; a sentence where a class has pictures of one kind only."""
    roc, recall = [], []
    for each in shown:
        found = curve_points(each.scores)
        if found is not None:
            roc.append(Series(each.label, found[0], each.style))
            recall.append(Series(each.label, found[1], each.style))
    if not roc:
        return tag("p", {"class": "note"}, "No curves over pictures: the test set has one kind only.")
    return _curves_figures("Pictures", roc, recall)


def curve_points(scores: Sequence[ImageScore]) -> tuple[list[Point], list[Point]] | None:
    """The ROC (false alarms, hits) and the precision-recall curve, through every threshold.

    None unless there are both good and defective pictures.
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


def _curves_figures(kind: str, roc: Sequence[Series], recall: Sequence[Series]) -> Html:
    rates = Axis("false-positive rate"), Axis("true-positive rate")
    return join(
        figure("ROC", charts.line_chart(f"ROC over {kind.lower()}", roc, *rates, chance=True)),
        figure(
            "Precision and recall",
            charts.line_chart(f"Precision and recall over {kind.lower()}", recall, Axis("recall"), Axis("precision")),
        ),
    )


def histograms(shown: Sequence[Shown]) -> Html:
    """A histogram of the scores for each variant, with the threshold that its run suggests."""
    return join(*(_histogram(each) for each in shown if each.scores))


def _histogram(each: Shown) -> Html:
    threshold = each.run.threshold
    line = None if threshold is None else (threshold.value, threshold_text(threshold))
    chart = charts.histogram(each.label, *_by_kind(each.scores), line=line)
    return figure(f"Scores: {each.label}", chart, note=f"Dotted: {line[1]}." if line else "")


def threshold_text(threshold: Threshold) -> str:
    """A threshold and what it does to the test set, for people."""
    rates = ((threshold.false_alarm_rate, "of the good pictures above it"), (threshold.miss_rate, "of defects missed"))
    parts = [f"{100 * rate:.1f} % {what}" for rate, what in rates if rate is not None]
    return ", ".join([f"threshold {threshold.value:.4g}", *parts])


def _by_kind(scores: Sequence[ImageScore]) -> tuple[list[float], list[float]]:
    good, bad = ([each.score for each in scores if bool(each.label) is kind] for kind in (False, True))
    return good, bad


# ---------------------------------------------------------------- pixels


def pixel_charts(shown: Sequence[Shown]) -> Html:
    """ROC, PRO and precision-recall over the pixels, of the variants that have them."""
    found: list[tuple[Shown, PixelCurves]] = []
    broken = []
    for each in shown:
        try:
            curves = pixel_curves(each.folder, each.run)
        except ResultError as error:
            broken.append(tag("p", {"class": "note"}, str(error)))
            continue
        if curves is not None:
            found.append((each, curves))
    if not found:
        return join(
            tag("p", {"class": "note"}, "No curves over pixels: the runs have none stored beside them."), *broken
        )
    roc, pro, recall = (
        [Series(each.label, getattr(curves, name), each.style) for each, curves in found]
        for name in ("roc", "pro", "pr")
    )
    axes = Axis("false-positive rate", 0, AUPRO_LIMIT), Axis("mean overlap of regions")
    inside = [Series(each.name, _up_to(each.points, AUPRO_LIMIT), each.style) for each in pro]
    missing = [each.label for each in shown if each not in [having for having, _ in found]]
    note = f"Without curves over pixels: {', '.join(missing)}." if missing else ""
    return join(
        _curves_figures("Pixels", roc, recall),
        figure("PRO", charts.line_chart("Per-region overlap", inside, *axes), note=note),
        *broken,
    )


def _up_to(points: Sequence[Point], limit: float) -> list[Point]:
    """The part of a curve left of ``limit``, cut there."""
    inside = [point for point in points if point[0] <= limit]
    beyond = next((point for point in points if point[0] > limit), None)
    if beyond is not None and inside:
        (x0, y0), (x1, y1) = inside[-1], beyond
        inside.append((limit, y0 + (y1 - y0) * (limit - x0) / (x1 - x0)))
    return inside


# ---------------------------------------------------------------- training


def epoch_charts(shown: Sequence[Shown]) -> Html:
    """The epoch curves of the metrics, with last epoch and oracle marked, and of each variant's loss."""
    trained = [each for each in shown if len([record for record in each.epochs if record.metrics]) > 1]
    others = [each.label for each in shown if each not in trained]
    if not trained:
        return tag("p", {"class": "note"}, "No epoch curves: no run was evaluated more than once.")
    note = "● last epoch, which counts; ◇ oracle: the best epoch on the test set, which doesn't."
    note += f" Evaluated once, so without a curve: {', '.join(others)}." if others else ""
    return join(
        *(_metric_chart(name, trained) for name in MAIN_METRICS if any(_metric_points(each, name) for each in trained)),
        *(_loss_chart(each) for each in trained if len(_loss_points(each)) > 1),
        tag("p", {"class": "note"}, note),
    )


def _metric_points(each: Shown, name: str) -> list[Point]:
    values = [(record.number, getattr(record.metrics, name)) for record in each.epochs if record.metrics]
    return [(float(number), 100 * value) for number, value in values if value is not None]


def _loss_points(each: Shown) -> list[Point]:
    return [(float(record.number), record.loss) for record in each.epochs if record.loss is not None]


def _metric_chart(name: str, trained: Sequence[Shown]) -> Html:
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
            if best.metric == name
        ]  # fmt: skip
        number, value = points[-1]
        marks.append(Mark(points[-1], f"{each.label}: last {value:.2f} at epoch {number:g}", each.style, "last"))
    points = [point for each in series for point in each.points] + [mark.point for mark in marks]
    low, high = charts.padded(value for _, value in points)
    y = Axis(f"{TITLES[name]}, %", max(0.0, low), min(102.0, high))
    return figure(TITLES[name], charts.line_chart(f"{TITLES[name]} by epoch", series, _epochs(points), y, marks=marks))


def _loss_chart(each: Shown) -> Html:
    points = _loss_points(each)
    values = [value for _, value in points]
    steep = min(values) > 0 and max(values) / min(values) > 20
    low, high = (min(values) / 1.2, max(values) * 1.2) if steep else charts.padded(values)
    y = Axis("loss (log)" if steep else "loss", low, high, log=steep)
    line = charts.line_chart(
        f"Loss of {each.label} by epoch", [Series(each.label, points, each.style)], _epochs(points), y
    )
    return figure(f"Loss of {each.label}", line)


def _epochs(points: Sequence[Point]) -> Axis:
    last = max(number for number, _ in points)
    return Axis("epoch", 0, last * 1.03, whole=True)
