"""A trained model of the tiny method, and its test images."""

from __future__ import annotations

import pytest
from runs import job_for, registry_of, run_one

from adbench.run.reopen import Reopener
from adbench.run.trained import open_model


@pytest.fixture(scope="session")
def tiny_run(tiny, tiny_data, tmp_path_factory):
    """A run of the tiny method: its result and its folder."""
    return run_one(tiny, job_for(tiny, tiny_data, tmp_path_factory.mktemp("results"), epochs=1))


@pytest.fixture
def model(tiny_run, tiny):
    """The model of that run, in float32 on the CPU."""
    return open_model(tiny_run[1].checkpoint("last"), registry_of(tiny), device="cpu", changes={"amp": "off"})


@pytest.fixture(scope="session")
def samples(tiny_run, tiny, tiny_data):
    """Its test images."""
    return Reopener(registry_of(tiny), [tiny_data], "cpu").task(tiny_run[0]).test
