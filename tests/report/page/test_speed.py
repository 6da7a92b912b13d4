"""The charts of accuracy against speed mark the Pareto front."""

from __future__ import annotations

from dataclasses import replace

from made_results import make_result
from pages import write

from adbench import report
from adbench.report.page import speed
from adbench.report.speeds import Latencies
from adbench.results.speeds import Latency, Speed

MEASURED = Speed(
    model="a", own_size=(64, 64), program="torch 2.6", device="cpu", device_name="a processor", threads=2,
    precision="off", measured="2026-01-01T00:00:00+00:00", single=(), best=(),
)  # fmt: skip


def tables(*numbers):
    """A board of methods a, b, ... with (accuracy, milliseconds) each; None for one that was not measured."""
    runs = [make_result(name, image=value) for name, (value, _) in zip("abcdef", numbers, strict=False)]
    found = {
        (run.dataset, run.class_name, run.method, run.run): replace(
            MEASURED, single=(Latency((64, 64), 1, ms / 1000, ms / 1000, 9, 1),)
        )
        for run, (_, ms) in zip(runs, numbers, strict=True)
        if ms is not None
    }
    return report.leaderboard(runs, latencies=Latencies(found))


def test_the_front_is_what_no_other_beats():
    """The fast one and the accurate one are on it, a slow and poor one isn't, and one without a latency is left out."""
    found = speed.latency(tables((0.9, 10.0), (0.95, 40.0), (0.85, 50.0), (0.99, None)), "image_auroc")
    marked = {text.partition(":")[0]: text.endswith("on the front") for text in found.points}
    assert marked == {"a": True, "b": True, "c": False}
    assert "10.0 ms" in next(text for text in found.points if text.startswith("a:"))
    assert [line.title for line in found.figure.chart.lines] == ["Pareto front"]


def test_without_a_measurement_there_is_no_chart():
    """The other chart, of images per second, is there for all runs."""
    boards = tables((0.9, None), (0.8, None))
    assert speed.latency(boards, "image_auroc") is None
    assert len(speed.throughput(boards, "image_auroc").points) == 2


def test_the_page_shows_both(tmp_path):
    """A measured run is drawn on the page of its results."""
    from adbench.results import speeds, store
    from adbench.results.run_files import folder_of

    runs = [make_result(name, image=value) for name, value in (("a", 0.9), ("b", 0.8))]
    for run in runs:
        place = folder_of(tmp_path, run)
        place.path.mkdir(parents=True)
        place.write_result(run, (), ())
        speeds.write(place.path, replace(MEASURED, single=(Latency((64, 64), 1, 0.0123, 0.02, 9, 1),)))
    read = write(tmp_path, tmp_path / "out", *store.read_all(tmp_path).results)
    assert "Latency and accuracy" in read.text
    assert "12.3 ms" in read.text
