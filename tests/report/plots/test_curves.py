"""The figure of loss and metrics by epoch."""

from __future__ import annotations

import pytest
from made_results import make_result
from pages import record

from adbench.report.plots import curves, style
from adbench.report.plots.curves import Curve
from adbench.util.errors import ResultError

pytest.importorskip("matplotlib")

EPOCHS = (record(1, 0.5, 900.0), record(2, 0.97, 30.0), record(3, None, 4.0), record(4, 0.9, 3.0))


def curve(method: str = "m", label: str = "", epochs=EPOCHS) -> Curve:
    return Curve(label or method, make_result(method, oracle={"image_auroc": 0.97}), epochs)


def panels(found: list[Curve], metrics=("image_auroc",)) -> dict[str, list]:
    """The lines of each panel, by its title."""
    with style.settings():
        figure = curves.draw(found, metrics)
    return {axes.get_ylabel(): axes.lines for axes in figure.axes}


def test_a_run_has_its_loss_and_its_metrics_with_last_epoch_and_oracle():
    """The line runs through all epochs; a mark is at its end, and a diamond at the best one."""
    found = panels([curve()])
    assert list(found) == ["loss", "image AUROC, %"]
    assert list(found["loss"][0].get_ydata()) == [900, 30, 4, 3]
    axes = found["loss"][0].axes
    assert axes.get_yscale() == "log"
    assert axes.yaxis.get_major_formatter()(100.0) == "100"
    line, last, best = found["image AUROC, %"]
    assert list(line.get_xdata()) == [1, 2, 4]
    assert (list(last.get_xdata()), list(best.get_xdata())) == ([4], [2])
    assert list(best.get_ydata()) == pytest.approx([97])


def test_losses_of_different_methods_have_their_own_panels():
    """They don't compare; runs of one method share a panel, and all runs share those of the metrics."""
    found = panels([curve("a", "a, seed 0"), curve("a", "a, seed 1"), curve("b")])
    assert list(found) == ["loss of a", "loss of b", "image AUROC, %"]
    assert [len(lines) for lines in found.values()] == [4, 2, 9]


def test_runs_differ_in_colour_dash_and_mark():
    """So the figure can be read in grey."""
    lines = panels([curve("a"), curve("b")])["image AUROC, %"]
    looks = {(each.get_color(), each.get_linestyle(), each.get_marker()) for each in (lines[0], lines[3])}
    assert len({look[0] for look in looks}) == len({look[1] for look in looks}) == len({look[2] for look in looks}) == 2


def test_runs_of_a_single_epoch_have_no_curve():
    """They are named; if there is no other run, that is a mistake."""
    single = curve("once", epochs=EPOCHS[:1])
    assert curves.without_curve([curve(), single], ["image_auroc"]) == ["once"]
    with style.settings():
        names = [each.get_text() for each in curves.draw([single, curve()], ["image_auroc"]).legends[0].get_texts()]
    assert names == ["m", "last epoch, which counts", "oracle: best on the test set"]
    with pytest.raises(ResultError, match="found no run with several epochs"):
        curves.draw([single], ["image_auroc"])
