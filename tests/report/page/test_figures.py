"""The figures of a page: curves, histograms and what is marked in them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from made_results import make_result
from pages import SCORES, Reader, put, record, shown, write

from adbench.api.scores import Threshold
from adbench.report.page import figures, templates
from adbench.report.page.figures import PixelCurves
from adbench.report.runs import class_table
from adbench.results.store import ImageScore
from adbench.results.variants import boards


def test_the_drawn_roc_has_the_area_that_the_metric_says():
    """Curves over images pass through every threshold, including ties."""
    from sklearn.metrics import average_precision_score, roc_auc_score

    draw = np.random.default_rng(0)
    labels = draw.integers(0, 2, 60)
    values = draw.integers(0, 12, 60) + 3 * labels
    scores = [ImageScore("", int(label), "", float(value)) for label, value in zip(labels, values, strict=True)]
    roc, recall = figures.curve_points(scores)
    x, y = np.array(roc).T
    area = float(np.sum(np.diff(x) * (y[1:] + y[:-1]) / 2))
    assert area == pytest.approx(roc_auc_score(labels, values))
    a, p = np.array(recall).T
    assert float(np.sum(np.diff(a) * p[1:])) == pytest.approx(average_precision_score(labels, values))
    assert figures.curve_points([each for each in scores if each.label]) is None


def drawn(plots: figures.Plots) -> Reader:
    """All charts of a group as SVG, with its notes."""
    return Reader("".join(map(templates.chart_svg, (each.chart for each in plots.figures))) + " ".join(plots.notes))


def test_the_epoch_curve_marks_the_last_epoch_and_the_oracle():
    """A dot marks the end of the line, a diamond the best epoch; metrics that weren't measured have nothing."""
    epochs = (record(1, 0.5, 900.0), record(2, 0.97, 30.0), record(3, None, 4.0), record(4, 0.9, 3.0))
    read = drawn(figures.training_plots([shown(epochs=epochs)]))
    assert len(read.all("path", "oracle")) == len(read.all("g", "last")) == 1
    assert "oracle 97.00 at epoch 2" in read.text
    assert "last 90.00 at epoch 4" in read.text
    assert len(read.all("svg", "chart")) == 2  # image AUROC and loss
    assert "loss (log)" in read.text
    once = figures.training_plots([shown(epochs=epochs[:1])])
    assert "No epoch curves" in once.notes[0]


def test_pixel_curves_are_drawn_where_a_run_has_them():
    """There are three charts with the PRO curve cut at its limit; a run without them is named."""
    line = [(0.0, 0.0), (0.2, 0.5), (0.4, 0.7), (1.0, 1.0)]
    having = replace(shown(), pixels=PixelCurves(line, line, line))
    read = drawn(figures.pixel_plots([having, replace(shown(), label="other")]))
    assert len(read.all("svg", "chart")) == 3
    assert "Without curves over pixels: other." in read.text
    assert figures.up_to(line, 0.3)[-1] == pytest.approx((0.3, 0.6))


def test_a_threshold_stands_in_the_table_and_in_the_histogram(tmp_path):
    """Its value, rule and both rates are there; a run without one has empty cells, and without any no columns."""
    threshold = Threshold(0.55, "mean + 3 sd of 20 training scores", 0.4, 0.25)
    having = replace(make_result(), threshold=threshold)
    lacking = make_result("padim")
    having, lacking = (put(tmp_path, result, SCORES) for result in (having, lacking))
    read = write(tmp_path, tmp_path / "both", having, lacking)
    assert "Threshold for good or bad: mean + 3 sd of 20 training scores." in read.text
    assert "Dotted: threshold 0.55, 40.0 % of the good images above it, 25.0 % of defects missed." in read.text
    assert len(read.all("path", "threshold")) == 1
    (table,) = [class_table(board, "bolts") for board in boards([having, lacking])]
    cells = [table.column(key) for key in ("variant", "threshold", "false_alarm_rate", "miss_rate")]
    assert list(zip(*cells, strict=True)) == [("msflow", 0.55, 0.4, 0.25), ("padim", None, None, None)]
    bare = write(tmp_path, tmp_path / "bare", lacking)
    assert "Threshold for good or bad" not in bare.text
    assert "Dotted" not in bare.text
    assert "threshold" not in [column.key for column in class_table(*boards([lacking]), "bolts").columns]


def test_rules_that_differ_name_their_variants(tmp_path):
    """Each rule names its variants."""
    runs = [replace(make_result(name), threshold=Threshold(1.0, f"rule of {name}", None, None)) for name in ("a", "b")]
    runs = [put(tmp_path, run, SCORES) for run in runs]
    text = write(tmp_path, tmp_path / "page", *runs).text
    assert "rule of a (a); rule of b (b)" in text
    assert "Dotted: threshold 1." in text
