"""Measured speeds are stored beside a result, one of each device."""

from __future__ import annotations

from dataclasses import replace

import pytest

from adbench.results import speeds
from adbench.results.speeds import SPEED, Latency, Skipped, Speed
from adbench.util.errors import ResultError

MEASURED = Speed(
    model="a", own_size=(64, 48), program="torch 2.6", device="cpu", device_name="a processor", threads=2,
    precision="off", measured="2026-01-01T00:00:00+00:00",
    single=(Latency((64, 48), 1, 0.01, 0.02, 30, 10**8), Latency((256, 256), 1, 0.1, 0.2, 20, 10**9)),
    best=(Latency((64, 48), 8, 0.04, 0.05, 30, 10**8), Latency((256, 256), 1, 0.1, 0.2, 20, 10**9)),
    skipped=(Skipped((512, 512), "found 1, wanted 2"),),
)  # fmt: skip


def test_what_is_stored_is_read_back(tmp_path):
    """All numbers and reasons."""
    speeds.write(tmp_path, MEASURED)
    assert speeds.read(tmp_path) == (MEASURED,)
    assert MEASURED.latency() == 0.01
    assert MEASURED.best[0].images_per_second == pytest.approx(200)


def test_a_device_has_one_measurement(tmp_path):
    """A new one replaces that of the same device, threads and precision, and leaves others."""
    later = replace(MEASURED, measured="2026-02-01T00:00:00+00:00", program="torch 2.7")
    other = replace(MEASURED, threads=1)
    for each in (MEASURED, other, later):
        speeds.write(tmp_path, each)
    assert speeds.read(tmp_path) == (other, later)


def test_no_file_is_no_measurement(tmp_path):
    """A run that was never measured has none, and no latency."""
    assert speeds.read(tmp_path) == ()
    assert replace(MEASURED, own_size=(1, 1)).latency() is None


@pytest.mark.parametrize("change", [lambda text: text.replace("0.01", "0.001"), lambda text: text[:40], lambda _: "[]"])
def test_a_changed_file_is_refused(tmp_path, change):
    """Numbers that were not measured don't get onto boards; measuring again mends the file."""
    path = speeds.write(tmp_path, MEASURED)
    path.write_text(change(path.read_text()))
    with pytest.raises(ResultError, match=f"{SPEED} can't be read.*Measure again with adbench speed"):
        speeds.read(tmp_path)
    speeds.write(tmp_path, MEASURED)
    assert speeds.read(tmp_path) == (MEASURED,)
