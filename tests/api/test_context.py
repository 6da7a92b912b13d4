"""Building a method: with a context, or with only a device as in adbench 0.1."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest
import torch

from adbench import BuildContext, Detector, Method, Options
from adbench.api.method import takes_context
from adbench.util.errors import TaskError

CPU = torch.device("cpu")
CONTEXT = BuildContext(CPU, seed=7, dataset="mvtec", classes=("screw",), train_images=9, auxiliary={"x": Path("y")})


class Plain(Detector):
    """Takes the arguments of the base class."""


class Old(Detector):
    def __init__(self, options, device):
        super().__init__(options, device)
        self.given = device


class OldByKeyword(Detector):
    def __init__(self, options, device: torch.device) -> None:
        super().__init__(options, device=device)
        self.given = device


class New(Detector):
    def __init__(self, options, context):
        super().__init__(options, context)
        self.given = context


class Annotated(Detector):
    def __init__(self, options: Options, where: BuildContext) -> None:
        super().__init__(options, where)
        self.given = where


class Callable:
    def __call__(self, options, context):
        return New(options, context)


def old(options, device):
    return Old(options, device)


def new(options, context):
    return New(options, context)


def quoted(options, place: BuildContext):
    return New(options, place)


def extra(model, options, context):
    return New(options, context)


NEW = {
    "class": New,
    "annotated class": Annotated,
    "base class": Plain,
    "function": new,
    "annotated function": quoted,
    "lambda": lambda options, context: New(options, context),
    "partial": partial(extra, "small"),
    "object": Callable(),
}
OLD = {
    "class": Old,
    "class by keyword": OldByKeyword,
    "function": old,
    "lambda": lambda options, device: Old(options, device),
    "short lambda": lambda o, d: Old(o, d),
    "variable arguments": lambda *given: Old(*given),
    "partial": partial(lambda model, options, device: Old(options, device), "small"),
}


@pytest.mark.parametrize("build", NEW.values(), ids=NEW)
def test_a_build_that_asks_for_the_context_gets_it(build):
    """The name or the annotation of its second parameter decides, for any kind of callable."""
    assert takes_context(build)
    detector = Method("m", "", build).make(Options(), CONTEXT)
    assert detector.context is CONTEXT
    assert getattr(detector, "given", CONTEXT) is CONTEXT
    assert detector.device is CPU


@pytest.mark.parametrize("build", OLD.values(), ids=OLD)
def test_a_build_of_0_1_gets_the_device(build):
    """Any other build gets only the device, and its detector's context has nothing else."""
    assert not takes_context(build)
    detector = Method("m", "", build).make(Options(), CONTEXT)
    assert detector.given is CPU
    assert detector.device is CPU
    assert detector.context == BuildContext(CPU)


def test_something_else_than_a_detector_is_refused():
    """The message has the method and the returned type."""
    with pytest.raises(TaskError, match=r"m: build returned a dict.*wanted a Detector"):
        Method("m", "", lambda options, context: {}).make(Options(), CONTEXT)
