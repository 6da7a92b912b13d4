"""Which of the published numbers stand beside ours."""

from __future__ import annotations

import math

import pytest

from adbench.api import registry
from adbench.api.method import Published
from adbench.api.registry import texts_in
from adbench.report.published import numbers_of, references


def number(class_name: str, value: float = 0.9, policy: str = "last", source: str = "table", **more) -> Published:
    return Published("mvtec", class_name, "image_auroc", value, policy, source, **more)


def places(numbers, classes=("x", "y"), words=()) -> list[str]:
    return [each.place for each in references(numbers, classes, words)]


def test_each_kind_of_epoch_has_its_source():
    """There is one reference for each policy, in a fixed order, with the class values and the source's own mean."""
    numbers = [number("x", 0.8, "unknown"), number("x", 0.9), number("y", 0.7), number("mean", 0.81), number("z", 0.1)]
    last, unknown = references(numbers, ("x", "y"))
    assert (last.policy, dict(last.values), last.mean) == ("last", {"x": 0.9, "y": 0.7}, 0.81)
    assert (unknown.policy, dict(unknown.values), unknown.mean) == ("unknown", {"x": 0.8}, None)


def test_the_configuration_of_our_backbone_is_preferred():
    """A configuration that names one of our options wins over the first one, and over one with more classes."""
    small = [number(name, configuration="resnet18, a library") for name in "xy"]
    large = [number("x", configuration="wide_resnet50_2, a library")]
    assert places([*small, *large]) == ["table, configuration resnet18, a library"]
    assert places([*small, *large], words={"wide_resnet50_2"}) == ["table, configuration wide_resnet50_2, a library"]


def test_classes_come_before_a_mean_alone_and_tables_before_logs():
    """A source with classes wins over one with a mean alone; a log, which names epochs, comes after a table."""
    mean = number("mean", source="abstract", configuration="net")
    log = number("x", source="log", epoch=3)
    assert places([mean, log], words={"net"}) == ["log"]
    assert places([mean, log, number("x")]) == ["table"]
    (alone,) = references([mean], ("x",))
    assert (dict(alone.values), alone.mean) == ({}, 0.9)


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_numbers_of_one_setting_are_finite(value):
    """NaN is no number to compare with, and few-shot numbers are not those of one class."""
    numbers = [number("x", value), number("y"), number("x", setting="few-shot", shots=4)]
    assert numbers_of(numbers, "mvtec", "image_auroc", "one-class", None) == [number("y")]
    assert numbers_of(numbers, "mvtec", "image_auroc", "few-shot", 4) == [numbers[2]]
    assert numbers_of(numbers, "visa", "image_auroc", "one-class", None) == []


@pytest.mark.parametrize("preset", ["paper", "paper-resnet18", "paper-deit", "paper-cait"])
def test_each_published_preset_of_fastflow_meets_its_own_numbers(preset):
    """Its sources have four backbones; each is compared with ours of the same backbone alone."""
    method = registry.load().method("fastflow")
    options = vars(method.presets[preset].options)
    for metric, policies in (("pixel_auroc", ("last", "oracle")), ("image_auroc", ("oracle",))):
        numbers = numbers_of(method.published, "mvtec", metric, "one-class", None)
        found = {each.policy: each for each in references(numbers, ("bottle", "screw"), texts_in(options))}
        assert {found[policy].configuration for policy in policies} == {options["backbone"]}


@pytest.mark.parametrize(
    ("name", "changes", "dataset", "setting", "configuration"),
    [
        ("cfa", {}, "mvtec", "one-class", "wide_resnet50_2"),
        ("cfa", {"backbone": "resnet18"}, "mvtec", "one-class", "resnet18"),
        ("efficientad", {}, "visa", "one-class", "small"),
        ("efficientad", {"network": "medium"}, "mvtec", "one-class", "medium"),
        ("dinomaly", {}, "visa", "multi-class", "timm:vit_base_patch14_reg4_dinov2"),
        ("dinomaly", {"backbone": "timm:vit_large_patch14_reg4_dinov2"}, "visa", "multi-class",
         "timm:vit_large_patch14_reg4_dinov2"),
    ],
)  # fmt: skip
def test_a_network_meets_the_numbers_of_its_own_kind(name, changes, dataset, setting, configuration):
    """The first source with which the published set-up, or one with another network, is compared is of that network."""
    method = registry.load().method(name)
    options = {**vars(method.presets["paper"].options), **changes}
    numbers = numbers_of(method.published, dataset, "image_auroc", setting, None)
    found = {each.policy: each.configuration for each in references(numbers, ("candle", "bottle"), texts_in(options))}
    assert found.get("last", found.get("unknown")) == configuration


@pytest.mark.parametrize("dataset", ["mvtec", "visa"])
@pytest.mark.parametrize("shots", [1, 2, 4])
def test_no_run_of_subspacead_is_compared_with_withdrawn_numbers(dataset, shots):
    """They are kept, but behind those that its authors stand by."""
    numbers = numbers_of(registry.load().method("subspacead").published, dataset, "image_auroc", "few-shot", shots)
    assert any("withdrawn" in each.source for each in numbers)
    found = references(numbers, ("bottle", "candle"))
    assert {each.policy for each in found} == {"last", "unknown"}
    assert not any("withdrawn" in each.source or "superseded" in each.source for each in found)
