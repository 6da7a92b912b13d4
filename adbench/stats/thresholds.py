"""Suggests a threshold from good training images, and measures what it does to the test set.

The rule is the mean plus three standard deviations of the scores of good images. It lies above the highest of them,
which a threshold from the few images of a held-out part needs. Where the highest score is an outlier by Grubbs' test
("Procedures for detecting outlying observations in samples", Technometrics 1969), the threshold is at most that
score. Otherwise one odd image among few would lift it far above all scores. The rule follows any change of the
scores' unit or zero.

A fitted method scores its own training images too low. A normalizing flow does so somewhat. PaDiM does so completely
where it has fewer images than channels, since it then puts each image at the same distance. No rule can tell that from
the training scores alone. So the effect of a threshold on the test set is always reported with it. Only images that
were held out give an honest threshold.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ..api.scores import Threshold
from ..data.splits import FEWEST

DEVIATIONS = 3.0


EQUAL = 4.0
"""Scores within a standard deviation of so many steps of float32 count as equal; most methods compute in float32."""

OUTLIER = 0.1
"""Significance level of the test whether the highest score is an outlier."""


Floats = NDArray[np.float64]

Source = Literal["training", "held-out", "validation"]
"""Source of the good images."""


def suggest(
    scores: NDArray[np.floating], *, source: Source = "training", held_out: bool = False
) -> tuple[float, str] | None:
    """Suggest a threshold and describe its rule; None for fewer than three scores, or for equal ones.

    Args:
        scores: (N,) of good images.
        source: whether they were trained on, held out of the training, or a validation split of the data set.
        held_out: the same as ``source="held-out"``, as in adbench 0.1.
    """
    source = "held-out" if held_out else source
    ordered: Floats = np.sort(np.asarray(scores, dtype=np.float64))
    if len(ordered) < FEWEST or ordered.std() <= EQUAL * _resolution(ordered):
        return None
    words = f"mean + {DEVIATIONS:g} sd of {len(ordered)} {source} scores"
    value, highest = float(ordered.mean() + DEVIATIONS * ordered.std(ddof=1)), float(ordered[-1])
    if value > highest and _ends_in_an_outlier(ordered):
        return highest, f"{words}, cut to the highest, an outlier"
    return value, words


def _ends_in_an_outlier(ordered: Floats) -> bool:
    """Grubbs' test of the highest of ascending scores, written with the mean and deviation of the others."""
    from scipy.stats import t

    others = ordered[:-1]
    width = float(others.std(ddof=1)) * (1 + 1 / len(others)) ** 0.5
    limit = float(t.isf(OUTLIER / len(ordered), len(others) - 1))
    return bool(ordered[-1] - others.mean() > limit * width)


def _resolution(scores: Floats) -> float:
    """Distance from one float32 to the next at the size of the scores."""
    return float(np.spacing(np.abs(scores).max().astype(np.float32)))


def judge(value: float, rule: str, labels: NDArray[np.bool_], scores: NDArray[np.floating]) -> Threshold:
    """Measure a threshold on images with ``labels`` (N,) and ``scores`` (N,): a score above it is defective."""
    called = np.asarray(scores, dtype=np.float64) > value
    good, bad = called[~labels], called[labels]
    return Threshold(
        value=value,
        rule=rule,
        false_alarm_rate=float(good.mean()) if len(good) else None,
        miss_rate=float((~bad).mean()) if len(bad) else None,
    )


@dataclass(frozen=True)
class Stored:
    """A threshold as a checkpoint holds it, for scores of the detector's ``score_scale``.

    ``useless`` says why it decided nothing on the run's own test set.
    """

    value: float
    rule: str
    useless: str | None = None
    score_scale: int = 1


def to_checkpoint(judged: Threshold | None, score_scale: int) -> dict[str, Any]:
    """Return a checkpoint's fields for the suggested threshold; ``score_scale`` is that of the detector."""
    found = [judged.value, judged.rule] if judged else []
    return {"threshold": found, "threshold_useless": judged and judged.useless, "score_scale": score_scale}


def from_checkpoint(saved: Mapping[str, Any]) -> Stored | None:
    """Read the threshold of a checkpoint from any writer; None if it has none.

    Raises:
        ValueError: a field is invalid; the text has its value.
    """
    found, useless, scale = saved.get("threshold"), saved.get("threshold_useless"), saved.get("score_scale", 1)
    if not found:
        return None
    if not isinstance(found, (list, tuple)) or len(found) != 2:
        raise ValueError(repr(found))
    value, rule = found
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise ValueError(repr(value))
    for text in (rule, useless):
        if not isinstance(text, str) and (text is not None or text is rule):
            raise ValueError(repr(text))
    if isinstance(scale, bool) or not isinstance(scale, int):
        raise ValueError(f"score_scale {scale!r}")
    return Stored(float(value), rule, useless, scale)
