"""The table of memory at the peak, and the user's own measurements."""

from __future__ import annotations

from dataclasses import replace

from made_results import make_result

from adbench.api import registry
from adbench.api.method import Preset
from adbench.results.records import Result
from adbench.run.doctor import peaks


def test_the_table_fits_the_presets():
    """Each row is of a preset that is there, with its size, batch and backbone; no part takes more than the whole."""
    methods = registry.load().methods
    for (method, preset), row in peaks._table().items():
        assert (row.size, row.batch, row.backbone) == peaks.set_up(methods[method], preset), (method, preset)
        assert 0 < row.least <= row.bytes


def test_a_preset_with_another_set_up_than_the_row_is_not_in_the_table():
    """A row counts for its size, batch and backbone only."""
    msflow = registry.load().methods["msflow"]
    found = peaks.of(msflow, "cpu")
    assert found is not None
    assert found.how == "measured"
    changed = replace(msflow, presets={"cpu": Preset(replace(msflow.presets["cpu"].options, batch_size=64))})
    assert peaks.of(changed, "cpu") is None


def run(preset: str, peak: int, **changes) -> Result:
    """A stored run of tiny."""
    return replace(make_result(method="tiny", preset=preset), peak_memory_bytes=peak, **changes)


def test_the_users_own_runs_measure_other_presets(tiny):
    """The least peak of this preset's runs on a device of the same kind counts; runs with changed options don't."""
    runs = [run("cpu", 300), run("cpu", 200), run("cpu", 100, overrides={"epochs": 1}), run("big", 50)]
    assert peaks.of(tiny, "cpu", runs) == peaks.Peak(200, 200, "measured")
    assert peaks.of(tiny, "cpu", runs, is_gpu=True) is None
    assert peaks.of(tiny, "paper", runs) is None


def test_every_preset_of_adbench_itself_is_known():
    """The doctor says of each whether it fits; those of other libraries are measured by runs."""
    methods = registry.load().methods.values()
    unknown = [
        f"{method.name}:{preset}"
        for method in methods
        if ":" not in method.name
        for preset in method.presets
        if peaks.of(method, preset) is None
    ]
    assert unknown == []
