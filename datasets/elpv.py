"""ELPV (Buerhop-Lutz et al. 2018, Deitsch et al. 2019): electroluminescence images of solar cells, without masks.

Experts gave each cell a probability of being defective: 0, 1/3, 2/3 or 1. Without ``--data-root`` the installed package
``elpv-dataset`` is read. It has no official split: a fifth of the good images is for testing, drawn by their names as
in ``plain``.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated

from adbench import Dataset, Sample, Task, hookimpl
from adbench.api import Archive, Counts, DataError, Facts, Range

from .counted import with_counts
from .layout import check_class, check_has_test, check_root, images_in, lines_of, passed_over
from .names import plural
from .paired import BAD, SplitOptions, divide
from .roots import candidates, nothing

NAME = "elpv"
PACKAGE = "elpv_dataset"
LABELS = "labels.csv"
INNER = ("data", "elpv_dataset/data", "src/elpv_dataset/data")
TYPES = ("mono", "poly")
FACTS = Facts(
    classes=(NAME,),
    licence="CC BY-NC-SA 4.0",
    citation="Buerhop-Lutz et al.: A benchmark for visual identification of defective solar cells, EU PVSEC 2018",
    page="https://github.com/zae-bayern/elpv-dataset",
    masks="none",
    archives=(Archive("elpv-dataset (Python package)", "https://pypi.org/project/elpv-dataset/"),),
    counts={NAME: Counts(total=(1803, 821))},
    notes=(
        "401 of 2624 labels are doubtful (probability 1/3 or 2/3): --data-option doubtful=false leaves them out.",
        "No official split: a fifth of the good images is for testing.",
    ),
)


@dataclass(frozen=True)
class ElpvOptions(SplitOptions):
    """How probabilities become labels, and how good images are split."""

    threshold: Annotated[float, Range(0, 1)] = 0.5
    """An image counts as defective from this probability on."""

    doubtful: bool = True
    """Whether images with a probability other than 0 and 1 are used."""


USUAL = ElpvOptions()


def installed() -> Path | None:
    """The folder of the installed package; None if it isn't installed. Nothing is imported."""
    found = importlib.util.find_spec(PACKAGE)
    if found is None or found.origin is None:
        return None
    return Path(found.origin).parent / "data"


def _find(root: Path) -> Path:
    check_root(NAME, root, FACTS.page)
    for place in (*candidates(root), *(root / inner for inner in INNER)):
        if (place / LABELS).is_file() and (place / "images").is_dir():
            return place
    error = nothing(NAME, root, FACTS, f"no {LABELS} beside a folder images", "both, as in the package elpv-dataset")
    if installed() is not None:
        raise DataError(str(error), hint="Without --data-root and ADBENCH_DATA the installed package is read")
    raise error


def classes(root: Path) -> Sequence[str]:
    """The only class. Raises ``DataError`` where it isn't there."""
    _find(root)
    return FACTS.classes


def load(options: ElpvOptions, root: Path, class_name: str) -> Task:
    """Find the images, their labels by the probabilities, and split the good ones.

    Raises:
        UnknownNameError: another class.
        DataError: it isn't there, its labels can't be read, or it has no test image.
    """
    check_class(NAME, class_name, FACTS.classes)
    base = _find(root)
    rows = _read(base / LABELS)
    used = [(path, number) for path, number in rows if options.doubtful or number in (0, 1)]
    good = [Sample(base / path) for path, number in used if number < options.threshold]
    bad = tuple(Sample(base / path, 1, BAD) for path, number in used if number >= options.threshold)
    train, test = divide(good, options)
    left_out = "" if options.doubtful else f"; {len(rows) - len(used)} doubtful left out"
    line = (
        f"{NAME}: {plural(len(train), 'good image')} for training, {len(test)} good and {len(bad)} defective for "
        f"testing (test_share={options.test_share:g}, no official split; defective from probability "
        f"{options.threshold:g} on{left_out})."
    )
    listed = {Path(path).name for path, _ in rows}
    unlisted = [f"images/{path.name}" for path in images_in(base / "images") if path.name not in listed]
    task = Task(
        NAME, NAME, base, train, (*test, *bad), train_place=base / "images", options=options,
        remarks=(line, *passed_over(NAME, unlisted)),
    )  # fmt: skip
    check_has_test(task, base / "images")
    return with_counts(task, FACTS) if options.doubtful and options.threshold == USUAL.threshold else task


def _read(path: Path) -> list[tuple[str, float]]:
    """The image and the probability of each line: "images/cell0001.png  1.0  mono"."""
    rows = []
    for number, line in enumerate(lines_of(path, "labels", "a text file"), 1):
        parts = line.replace(",", " ").split()
        if not parts:
            continue
        probability = _probability(parts[1]) if len(parts) == 3 and parts[2] in TYPES else None
        if probability is None:
            raise DataError(
                f"labels {path}, line {number}", found=repr(line.strip()),
                wanted="an image, a probability from 0 to 1, and mono or poly", hint=f"Get it again from {FACTS.page}",
            )  # fmt: skip
        rows.append((parts[0], probability))
    return rows


def _probability(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if 0 <= value <= 1 else None


def reader(options: ElpvOptions = USUAL) -> Dataset:
    """The reader with other options."""
    return Dataset(
        NAME, "ELPV: solar cells, no masks", classes, partial(load, options), FACTS.page,
        options=options, configure=reader, facts=FACTS, installed_root=installed,
    )  # fmt: skip


@hookimpl
def adbench_datasets() -> Sequence[Dataset]:
    """Offer ``elpv``."""
    return [reader()]
