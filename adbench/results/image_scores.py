"""Scores of single images beside a result: those of the test set, and those that its threshold comes from."""

from __future__ import annotations

from dataclasses import dataclass

SCORES, THRESHOLD_SCORES = "scores.csv", "thresholds.csv"
"""Names of their files."""

SCORE_COLUMNS = ("path", "label", "defect", "score")
THRESHOLD_COLUMNS = ("path", "source", "fold", "folds", "score", "highest_pixel")
"""The columns of the files, which are the fields of a row in their order."""

TEST = "test"
"""The source of test images, on which a threshold is measured."""


@dataclass(frozen=True)
class ImageScore:
    """The score of one test image: its path below the data root, label, defect type; higher = more anomalous."""

    path: str
    label: int
    defect: str
    score: float


@dataclass(frozen=True)
class ThresholdScore:
    """The score of one good image that a threshold comes from, or of one test image, on which it is measured.

    Attributes:
        path: below the data root.
        source: of a good image "training", "held-out", "validation" or "cross-validated"; else ``TEST``.
        fold: its fold from 1 up, whose images the scoring model was not trained on; None unless cross-validated.
        folds: the number of folds; None unless cross-validated.
        score: of the image.
        highest_pixel: the highest value of its anomaly map at the size of the input; None without maps.
    """

    path: str
    source: str
    fold: int | None
    folds: int | None
    score: float
    highest_pixel: float | None = None
