"""Chooses training images: held-out ones for the threshold or a method's own validation, and few shots."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from ..util.errors import TaskError

FEWEST = 3
"""Fewest images whose scores have a spread."""


SPLIT_SEED = 8128
"""Seed for the choice of held-out images; the same for all runs, so that methods and seeds share their features."""

T = TypeVar("T")


def split(samples: Sequence[T], share: float) -> tuple[tuple[T, ...], tuple[T, ...]]:
    """Split training samples into those to train on and those held out, in order.

    At least enough for a threshold are held out, even if that is more than ``share``. Where that would be more than
    half of all, none are held out.

    Args:
        samples: any number.
        share: the part that is held out, from 0 (none) to less than 1.
    """
    if not share or len(samples) < 2 * FEWEST:
        return tuple(samples), ()
    count = min(max(FEWEST, round(share * len(samples))), len(samples) - 1)
    chosen = set(np.random.default_rng(SPLIT_SEED).permutation(len(samples))[:count].tolist())
    kept = tuple(sample for number, sample in enumerate(samples) if number not in chosen)
    return kept, tuple(samples[number] for number in sorted(chosen))


FOLDS_SEED = 2584
"""Seed for the choice of folds; the same for all runs, so that methods and seeds share their features."""


def folds(samples: Sequence[T], count: int) -> tuple[tuple[T, ...], ...]:
    """Split training samples into folds whose sizes differ by one at most; each keeps the order of ``samples``.

    Args:
        samples: at least ``count``.
        count: number of folds, at least 2.
    """
    drawn = np.random.default_rng(FOLDS_SEED).permutation(len(samples))
    return tuple(tuple(samples[number] for number in sorted(drawn[first::count].tolist())) for first in range(count))


SHOTS_SEED = 4181
"""Seed for the choice of few training images, besides the seed of the run."""


def draw(samples: Sequence[T], shots: int, seed: int) -> tuple[T, ...]:
    """Draw ``shots`` training samples: the same for all methods; more shots include those of fewer.

    Args:
        samples: at least ``shots``.
        shots: number of samples, at least 1.
        seed: of the run; another seed draws other samples.

    Returns:
        The samples drawn, in the order of ``samples``.
    """
    chosen = np.random.default_rng([SHOTS_SEED, seed]).permutation(len(samples))[:shots]
    return tuple(samples[number] for number in sorted(chosen.tolist()))


VALIDATION_SEED = 6765
"""Seed for the choice of a method's own validation images, besides the method's seed."""


def validation(count: int, share: float, seed: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Split images number 0 to ``count`` - 1 into those to train on and those for validation, both in order.

    Args:
        count: number of images.
        share: part for validation, above 0 and below 1; each side has at least one image.
        seed: of the choice.

    Returns:
        Numbers of the images, int64 each.

    Raises:
        TaskError: an invalid share, or fewer than two images.
    """
    if not 0 < share < 1:
        raise TaskError("split(share)", found=f"{share:g}", wanted="a number above 0 and below 1")
    if count < 2:
        raise TaskError("training images to split", found=str(count), wanted="at least 2")
    chosen = min(max(1, round(share * count)), count - 1)
    drawn = np.random.default_rng([VALIDATION_SEED, seed]).permutation(count)
    return np.sort(drawn[chosen:]), np.sort(drawn[:chosen])
