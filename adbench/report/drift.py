"""The table of ``adbench drift``: logged scores, window by window, beside the stored scores of good images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..results.image_scores import ThresholdScore
from ..results.records import Result
from ..results.score_log import LoggedScore
from ..stats import drift
from ..stats.drift import Look
from ..util.errors import DataError, ResultError
from ..util.text import plural, share_text
from .tables import Column, Table


@dataclass(frozen=True)
class Watched:
    """One window of the log of a class, and what the tests say of it."""

    class_name: str
    number: int
    first: LoggedScore
    last: LoggedScore
    look: Look

    @property
    def verdict(self) -> str:
        """What the tests say, for people."""
        found = [
            *(["scores drifted"] if self.look.scores_differ else []),
            *(["too many alarms"] if self.look.too_many_alarms else []),
        ]
        return ", ".join(found) or "as the good ones"


@dataclass(frozen=True)
class Reference:
    """Scores of good images to compare with, and where they are from: a ``Source``, or "logged"."""

    scores: tuple[float, ...]
    source: str

    @classmethod
    def of_stored(cls, good: Sequence[ThresholdScore], result: Result) -> Reference:
        """Those beside a result.

        Raises:
            ResultError: they are of training images, to which no new image is alike.
        """
        if good[0].source == "training":
            raise ResultError(
                f"run {result.run}, class {result.class_name}", found="scores of training images alone, to which no "
                "new image is alike", wanted="held-out or cross-validated ones",
                hint="Give a log of good images with --good, or the run's own command again with --holdout 0.1",
            )  # fmt: skip
        return cls(tuple(each.score for each in good), good[0].source)

    @classmethod
    def of_log(cls, log: Sequence[LoggedScore]) -> Reference:
        """Those of a log of good images, at least one."""
        return cls(tuple(record.score for record in log), "logged")

    @property
    def too_high(self) -> bool:
        """Whether they may be higher than the model's scores of new good images: the folds' models saw fewer images."""
        return self.source == "cross-validated"


def watched(
    result: Result,
    good: Reference,
    log: Sequence[LoggedScore],
    *,
    window: int,
    level: float,
    with_alarms: bool = True,
) -> list[Watched]:
    """Test the logged scores of one class of a run.

    Args:
        result: the run, with its present threshold.
        good: scores of good images.
        log: the records of this class and run, at least one, in their order.
        window: images of a window.
        level: probability of a false alarm in all windows together.
        with_alarms: whether more alarms than promised count, too.

    Raises:
        DataError: the log has no record of it.
    """
    if not log:
        raise DataError(f"log of class {result.class_name}", found="no record")
    scores = np.array([record.score for record in log], dtype=np.float64)
    threshold = result.threshold
    looks = drift.look(
        np.array(good.scores, dtype=np.float64),
        drift.windows_of(scores, window),
        threshold=threshold.value if threshold else None,
        promise=threshold.promise if threshold and with_alarms else None,
        level=level,
        higher_only=good.too_high,
    )
    found, start = [], 0
    for number, look in enumerate(looks, 1):
        stop = start + look.images
        found.append(Watched(result.class_name, number, log[start], log[stop - 1], look))
        start = stop
    return found


def drift_table(
    found: Sequence[Watched], good: Sequence[Reference], *, level: float, with_alarms: bool = True, title: str
) -> Table[Watched]:
    """A row for each window.

    Args:
        found: the windows of all classes.
        good: the scores of good images of each class.
        level: probability of a false alarm in the whole table.
        with_alarms: whether more alarms than promised were to count.
        title: names the run and the log.
    """
    several = len({each.class_name for each in found}) > 1
    columns: tuple[Column[Watched], ...] = (
        Column("class", "class", lambda row: row.class_name, audience="all" if several else "programs", role="key"),
        Column("window", "window", lambda row: row.number, "count", role="key"),
        Column("from", "from", lambda row: row.first.time[:16].replace("T", " "), audience="people", whole=True),
        Column("from", "from", lambda row: row.first.time, audience="programs"),
        Column("to", "to", lambda row: row.last.time, audience="programs"),
        Column("images", "images", lambda row: row.look.images, "count"),
        Column("median", "median", lambda row: row.look.median, "score"),
        Column("scores_p", "p scores", lambda row: row.look.scores_p, "p_value"),
        Column("alarms", "alarms", lambda row: row.look.alarms, "count"),
        Column("alarms_p", "p alarms", lambda row: row.look.alarms_p, "p_value"),
        Column("verdict", "verdict", lambda row: row.verdict, role="main", whole=True),
        Column("drifted", "drifted", lambda row: row.look.drifted, audience="programs"),
    )
    return Table(title, columns, tuple(found), tuple(_notes(found, good, level, with_alarms)))


def _notes(found: Sequence[Watched], good: Sequence[Reference], level: float, with_alarms: bool) -> list[str]:
    medians = ", ".join(f"{np.median(each.scores):.4g}" for each in good)
    count = plural(sum(len(each.scores) for each in good), f"{good[0].source} score")
    notes = [
        f"Compared with {count} of good images (median {medians}). p: corrected for all windows and both tests; good "
        f"images alone give a false alarm in at most {share_text(level)} of such tables (docs/thresholds.md)."
    ]
    if any(each.too_high for each in good):
        notes.append(
            "Cross-validated scores are of models with fewer images, and may be too high. So only higher scores count "
            "as drift. For an exact test give a log of good images: --good FILE."
        )
    if all(each.look.alarms_p is None for each in found):
        why = "that needs a threshold with a promise from held-out images" if with_alarms else "--ignore-alarms"
        notes.append(f"Alarms are not tested: {why}.")
    if any(each.look.too_many_alarms and not each.look.scores_differ for each in found):
        notes.append("Too many alarms alone may be defective parts; --ignore-alarms leaves them out of the verdict.")
    return notes
