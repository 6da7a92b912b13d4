"""The table of a dry run."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from adbench.api.options import Options
from adbench.report import render
from adbench.report.dry_run import dry_run
from adbench.report.render.text import to_json
from adbench.run.forecast import Forecast
from adbench.run.job import Job


def forecast(state: Any, seed: int, *, results: Path = Path("results"), **facts: Any) -> Forecast:
    job = Job("padim", "cpu", (), Options(), "demo", "brick", Path(), seed=seed, results=results)
    return Forecast(job, state, **facts)


ROWS = [
    forecast("done", 0, seconds=0.0, bytes=0, run="cpu-seed0-1"),
    forecast("left", 1, seconds=100.0, bytes=2_000_000, basis="same class", decoding={"a": 3_000_000}),
    forecast("left", 2, seconds=50.0, bytes=1_000_000, basis="other classes", decoding={"a": 3_000_000}),
    forecast("stale", 3, detail="images or masks changed", decoding={}),
]


def shown(*rows: Forecast) -> str:
    return " ".join(render.render([dry_run(rows)], "markdown").split())


def test_people_see_states_times_and_sums():
    """What is known is summed up, what is unknown is said, and images that tasks share count once."""
    text = shown(*ROWS)
    assert "4 tasks: 1 done, 1 stale, 2 left" in text
    assert "| padim | demo/brick | 1 | left | 1 min 40 s | 2.0 MB |" in text
    assert "| padim | demo/brick | 3 | stale | unknown | unknown |" in text
    assert "About 2 min 30 s for 2 of 3 tasks, one after the other: from stored runs on this machine" in text
    assert "(other classes and same class)" in text
    assert "1 task of unknown time." in text
    assert "Results leave about 3.0 MB in results without 1 task of unknown size." in text
    assert "The cache gets 3.0 MB of decoded images" in text
    assert "padim · demo/brick · seed 3: stale, images or masks changed." in text


def test_where_all_is_done_nothing_is_estimated():
    """A table of done tasks has neither times nor notes."""
    text = shown(ROWS[0])
    assert "| done | - | - |" in text
    assert "About" not in text
    assert "cache" not in text


def test_a_full_disk_is_said_before_anything_starts(monkeypatch):
    """What is free is named where the tasks of known size take more."""
    text = shown(forecast("left", 1, seconds=1.0, bytes=10**18, decoding={}))
    assert "are free in results." in text


def test_programs_get_seconds_bytes_and_the_runs_name():
    """Numbers are whole, and unknown ones are null."""
    text = to_json([dry_run(ROWS)])
    assert '"seconds": 100.0' in text
    assert '"bytes": 2000000' in text
    assert '"run": "cpu-seed0-1"' in text
    assert '"seconds": null' in text


def test_many_reasons_are_cut():
    """At most five lines about single tasks; the rest is in JSON."""
    rows = [forecast("can't run", seed, detail="no images.") for seed in range(8)]
    text = shown(*rows)
    assert text.count("can't run, no images.") == 5
    assert "--format json has the reasons of 3 more." in text


def test_two_entries_of_a_method_with_other_presets_show_preset_and_size():
    """Where rows of one method differ in preset and size, people see both; sizes of different methods are no news."""
    job = ROWS[1].job
    other = replace(job, preset="quick", options=replace(job.options, size=(64, 96)))
    assert "| padim | demo/brick | quick | 64x96 | 1 | left |" in shown(ROWS[1], replace(ROWS[1], job=other))
    stranger = replace(ROWS[1], job=replace(other, method="dfm", preset="cpu"))
    assert "64x96" not in shown(ROWS[1], stranger)


def test_the_time_is_divided_by_workers():
    """Tasks go to the first free worker; what several take is the best case, and the sum is said as well."""
    rows = [
        forecast("left", seed, seconds=each, basis="same class") for seed, each in enumerate((60.0, 20.0, 20.0, 30.0))
    ]
    text = " ".join(render.render([dry_run(rows, 2)], "markdown").split())
    assert "At best 1 min 10 s with 2 tasks at once, and about 2 min 10 s one by one: from stored runs" in text
    assert "About 2 min 10 s, one after the other" in " ".join(render.render([dry_run(rows, 1)], "markdown").split())
    assert "At best 1 min 0 s with 4 tasks" in " ".join(render.render([dry_run(rows, 9)], "markdown").split())
    unsaid = " ".join(render.render([dry_run(rows, None)], "markdown").split())
    assert "About 2 min 10 s, one after the other" in unsaid
    assert "Several at once take less: --workers N says how much." in unsaid
