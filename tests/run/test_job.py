"""Names of runs: the same for the same configuration, and another for any other."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from adbench.api.options import BackboneOptions
from adbench.results.records import Identity, Reading
from adbench.run.job import Job, run_name

JOB = Job("msflow", "cpu", (("lr", 1e-3),), BackboneOptions(weights="/a/w.pth"), "folder", "bolts", Path("/data"))


def name_of(job: Job, amp: str = "off", weights: str = "w1", **identity: Any) -> str:
    return run_name(
        job, Identity(**{"data": "d", "code": "c", "numerics": 1, "files": {"weights": weights}, **identity}), amp=amp
    )


def test_the_same_configuration_has_the_same_name_everywhere():
    """Device, folders and command don't change the name; it is fixed across versions."""
    elsewhere = replace(
        JOB,
        data_root=Path("/other"),
        device="cuda:1",
        force=True,
        results=Path("r"),
        command="x",
        options=replace(JOB.options, weights="/b/w.pth", amp="off"),
    )
    assert name_of(JOB) == name_of(elsewhere) == "cpu-seed0-f593add9"


@dataclass(frozen=True)
class _Options(BackboneOptions):
    lr: float = 1.0


@pytest.mark.parametrize(
    ("job", "changes"),
    [
        (replace(JOB, seed=1), {}),
        (replace(JOB, eval_every=0), {}),
        (replace(JOB, preset="quick"), {}),
        (replace(JOB, method="cflow"), {}),
        (replace(JOB, dataset="demo"), {}),
        (replace(JOB, class_name="nuts"), {}),
        (replace(JOB, overrides=()), {}),
        (replace(JOB, options=BackboneOptions(size=(64, 96))), {}),
        (replace(JOB, options=BackboneOptions(layers=(1, 2))), {}),
        (replace(JOB, options=_Options()), {}),
        (JOB, {"data": "other"}),
        (JOB, {"code": "other"}),
        (JOB, {"numerics": 2}),
        (JOB, {"amp": "bf16"}),
        (JOB, {"weights": "w2"}),
        (replace(JOB, options=BackboneOptions()), {"files": {}}),
    ],
)
def test_another_configuration_has_another_name(job, changes):
    """Everything that moves a number makes another run."""
    assert name_of(JOB) != name_of(job, **changes)


def test_the_way_that_images_were_read_is_a_part_of_the_name():
    """Changed options of the reader stand in it; with the usual ones it is as without any."""
    identity = Identity("d", "c", 1)
    usual, share, other = (
        run_name(JOB, identity, amp="off", reading=Reading({"test_share": value, "good": ["a/b"]}, changed))
        for value, changed in ((0.3, ()), (0.5, ("test_share",)), (0.5, ("good",)))
    )
    assert usual == run_name(JOB, identity, amp="off")
    assert share.startswith("cpu-seed0-test_share=0.5-")
    assert other.startswith("cpu-seed0-good=a_b-")
    assert len({usual, share, other}) == 3
