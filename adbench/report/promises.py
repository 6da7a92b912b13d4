"""The table of thresholds: what they promise, and beside it what they did on the test set."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

from ..api.scores import Promise, Threshold
from ..results.records import Result
from ..results.run_files import folder_of, read_scores
from ..results.variants import Names
from ..stats import conformal
from ..util.errors import ResultError
from ..util.text import share_text
from .leaderboard import some
from .tables import Column, Table

_PROMISED = {field.name for field in fields(Promise)}


@dataclass(frozen=True)
class _Row:
    """A threshold of one run: of its image scores, or of its maps' pixels."""

    run: Result
    variant: str
    of: str
    threshold: Threshold | None
    good: int | None

    @property
    def promise(self) -> Promise | None:
        """What it promises."""
        return self.threshold.promise if self.threshold else None

    def number(self, name: str) -> float | None:
        """A number of the threshold, or of its promise; None without one."""
        owner = self.promise if name in _PROMISED else self.threshold
        value: float | None = getattr(owner, name, None)
        return value

    @property
    def chance(self) -> float | None:
        """The chance of so many false alarms on the test set, or more, if its good images are like the stored ones."""
        rate = self.threshold.false_alarm_rate if self.threshold else None
        if self.promise is None or rate is None or not self.good:
            return None
        return conformal.chance(self.promise, round(rate * self.good), self.good)


def promise_table(
    results: Sequence[Result], names: Names | None = None, good_images: Sequence[int | None] | None = None
) -> Table[_Row]:
    """The thresholds of some runs, of images and of pixels: promised and measured.

    Args:
        results: the runs.
        names: names of the variants; by default from these results alone.
        good_images: number of good test images of each run; None where it isn't known.

    Raises:
        ResultError: there is no result.
    """
    named = names or Names(some(results))
    rows = tuple(
        row
        for result, good in zip(some(results), good_images or [None] * len(results), strict=True)
        for row in _rows(result, named.of(result), good)
    )
    crossed = any(row.promise and row.promise.folds for row in rows)
    several = len({row.variant for row in rows}) > 1
    seeds = len({row.run.seed for row in rows}) > 1
    columns: tuple[Column[_Row], ...] = (
        Column("dataset", "data set", lambda row: row.run.dataset, audience="programs"),
        Column("class", "class", lambda row: row.run.class_name, role="key"),
        Column("variant", "variant", lambda row: row.variant, audience="all" if several else "programs", role="key"),
        Column("seed", "seed", lambda row: row.run.seed, "count", "all" if seeds else "programs", role="key"),
        Column("run", "run", lambda row: row.run.run, audience="programs"),
        Column("of", "of", lambda row: row.of, role="key"),
        Column("threshold", "threshold", lambda row: row.number("value"), "score", role="main"),
        Column("target", "asked", lambda row: row.number("target"), "percent"),
        Column(
            "expected", "expected", lambda row: row.number("expected"), "percent", "all" if crossed else "programs"
        ),
        Column("promised", "promised", lambda row: row.number("bound"), "percent", role="main"),
        Column(
            "false_alarm_rate", "false alarms", lambda row: row.number("false_alarm_rate"),
            "percent", role="main",
        ),
        Column("miss_rate", "misses", lambda row: row.number("miss_rate"), "percent", role="main"),
        Column("good_images", "good test images", lambda row: row.good, "count", "programs"),
        Column("p_value", "p", lambda row: row.chance, "p_value", "programs"),
        Column("images", "from images", lambda row: row.number("images"), "count", "programs"),
        Column("folds", "folds", lambda row: row.number("folds"), "count", "programs"),
        Column("certain", "certain", lambda row: row.number("certain"), "percent", "programs"),
        Column("rule", "rule", lambda row: row.threshold.rule if row.threshold else None, audience="programs"),
    )  # fmt: skip
    return Table("Thresholds: promised, and done on the test set (%)", columns, rows, tuple(_notes(rows)))


def good_test_images(stored: Path, result: Result) -> int | None:
    """The number of good test images of a run, from its stored scores; None where they can't be read.

    Args:
        stored: the folder of all results.
        result: the run.
    """
    try:
        return sum(not score.label for score in read_scores(folder_of(stored, result), result))
    except ResultError:
        return None


def _rows(result: Result, variant: str, good: int | None) -> Iterator[_Row]:
    yield _Row(result, variant, "images", result.threshold, good)
    if result.threshold and result.threshold.pixel:
        yield _Row(result, variant, "pixels", result.threshold.pixel, good)


# ---------------------------------------------------------------- notes


def _notes(rows: Sequence[_Row]) -> Iterator[str]:
    """What the numbers mean, each sentence once."""
    yield from dict.fromkeys(
        _promise_text(row.promise) for row in rows if row.promise is not None and row.of == "images"
    )
    if any(row.of == "pixels" for row in rows):
        yield "Of pixels: above it is an image with any pixel of its map above it, so the shares are of images as well."
    others = {row.threshold.rule: row.run.class_name for row in rows if row.threshold and not row.promise}
    if others:
        yield f"Promises nothing: {'; '.join(others)}."
    if without := list(dict.fromkeys(row.run.class_name for row in rows if row.threshold is None)):
        yield f"No threshold: {', '.join(without)}."
    for row in rows:
        if row.chance is not None and row.chance < conformal.SIGNIFICANT and row.good:
            yield (
                f"{_name(row, rows)}: more false alarms than promised, and more than chance explains "
                f"(p = {row.chance:.2g} of {row.good} good test images). These images are not like those that the "
                "threshold came from."
            )


def _name(row: _Row, rows: Sequence[_Row]) -> str:
    several = len({each.variant for each in rows}) > 1
    seed = f" seed {row.run.seed}" if len({each.run.seed for each in rows}) > 1 else ""
    return f"{f'{row.variant} ' if several else ''}{row.run.class_name}{seed}, {row.of}"


def _promise_text(promise: Promise) -> str:
    asked, needed = share_text(promise.target), conformal.images_needed(promise.target)
    short = "" if promise.is_kept else f"{asked} needs {needed} good images and there are {promise.images}, so"
    if promise.folds is None:
        who = f"like the {promise.images} that it came from"
        text = (
            f"at most {share_text(promise.bound)} of new good images {who}, as a mean over draws of those; with 95% "
            f"certainty at most {share_text(promise.certain or 1.0)} at this threshold."
        )
        return f"Promised: {text}" if not short else f"{short} the threshold is their highest score. Promised: {text}"
    about = f"about {share_text(promise.expected)} is expected"
    bound = (
        f"The guarantee of cross-validation is weaker: at most {share_text(promise.bound)}, and for the "
        f"{promise.folds} models of the folds together; the stored model, trained on all images, is taken to score new "
        "ones as they do."
    )
    lead = f"{short} the threshold is their highest score and" if short else "Cross-validated:"
    return f"{lead} {about}. {bound}"
