"""KolektorSDD (Tabernik et al., JIM 2020): electrical commutators, several images of each item, with a mask for each.

Its folds are for supervised training, so it has no split for training on good images. This reader's own: all defective
images are for testing, and with them the good images of a fifth of the items, drawn by their names as in ``plain``. As
in the folds, no item is in both parts of the good images. (Others test on a fifth of the images, drawn at random.)
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from adbench import Dataset, Sample, Task, hookimpl
from adbench.api import Archive, Counts, Facts

from .layout import check_has_test, folders_in, passed_over
from .paired import USUAL, Pairs, SplitOptions, divide, read_pairs
from .single import Single

NAME = "kolektorsdd"
REARRANGED = ("kolektorsdd", "ksdd", "sdd")
"""Folders of copies in MVTec's layout, in lower case."""

ARCHIVE = Archive(
    "KolektorSDD.zip",
    "https://go.vicos.si/kolektorsdd",
    "65dc621693418585de9c4467d1340ea7958a6181816f0dc2883a1e8b61f9d4dc",
)
FACTS = Facts(
    classes=(NAME,),
    licence="CC BY-NC-SA 4.0",
    citation="Tabernik, Šela, Skvarč, Skočaj: Segmentation-based deep learning, JIM 31, 2020, arXiv 1903.08536",
    page="https://www.vicos.si/resources/kolektorsdd/",
    masks="one per image, black for good ones",
    archives=(ARCHIVE,),
    counts={NAME: Counts(total=(347, 52))},
    notes=("No official split for good images alone: a fifth of the items is for testing.",),
)


def is_item(folder: Path) -> bool:
    """Whether a folder has the images of an item, such as kos01."""
    return re.fullmatch(r"kos\d+", folder.name, re.IGNORECASE) is not None


def _holds(folder: Path) -> bool:
    return any(is_item(inner) for inner in folders_in(folder))


def read(base: Path, options: SplitOptions) -> Task:
    """Find the images, their labels by their masks, and split the good ones. Raises ``DataError``."""
    pairs = read_pairs([item for item in folders_in(base) if is_item(item)], "_label")
    task = _split(base, pairs, options)
    check_has_test(task, base)
    return task


def _item(sample: Sample) -> str:
    return sample.path.parent.name


def _split(base: Path, pairs: Pairs, options: SplitOptions) -> Task:
    train, test = divide(pairs.good, options, _item)
    line = (
        f"{NAME}: {len(train)} good images of {len({*map(_item, train)})} items for training, {len(test)} of "
        f"{len({*map(_item, test)})} items for testing (test_share={options.test_share:g}, no official split)."
    )
    others = [path.name + "/" for path in folders_in(base) if not is_item(path)]
    unused = [path.relative_to(base).as_posix() for path in pairs.unused]
    return Task(
        NAME, NAME, base, train, (*test, *pairs.bad), problems=pairs.problems, train_place=base, options=options,
        remarks=(line, *passed_over(NAME, [*others, *unused])),
    )  # fmt: skip


KOLEKTORSDD = Single(
    NAME, "KolektorSDD: commutators with cracks", FACTS, _holds, "folders kos01, kos02 and so on", read, REARRANGED
)  # fmt: skip


@hookimpl
def adbench_datasets() -> Sequence[Dataset]:
    """Offer ``kolektorsdd``."""
    return [KOLEKTORSDD.dataset(USUAL)]
