"""The key of a plain module as a backbone: whatever moves its features is in it."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from adbench.api.module_backbone import as_backbone


@dataclass
class Settings:
    block: int = 1


class Plain:
    """An object of a plugin's own."""

    def __init__(self, block: int) -> None:
        self.block = block
        self.itself = self


class Net(nn.Module):
    """Gives out what it keeps beside its layer."""

    def __init__(self, kept: object) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.layer, self._kept = nn.Conv2d(3, 2, 1), kept
        self.eval().requires_grad_(False)


def layer(bias: float) -> nn.Module:
    """A module that is hidden in a list, and so no part of the network."""
    made = nn.Conv2d(3, 2, 1)
    for value in made.parameters():
        nn.init.constant_(value, bias)
    return made


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (1, 2),
        ("a", "b"),
        ((1, 2), (1, 3)),
        ({"block": 1}, {"block": 2}),
        ({1, 2}, {1, 3}),
        (Settings(1), Settings(2)),
        (Plain(1), Plain(2)),
        (Path("a"), Path("b")),
        (np.array([1.0]), np.array([2.0])),
        (torch.ones(1), torch.zeros(1)),
        (F.relu, F.gelu),
        (partial(F.elu, alpha=1), partial(F.elu, alpha=2)),
        (torch.float32, torch.float16),
        ([layer(0)], [layer(1)]),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_a_module_keeps_is_in_its_key(one, other):
    """Its features depend on attributes that its text doesn't show, such as the block to stop at."""
    assert as_backbone(Net(one)).key == as_backbone(Net(one)).key != as_backbone(Net(other)).key


def test_an_object_of_no_value_is_the_same_each_time():
    """The address of an object is in no key, so that features are found again."""
    assert as_backbone(Net(object())).key == as_backbone(Net(object())).key


def test_the_version_of_the_package_of_a_part_is_in_the_key(monkeypatch):
    """Another version of a library may compute other features with the same weights."""

    def key(version: str) -> str:
        module = ModuleType("some_library")
        module.__version__ = version
        monkeypatch.setitem(sys.modules, "some_library", module)
        kind = type("Part", (Net,), {"__module__": "some_library.nets"})
        return as_backbone(nn.Sequential(kind(None)).eval()).key

    assert key("1.0") == key("1.0") != key("1.1")
