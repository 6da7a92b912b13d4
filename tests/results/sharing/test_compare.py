"""Two results of one run are the same by their numbers, not by when and how fast they were computed."""

from __future__ import annotations

from dataclasses import replace

import pytest
from made_results import make_result

from adbench.results.records import Best, Identity
from adbench.results.sharing.compare import difference, is_same_training

OURS = replace(make_result(), identity=Identity("data", "code", 1))


def test_time_place_and_label_are_no_difference():
    """They only say that one isn't a copy of the other, of which the label says nothing."""
    timing = replace(OURS.timing, fit=99.0)
    assert difference(replace(OURS, finished="2025", timing=timing, label="mine"), OURS) == ""
    assert not is_same_training(replace(OURS, timing=timing), OURS)
    assert is_same_training(replace(OURS, label="mine"), OURS)


@pytest.mark.parametrize(("changes", "text"), [
    ({"metrics": replace(OURS.metrics, image_auroc=0.91)}, "image_auroc 0.91 and 0.9"),
    ({"metrics": replace(OURS.metrics, aupro=None)}, "aupro none and 0.85"),
    ({"metrics": replace(OURS.metrics, image_auroc=0.1, pixel_auroc=0.2, aupro=0.3)}, "1 more metrics"),
    ({"oracle": (Best("image_auroc", 0.95, 2),)}, "another oracle"),
    ({"identity": replace(OURS.identity, data="other")}, "other images or other code"),
    ({"options": {**OURS.options, "lr": 1}}, "other options"),
    ({"class_name": "nuts"}, "another class"),
])  # fmt: skip
def test_other_numbers_and_other_makings_are_named(changes, text):
    """Each number that differs is shown with every digit, and each fact that a run is named by."""
    assert text in difference(replace(OURS, **changes), OURS)
