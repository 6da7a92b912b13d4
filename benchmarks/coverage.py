"""Simulates how often intervals cover the true image AUROC, and how often the best method is kept.

``python -m benchmarks.coverage``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations

import click
import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table
from scipy.stats import norm

from adbench.data.ground_truth import GroundTruth
from adbench.metrics.histograms import ScoreHistograms
from adbench.stats.comparison import Resampled, best_p_values, compare, holm, resampled
from adbench.stats.intervals import interval, percentile_interval, resample

Draw = Callable[[np.random.Generator, int, int, float], NDArray[np.float64]]


def normal(draw: np.random.Generator, good: int, bad: int, auroc: float) -> NDArray[np.float64]:
    """Scores of good and of defective images, normal with the same spread: AUROC = Phi(distance / sqrt 2)."""
    return np.concatenate([draw.normal(size=good), draw.normal(2**0.5 * norm.ppf(auroc), size=bad)])


def exponential(draw: np.random.Generator, good: int, bad: int, auroc: float) -> NDArray[np.float64]:
    """Scores with a heavy tail: exponential, and AUROC / (1 - AUROC) times as wide for defects."""
    return np.concatenate([draw.exponential(size=good), draw.exponential(auroc / (1 - auroc), size=bad)])


SHAPES: dict[str, Draw] = {"normal": normal, "exponential": exponential}


@dataclass(frozen=True)
class Row:
    """One setting and its simulated coverage."""

    shape: str
    auroc: float
    good: int
    bad: int
    covered: float
    width: float
    plain: float


def of_images(labels: NDArray[np.bool_], scores: NDArray[np.float64]) -> ScoreHistograms:
    """Make histograms of images without maps."""
    return ScoreHistograms.of(GroundTruth.of(labels), [str(number) for number in range(len(labels))], scores)


def simulate(shape: str, auroc: float, good: int, bad: int, times: int, *, plain: bool = True) -> Row:
    """Draw test sets of a known AUROC, and count how often the interval covers it."""
    draw = np.random.default_rng([int(1000 * auroc), good, bad])
    labels = np.arange(good + bad) >= good
    draws = np.concatenate([*resample(labels, 1000)]) if plain else None
    covered, width, plainly = 0, 0.0, 0
    for number in range(times):
        histograms = of_images(labels, SHAPES[shape](draw, good, bad, auroc))
        found = interval([histograms], "image_auroc")
        assert found is not None
        covered += found.low <= auroc <= found.high
        width += found.high - found.low
        if draws is not None and number % PLAIN_EVERY == 0:
            each = percentile_interval(histograms.metrics(draws)["image_auroc"])
            plainly += each.low <= auroc <= each.high
    return Row(shape, auroc, good, bad, covered / times, width / times, plainly / -(-times // PLAIN_EVERY))


PLAIN_EVERY = 5
"""The plain bootstrap takes long, so only every fifth test set tries it."""

IMAGES = ((20, 20), (10, 30), (50, 50), (100, 100))
SETTINGS = [(auroc, good, bad) for auroc in (0.8, 0.95, 0.99) for good, bad in IMAGES]


# ---------------------------------------------------------------- comparisons with the best


@dataclass(frozen=True)
class Field:
    """Methods to compare: the AUROC of the best ones, their number, and the AUROCs of the others."""

    best: float
    tied: int
    others: tuple[float, ...]

    @property
    def text(self) -> str:
        """Describe the field: "1 of 0.95, 11 of 0.90"."""
        counts = {value: self.others.count(value) for value in sorted(set(self.others), reverse=True)}
        return ", ".join(f"{count} of {value:.2f}" for value, count in {self.best: self.tied, **counts}.items())


@dataclass(frozen=True)
class Kept:
    """Outcome of a field: the share of best methods that were kept, and of others that were called worse."""

    kept: float
    worse: float
    letters: float


ALIKE = 0.5
"""The correlation of the scores of two methods on the same image."""

FIELDS = (
    Field(0.80, 2, ()), Field(0.95, 2, ()), Field(0.80, 12, ()), Field(0.95, 12, ()), Field(0.99, 12, ()),
    Field(0.95, 1, (0.90,) * 11), Field(0.95, 1, (0.80,) * 11), Field(0.99, 1, (0.95,) * 10 + (0.50,)),
)  # fmt: skip
BEST_IMAGES = (20, 50, 100)


def keep_the_best(field: Field, number: int, times: int, *, letters: bool = True) -> Kept:
    """Draw test sets of ``number`` good and ``number`` defective images, scored by every method of a field.

    Scores are normal; the methods' scores of one image correlate.
    """
    aurocs = (*[field.best] * field.tied, *field.others)
    draw = np.random.default_rng([int(1000 * field.best), field.tied, len(field.others), number])
    labels = np.arange(2 * number) >= number
    kept, worse, apart = [], [], []
    for _ in range(times):
        shared = draw.normal(size=2 * number)
        methods = [[_of_method(labels, shared, auroc, draw)] for auroc in aurocs]
        called = [p is not None and p < LEVEL for p in best_p_values(methods)]
        kept += [not each for each in called[: field.tied]]
        worse += called[field.tied :]
        if letters:
            pairs = list(combinations(range(len(aurocs)), 2))
            found = [compare(methods[a], methods[b]) for a, b in pairs]
            adjusted = holm([each.p_value if each else None for each in found])
            small = {pair for pair, p in zip(pairs, adjusted, strict=True) if p is not None and p < LEVEL}
            apart += [(0, other) in small for other in range(field.tied, len(aurocs))]
    return Kept(float(np.mean(kept)), _share(worse), _share(apart))


LEVEL = 0.05


def _share(found: Sequence[bool]) -> float:
    return float(np.mean(found)) if found else math.nan


def _of_method(
    labels: NDArray[np.bool_], shared: NDArray[np.float64], auroc: float, draw: np.random.Generator
) -> Resampled:
    distance = 2**0.5 * norm.ppf(auroc)
    own = draw.normal(size=len(labels))
    scores = distance * labels + ALIKE**0.5 * shared + (1 - ALIKE) ** 0.5 * own
    return resampled([of_images(labels, scores)], "image_auroc", "simulated")


def best_table(times: int) -> Table:
    """How often the best methods are kept and the others called worse; beside it, the letters for all pairs."""
    table = Table(title=f"The best method kept, and others called worse than the best, in {times} test sets")
    for column in ("AUROC of methods", "images", "best kept", "others called worse", "by Holm, all pairs"):
        table.add_column(column, justify="left" if column.startswith("AUROC") else "right")
    for field in FIELDS:
        for number in BEST_IMAGES:
            found = keep_the_best(field, number, times)
            shares = (_percent(each) for each in (found.kept, found.worse, found.letters))
            table.add_row(field.text, f"{number} + {number}", *shares)
    return table


def _percent(share: float) -> str:
    return "" if math.isnan(share) else f"{100 * share:.1f} %"


@click.command()
@click.option("--times", default=1000, show_default=True, help="Test sets drawn for each row.")
@click.option("--best", is_flag=True, help="Of the comparisons with the best, in place of the intervals.")
def main(times: int, best: bool) -> None:
    """Print how often the intervals cover the true value, or how often the best method is kept."""
    if best:
        Console(width=110).print(best_table(times))
        return
    table = Table(title=f"95 % intervals of image AUROC that cover the true value, of {times}")
    for column in ("scores", "AUROC", "good", "defective", "covered", "mean width", "plain bootstrap"):
        table.add_column(column, justify="left" if column == "scores" else "right")
    for shape in SHAPES:
        for auroc, good, bad in SETTINGS:
            row = simulate(shape, auroc, good, bad, times)
            table.add_row(shape, f"{auroc:.2f}", str(good), str(bad), f"{100 * row.covered:.1f} %", f"{row.width:.3f}",
                          f"{100 * row.plain:.1f} %")  # fmt: skip
    Console(width=100).print(table)


if __name__ == "__main__":
    main()
