"""Good or bad: a threshold suggested by good training pictures, and what it does to the test set.

The rule is the mean plus three standard deviations of the scores of good pictures. It goes beyond the highest
of them, as a threshold must that comes from the few pictures of a held-out part, and one odd picture moves it
less than a maximum.

A fitted method scores the pictures that it was trained on too low, more or less: a normalizing flow somewhat,
PaDiM with fewer pictures than channels completely, since it then puts each at the same distance. Where the
scores are all alike they suggest nothing. Honest is a threshold from pictures that were held out.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from .types import Threshold

DEVIATIONS = 3.0

FEWEST = 3
"""Pictures; a spread of fewer is none."""

SPREAD = 1e-3
"""Part of the scores' size below which their standard deviation is that of a method which knows them by heart."""

RESOLUTION = 1e-6
"""The same for held-out scores, which nobody knows by heart: below it they are equal but for rounding."""

SPLIT_SEED = 8128
"""Of the choice of held-out pictures; the same for all runs, so that methods and seeds share their features."""

T = TypeVar("T")


def split(samples: Sequence[T], share: float) -> tuple[tuple[T, ...], tuple[T, ...]]:
    """Split training samples into those to train on and those held out, in order.

    At least one is kept, and enough for a threshold are held out unless that were more than half of them.

    Args:
        samples: at least two, if any is to be held out.
        share: the part that is held out, from 0 (none) to less than 1.
    """
    if not share or len(samples) < 2:
        return tuple(samples), ()
    fewest = min(FEWEST, len(samples) // 2)
    count = min(max(fewest, round(share * len(samples))), len(samples) - 1)
    chosen = set(np.random.default_rng(SPLIT_SEED).permutation(len(samples))[:count].tolist())
    kept = tuple(sample for number, sample in enumerate(samples) if number not in chosen)
    return kept, tuple(samples[number] for number in sorted(chosen))


def suggest(scores: NDArray[np.floating], *, held_out: bool) -> tuple[float, str] | None:
    """Suggest a threshold, and the words for its rule; None where the scores say nothing.

    Args:
        scores: (N,) of good pictures.
        held_out: whether they were held out of the training.
    """
    scores = np.asarray(scores, dtype=np.float64)
    if len(scores) < FEWEST:
        return None
    mean, deviation = float(scores.mean()), float(scores.std(ddof=1))
    if deviation <= (RESOLUTION if held_out else SPREAD) * abs(mean):
        return None
    source = "held-out" if held_out else "training"
    return mean + DEVIATIONS * deviation, f"mean + {DEVIATIONS:g} sd of {len(scores)} {source} scores"


def judge(value: float, rule: str, labels: NDArray[np.bool_], scores: NDArray[np.floating]) -> Threshold:
    """Say what a threshold does to pictures with ``labels`` (N,) and ``scores`` (N,): above it is defective."""
    called = np.asarray(scores, dtype=np.float64) > value
    good, bad = called[~labels], called[labels]
    return Threshold(
        value=value,
        rule=rule,
        false_alarm_rate=float(good.mean()) if len(good) else None,
        miss_rate=float((~bad).mean()) if len(bad) else None,
    )
