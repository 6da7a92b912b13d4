"""Presets against the memory of a device, with a double of a GPU of 6 GB."""

from __future__ import annotations

from dataclasses import replace

import pytest

from adbench.api import registry
from adbench.api.method import Preset
from adbench.run.doctor import memory, peaks
from adbench.run.doctor.finding import Asked
from adbench.run.doctor.machine import Device
from adbench.run.doctor.peaks import LIBRARIES, Peak

GB = 10**9
SIX = Device("NVIDIA GeForce RTX 2060", 6 * GB, 5 * GB, is_gpu=True)


@pytest.fixture
def known(monkeypatch, tiny):
    """Four methods with known peaks, and one without."""
    edge = 6 * GB - LIBRARIES + 1
    numbers = {
        "small": Peak(GB, GB, "counted"), "split": Peak(9 * GB, 2 * GB, "counted"),
        "large": Peak(9 * GB, 7 * GB, "measured"), "edge": Peak(edge, edge, "measured"),
        "new": None,
    }  # fmt: skip
    monkeypatch.setattr(peaks, "of", lambda method, preset, runs, *, is_gpu: numbers[method.name])
    return {name: replace(tiny, name=name, presets={"paper": Preset(tiny.options())}) for name in numbers}


def test_presets_that_do_not_fit_in_6_gb_are_named(known):
    """Out of memory is foretold: with what a preset takes, and what to do; CUDA's own libraries count as well."""
    lines = list(memory.judged(SIX, memory.fits(known, SIX)))
    assert lines[0].found == "NVIDIA GeForce RTX 2060: 6.0 GB, as torch.cuda.mem_get_info says"
    assert "1 of 4 presets whose need is known fit" in lines[1].found
    assert lines[1].found.endswith(": small (paper)")
    yellow = [each for each in lines if each.status == "yellow"]
    assert len(yellow) == 1
    assert "large:paper (7.0 GB)" in yellow[0].found
    assert "edge:paper (5.5 GB)" in yellow[0].found
    assert "--preset cpu" in yellow[0].remedy
    assert any("batches are split" in each.found and "split:paper (2.0 GB)" in each.found for each in lines)
    assert any("need unknown: new (paper)" in each.found for each in lines)


def test_an_estimate_near_the_limit_is_no_promise(known, monkeypatch):
    """What was measured fits or not; what was estimated may take half as much again."""
    peak = {"small": Peak(4 * GB, 4 * GB, "counted"), "split": Peak(4 * GB, 4 * GB, "measured")}
    monkeypatch.setattr(peaks, "of", lambda method, preset, runs, *, is_gpu: peak.get(method.name))
    found = memory.fits(known, SIX)
    assert {fit.method: fit.verdict for fit in found if fit.peak} == {"small": "close", "split": "fits"}
    (yellow,) = [each for each in memory.judged(SIX, found) if each.status == "yellow"]
    assert "may not fit, as estimates may be off by half: small:paper (4.0 GB)" in yellow.found


def test_on_a_cpu_no_libraries_of_cuda_count(known):
    """The same bytes in the machine's memory hold one more preset."""
    cpu = replace(SIX, name="the CPU", is_gpu=False)
    verdicts = {fit.method: fit.verdict for fit in memory.fits(known, cpu)}
    assert verdicts == {"small": "fits", "split": "in parts", "large": "too large", "edge": "fits", "new": "unknown"}


def test_a_long_list_is_cut(known):
    """A line names a few presets and counts the others."""
    many = {f"large{number}": replace(known["large"]) for number in range(2 * memory.NAMED)}
    lines = list(memory.judged(SIX, memory.fits(many, SIX)))
    assert f"and {memory.NAMED} more" in lines[2].found


def test_the_check_uses_the_machines_own_device_and_all_methods(monkeypatch):
    """On a GPU of 6 GB SuperSimpleNet's paper preset is too large and PaDiM's close to it; no preset cpu is named."""
    monkeypatch.setattr(memory, "find_device", lambda asked: SIX)
    asked = Asked(registry=registry.load())
    large, close = [line.found for line in memory.check(asked) if line.status == "yellow"]
    assert "supersimplenet:paper (15 GB)" in large
    assert "padim:paper (5.4 GB)" in close
    assert ":cpu" not in large + close


def test_a_device_of_unknown_size_is_said(monkeypatch):
    """Some systems don't tell the size of their memory."""
    monkeypatch.setattr(memory, "find_device", lambda asked: None)
    (line,) = memory.check(Asked())
    assert (line.status, line.check) == ("yellow", "memory")
