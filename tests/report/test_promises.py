"""The table of thresholds: what its notes say of promises that are kept, short, weak or broken."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from made_results import make_result, records_of

from adbench.api.scores import Threshold
from adbench.report import promises
from adbench.stats import conformal


def table(images: int, target: float, *, folds: int | None = None, alarms: float = 0.0, good: int | None = 100):
    """The table of a run with such a threshold, of images and of pixels."""
    value, promise = conformal.threshold(np.arange(images), target, folds=folds)
    pixel = Threshold(1.0, "rule", 0.0, 0.5, promise)
    made = replace(make_result(), threshold=Threshold(value, "rule", alarms, 0.5, promise, pixel))
    return promises.promise_table([made], good_images=[good])


@pytest.mark.parametrize(
    ("images", "folds", "text"),
    [
        (99, None, "Promised: at most 1% of new good images like the 99 that it came from"),
        (23, None, "1% needs 99 good images and there are 23, so the threshold is their highest score. "
                   "Promised: at most 4.17%"),
        (200, 5, "Cross-validated: about 0.995% is expected. The guarantee of cross-validation is weaker: at most 5.8"),
        (60, 5, "1% needs 99 good images and there are 60, so the threshold is their highest score and about 1.64% is"),
    ],
)  # fmt: skip
def test_the_note_says_what_can_be_promised(images, folds, text):
    """It says how many images the share needs where there are too few, and the weaker bound of a cross-validation."""
    assert table(images, 0.01, folds=folds).notes[0].startswith(text)


def test_more_false_alarms_than_chance_explains_are_told():
    """Where the test set breaks the promise beyond chance, a note says so; within chance none does."""
    broken, kept = table(99, 0.01, alarms=0.1), table(99, 0.01, alarms=0.02)
    assert any("bolts, images: more false alarms than promised" in note for note in broken.notes)
    assert not any("more false alarms" in note for note in kept.notes)
    assert not any("more false alarms" in note for note in table(99, 0.01, alarms=0.1, good=None).notes)


def test_thresholds_without_a_promise_are_named():
    """A threshold by hand promises nothing, and a run may have none at all."""
    by_hand = replace(make_result(), threshold=Threshold(1.0, "set by hand", 0.1, 0.2))
    found = promises.promise_table([by_hand, make_result(class_name="nuts")])
    assert found.notes == ("Promises nothing: set by hand.", "No threshold: nuts.")
    assert [row["promised"] for row in records_of(found)] == [None, None]


def test_good_test_images_of_a_run_without_scores_are_unknown(tmp_path):
    """Then the number of images stays away, and the table is there."""
    assert promises.good_test_images(tmp_path, make_result()) is None
