"""KolektorSDD2 (Božič et al., Computers in Industry 2021): a surface with defects, in its official split.

The training part has defective images as well, which are left out here.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from adbench import Dataset, Task, hookimpl
from adbench.api import Archive, Counts, Facts

from .layout import check_has_test, images_in, passed_over
from .names import plural
from .paired import read_pairs
from .single import Single

NAME = "kolektorsdd2"
ENDING = "_GT"
ARCHIVE = Archive(
    "KolektorSDD2.zip",
    "https://go.vicos.si/kolektorsdd2",
    md5="1ed0f628122776ace4965afa30dfe316",
    bytes=853_126_555,
)
FACTS = Facts(
    classes=(NAME,),
    licence="CC BY-NC-SA 4.0",
    citation="Božič, Tabernik, Skočaj: Mixed supervision for surface-defect detection, 2021, arXiv 2104.06064",
    page="https://www.vicos.si/resources/kolektorsdd2/",
    masks="one per image, black for good ones",
    archives=(ARCHIVE,),
    counts={NAME: Counts(2085, good=894, bad=110)},
    notes=("The 246 defective images of its training part are left out.",),
)


def _holds(folder: Path) -> bool:
    return any(path.stem.lower().endswith(ENDING.lower()) for path in images_in(folder / "test"))


def read(base: Path, _: None) -> Task:
    """Find the images, and their labels by their masks. Raises ``DataError`` where there is no test image."""
    train, test = read_pairs([base / "train"], ENDING), read_pairs([base / "test"], ENDING)
    left_out = f"{NAME}: {plural(len(train.bad), 'defective image')} of the training part left out."
    unused = [path.relative_to(base).as_posix() for path in (*train.unused, *test.unused)]
    task = Task(
        NAME, NAME, base, train.good, (*test.good, *test.bad), problems=(*train.problems, *test.problems),
        train_place=base / "train", remarks=(left_out, *passed_over(NAME, unused)),
    )  # fmt: skip
    check_has_test(task, base / "test")
    return task


KOLEKTORSDD2 = Single(
    NAME, "KolektorSDD2: a surface with defects", FACTS, _holds,
    f"train and test with images and their masks NAME{ENDING}.png", read, copies=(NAME, "ksdd2"),
)  # fmt: skip


@hookimpl
def adbench_datasets() -> Sequence[Dataset]:
    """Offer ``kolektorsdd2``."""
    return [KOLEKTORSDD2.dataset()]
