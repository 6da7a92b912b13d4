"""Many classes in one process: nothing of a finished task stays in memory."""

from __future__ import annotations

import gc

import psutil
import pytest
import torch
from conftest import make_class

from adbench.api import registry as plugins
from adbench.run import plan as suite


def tensor_bytes() -> int:
    """Bytes of all living tensors, each storage once."""
    gc.collect()
    storages = {}
    for each in gc.get_objects():
        if type(each) in (torch.Tensor, torch.nn.Parameter) and each.device.type != "meta":
            storage = each.untyped_storage()
            storages[storage.data_ptr()] = storage.nbytes()
    return sum(storages.values())


@pytest.mark.slow
def test_nothing_grows_over_classes(tmp_path):
    """After fifteen classes in one process, its memory and its tensors are as after the second."""
    root = tmp_path / "data"
    names = [f"class{number:02}" for number in range(15)]
    for number, name in enumerate(names):
        make_class(root, name, side=80 + number)
    registry = plugins.load()
    changes = {"size": (64, 64), "dimensions": 16, "amp": "off"}
    plan = suite.Plan(
        methods=[registry.method("padim")], overrides={"padim": changes}, dataset=registry.dataset("folder"),
        classes=names, data_root=root, preset="cpu", device="cpu", results=tmp_path / "results",
    )  # fmt: skip
    process, tensors, resident = psutil.Process(), [], []
    for outcome in suite.run_here(plan.jobs(), registry):
        assert outcome.error is None
        tensors.append(tensor_bytes())
        resident.append(process.memory_info().rss)
    assert tensors[-1] <= tensors[1]
    assert resident[-1] <= resident[1] + 30e6
