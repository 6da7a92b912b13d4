"""Suggests a threshold from good images, and measures what it does to the test set.

Where a share of false alarms is asked for, ``stats/conformal.py`` finds the threshold. Otherwise the rule is the mean
plus three standard deviations of the scores of good images. It lies above the highest of them, which a threshold from
the few images of a held-out part needs. Where the highest score is an outlier by Grubbs' test ("Procedures for
detecting outlying observations in samples", Technometrics 1969), the threshold is at most that score. Otherwise one
odd image among few would lift it far above all scores. The rule follows any change of the scores' unit or zero.

A fitted method scores its own training images too low. A normalizing flow does so somewhat. PaDiM does so completely
where it has fewer images than channels, since it then puts each image at the same distance. No rule can tell that from
the training scores alone. So the effect of a threshold on the test set is always reported with it. Only images that
were held out give an honest threshold.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ..api.scores import Promise, Threshold
from ..data.splits import FEWEST
from ..util.foreign import is_finite, is_share, is_whole, shown
from ..util.text import share_text
from . import conformal

DEVIATIONS = 3.0


EQUAL = 4.0
"""Scores within a standard deviation of so many steps of float32 count as equal; most methods compute in float32."""

OUTLIER = 0.1
"""Significance level of the test whether the highest score is an outlier."""


Floats = NDArray[np.float64]

Source = Literal["training", "held-out", "validation", "cross-validated"]
"""Source of good images; "cross-validated" ones are training images, each scored by a model of other ones."""


def suggest(scores: NDArray[np.floating], *, source: Source) -> tuple[float, str] | None:
    """Suggest a threshold and describe its rule; None for fewer than three scores, or for equal ones.

    Args:
        scores: (N,) of good images.
        source: where they are from.
    """
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

    ``useless`` says why it decided nothing on the run's own test set. ``promise`` and ``pixel`` are as in
    ``Threshold``; checkpoints of adbench 0.1 have neither.
    """

    value: float
    rule: str
    useless: str | None = None
    score_scale: int = 1
    promise: Promise | None = None
    pixel: Stored | None = None


CHECKPOINT_FIELDS = ("threshold", "threshold_useless", "threshold_promise", "pixel_threshold", "score_scale")
"""The fields of a checkpoint that ``to_checkpoint`` may write."""


def with_promise(
    scores: NDArray[np.floating],
    target: float,
    *,
    source: Source,
    highest: NDArray[np.floating] | None = None,
    folds: int | None = None,
) -> Stored:
    """Find the threshold for a share of false alarms, and that of the maps for the same share of images.

    Args:
        scores: (N,) of good images, at least one.
        target: share of new good images that may be called defective.
        source: where they are from; not "training", since such scores promise nothing.
        highest: (N,), the highest value of each image's anomaly map; None without maps.
        folds: number of folds if they are cross-validated.

    Raises:
        ValueError: training scores, no score, or an invalid target.
    """
    if source == "training":
        raise ValueError("scores of training images, which promise nothing")
    value, promise = conformal.threshold(scores, target, folds=folds)
    taken = f"conformal {share_text(target)}" if promise.is_kept else "highest"
    words = f"{taken} of {promise.images} {source} scores"
    facts = [] if promise.is_kept else [f"{share_text(target)} needs {conformal.images_needed(target)}"]
    facts += [] if folds is None else [f"{folds} folds"]
    words += f" ({', '.join(facts)})" if facts else ""
    pixel = None
    if highest is not None:
        pixel_value, pixel_promise = conformal.threshold(highest, target, folds=folds)
        pixel = Stored(pixel_value, words.replace("scores", "images' highest pixels"), promise=pixel_promise)
    return Stored(value, words, promise=promise, pixel=pixel)


def judge_all(
    found: Stored,
    labels: NDArray[np.bool_],
    scores: NDArray[np.floating],
    highest: NDArray[np.floating] | None = None,
) -> Threshold:
    """Measure a threshold, and that of the maps, on images with ``labels`` (N,).

    Args:
        found: the threshold.
        labels: (N,), whether an image is defective.
        scores: (N,) of the images.
        highest: (N,), the highest value of each image's anomaly map; None where it isn't known.
    """
    pixel = None
    if found.pixel is not None:
        nothing = Threshold(found.pixel.value, found.pixel.rule, None, None)
        pixel = nothing if highest is None else judge(found.pixel.value, found.pixel.rule, labels, highest)
        pixel = replace(pixel, promise=found.pixel.promise)
    return replace(judge(found.value, found.rule, labels, scores), promise=found.promise, pixel=pixel)


def to_checkpoint(judged: Threshold | None, score_scale: int) -> dict[str, Any]:
    """Return a checkpoint's fields for the suggested threshold; ``score_scale`` is that of the detector."""
    found = [judged.value, judged.rule] if judged else []
    table: dict[str, Any] = {"threshold": found, "threshold_useless": judged and judged.useless}
    table["score_scale"] = score_scale
    if judged and judged.promise:
        table["threshold_promise"] = asdict(judged.promise)
    if judged and judged.pixel:
        table["pixel_threshold"] = to_checkpoint(judged.pixel, score_scale)
    return table


def from_checkpoint(saved: Mapping[str, Any]) -> Stored | None:
    """Read the threshold of a checkpoint from any writer; None if it has none.

    Raises:
        ValueError: a field is invalid; the text has its value.
    """
    stored, pixel = _stored(saved), saved.get("pixel_threshold")
    if stored is None or pixel is None:
        return stored
    if not isinstance(pixel, Mapping) or pixel.get("pixel_threshold") is not None:  # no level below this one
        raise ValueError(f"pixel_threshold {shown(pixel)}")
    return replace(stored, pixel=_stored(pixel))


def _stored(saved: Mapping[str, Any]) -> Stored | None:
    """The threshold of a table, without that of pixels."""
    found, useless, scale = saved.get("threshold"), saved.get("threshold_useless"), saved.get("score_scale", 1)
    if not found:
        return None
    if not isinstance(found, (list, tuple)) or len(found) != 2:
        raise ValueError(shown(found))
    value, rule = found
    if not is_finite(value):
        raise ValueError(shown(value))
    for text in (rule, useless):
        if not isinstance(text, str) and (text is not None or text is rule):
            raise ValueError(shown(text))
    if isinstance(scale, bool) or not isinstance(scale, int):
        raise ValueError(f"score_scale {shown(scale)}")
    return Stored(float(value), rule, useless, scale, _promise(saved.get("threshold_promise")))


def _promise(saved: object) -> Promise | None:
    if saved is None:
        return None
    if not isinstance(saved, Mapping):
        raise ValueError(f"threshold_promise {shown(saved)}")
    known: dict[str, Any] = {field.name: saved.get(field.name) for field in fields(Promise)}
    for name, value in known.items():
        fits = is_whole(value, 1) if name in ("images", "folds") else is_share(value)
        if not fits and not (value is None and name in ("certain", "folds")):
            raise ValueError(f"threshold_promise {name} {shown(value)}")
    return Promise(**known)
