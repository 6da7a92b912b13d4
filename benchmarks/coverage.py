"""How often the 95 % intervals of image AUROC cover the truth: ``python -m benchmarks.coverage``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import click
import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table
from scipy.stats import norm

from adbench.evidence import Evidence
from adbench.metrics import Truth
from adbench.statistics import interval, percentile_interval, resample

Draw = Callable[[np.random.Generator, int, int, float], NDArray[np.float64]]


def normal(draw: np.random.Generator, good: int, bad: int, auroc: float) -> NDArray[np.float64]:
    """Scores of good and of defective pictures, normal with the same spread: AUROC = Phi(distance / sqrt 2)."""
    return np.concatenate([draw.normal(size=good), draw.normal(2**0.5 * norm.ppf(auroc), size=bad)])


def exponential(draw: np.random.Generator, good: int, bad: int, auroc: float) -> NDArray[np.float64]:
    """Scores with a heavy tail: exponential, those of defects wider by AUROC / (1 - AUROC)."""
    return np.concatenate([draw.exponential(size=good), draw.exponential(auroc / (1 - auroc), size=bad)])


SHAPES: dict[str, Draw] = {"normal": normal, "exponential": exponential}


@dataclass(frozen=True)
class Row:
    """One setting and what came of it."""

    shape: str
    auroc: float
    good: int
    bad: int
    covered: float
    width: float
    plain: float


def of_images(labels: NDArray[np.bool_], scores: NDArray[np.float64]) -> Evidence:
    """Evidence of pictures without maps."""
    return Evidence.of(Truth.of(labels), [str(number) for number in range(len(labels))], scores)


def simulate(shape: str, auroc: float, good: int, bad: int, times: int, *, plain: bool = True) -> Row:
    """Draw test sets of a known AUROC, and count how often the interval covers it."""
    draw = np.random.default_rng([int(1000 * auroc), good, bad])
    labels = np.arange(good + bad) >= good
    draws = resample(labels, 1000) if plain else None
    covered, width, plainly = 0, 0.0, 0
    for number in range(times):
        evidence = of_images(labels, SHAPES[shape](draw, good, bad, auroc))
        found = interval([evidence], "image_auroc")
        assert found is not None
        covered += found.low <= auroc <= found.high
        width += found.high - found.low
        if draws is not None and number % PLAIN_EVERY == 0:
            each = percentile_interval(evidence.metrics(draws)["image_auroc"])
            plainly += each.low <= auroc <= each.high
    return Row(shape, auroc, good, bad, covered / times, width / times, plainly / -(-times // PLAIN_EVERY))


PLAIN_EVERY = 5
"""The plain bootstrap, which takes long, is tried on every fifth test set."""

PICTURES = ((20, 20), (10, 30), (50, 50), (100, 100))
SETTINGS = [(auroc, good, bad) for auroc in (0.8, 0.95, 0.99) for good, bad in PICTURES]


@click.command()
@click.option("--times", default=1000, show_default=True, help="Test sets drawn for each row.")
def main(times: int) -> None:
    """Print how often the intervals cover the truth."""
    table = Table(title=f"95 % intervals of image AUROC that cover the truth, of {times}")
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
