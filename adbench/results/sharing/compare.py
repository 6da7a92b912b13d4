"""Whether two results of the same run are one: by what made them and by all of their numbers."""

from __future__ import annotations

from dataclasses import replace

from ...api.scores import METRIC_NAMES
from .. import serialization
from ..records import Result

NAMED = 2
"""Up to so many metrics, a difference is described by their values."""

_MAKING = {
    "identity": "other images or other code",
    "options": "other options",
    "preset": "another preset",
    "seed": "another seed",
    "class_name": "another class",
    "dataset": "another data set",
    "method": "another method",
    "run": "another name",
}
"""What names a run, so that two of one name can't differ in it."""


def difference(theirs: Result, ours: Result) -> str:
    """How two results of the same run differ, such as "image_auroc 0.91 and 0.92"; "" where all numbers agree.

    When, where and how fast a run was computed is no difference, nor is its label.
    """
    made = [text for name, text in _MAKING.items() if not _agree(theirs, ours, name)]
    if made:
        return ", ".join(made)
    values = [(name, getattr(theirs.metrics, name), getattr(ours.metrics, name)) for name in METRIC_NAMES]
    found = [f"{name} {_number(one)} and {_number(other)}" for name, one, other in values if one != other]
    more = [f"{len(found) - NAMED} more metrics"] if len(found) > NAMED else []
    found = [*found[:NAMED], *more]
    found += [f"another {name}" for name in ("oracle", "threshold") if not _agree(theirs, ours, name)]
    return ", ".join(found)


def is_same_training(theirs: Result, ours: Result) -> bool:
    """Whether two results are copies of one, so that the checkpoint of either fits both; labels may differ."""
    one, other = (serialization.to_text(replace(each, label="")) for each in (theirs, ours))
    return one == other


def _agree(theirs: Result, ours: Result, name: str) -> bool:
    return serialization.canonical(getattr(theirs, name)) == serialization.canonical(getattr(ours, name))


def _number(value: float | None) -> str:
    return "none" if value is None else repr(value)
