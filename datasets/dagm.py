"""DAGM 2007: ten synthetic textures with weak labels (ellipses around defects), in the layout of the copy at Kaggle.

    Class1/Train/0576.PNG, Class1/Train/Label/0577_label.PNG, Class1/Train/Label/Labels.txt, and the same in Test

Its training part has defective images as well, which are left out here. Copies in MVTec's layout are read, too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from adbench import Dataset, Sample, Task, hookimpl
from adbench.api import Counts, Facts, Problem, nfc

from .counted import with_counts
from .layout import check_has_test, folders_in, images_in, passed_over
from .names import plural
from .roots import class_folder, find_classes
from .tree import USUAL, is_tree, read_tree

NAME = "dagm"
KIND = "defect"
PARTS = ("Train", "Test")
FACTS = Facts(
    classes=tuple(f"Class{number}" for number in range(1, 11)),
    licence="",
    citation="Wieler, Hahn: Weakly supervised learning for industrial optical inspection, DAGM symposium, 2007",
    page="https://www.kaggle.com/datasets/mhskjelvareid/dagm-2007-competition-dataset-optical-inspection",
    masks="one per defective image, an ellipse around the defect",
    counts={"": Counts(good=6996, bad=1054)},
    notes=("The defective images of its training part are left out.", "Numbers by class are not compared."),
)


def _holds(folder: Path) -> bool:
    return is_tree(USUAL, folder) or any(images_in(folder / part) for part in PARTS)


def classes(root: Path) -> Sequence[str]:
    """The classes that are there. Raises ``DataError`` where the root is missing or holds none."""
    return list(find_classes(NAME, root, FACTS, _holds).folders)


def load(root: Path, class_name: str) -> Task:
    """Find the images and masks of one class.

    Raises:
        UnknownNameError: no such class.
        DataError: it isn't there, or has no test image.
    """
    folder, remarks = class_folder(NAME, root, class_name, FACTS, _holds)
    if is_tree(USUAL, folder):
        task = read_tree(NAME, class_name, folder)
    else:
        train, test = (_Part(folder, part) for part in PARTS)
        name = f"{NAME}/{class_name}"
        left_out = f"{name}: {plural(len(train.bad), 'defective image')} of the training part left out."
        task = Task(
            NAME, class_name, folder.parent, train.good, (*test.good, *test.bad),
            problems=(*train.problems, *test.problems), train_place=folder / "Train",
            remarks=(left_out, *passed_over(name, [*train.passed, *test.passed])),
        )  # fmt: skip
        check_has_test(task, folder / "Test")
    task = with_counts(task, FACTS)
    return replace(task, remarks=(*task.remarks, *remarks))


class _Part:
    """The images of Train or Test; those with a label file, or a flag in Labels.txt, are defective."""

    def __init__(self, folder: Path, part: str) -> None:
        place = folder / part
        labels = place / "Label"
        masks: dict[str, list[Path]] = {}
        for path in images_in(labels):
            masks.setdefault(nfc(path.stem).removesuffix("_label"), []).append(path)
        flags = _flags(labels / "Labels.txt")
        images = [(path, nfc(path.stem)) for path in images_in(place)]
        self.good = tuple(Sample(path) for path, stem in images if stem not in masks and not flags.get(stem))
        bad = [(path, stem) for path, stem in images if stem in masks or flags.get(stem)]
        missing = {stem: [labels / f"{path.stem}_label{path.suffix}"] for path, stem in bad if stem not in masks}
        self.bad = tuple(Sample(path, 1, KIND, {**masks, **missing}[stem][0]) for path, stem in bad)
        self.problems = tuple(
            Problem(path, "a mask, but Labels.txt calls the image good", "Remove the mask, or correct Labels.txt")
            for path, stem in bad
            if stem in masks and flags.get(stem) is False
        ) + tuple(
            Problem(path, f"{len(found)} masks, {' and '.join(each.name for each in found)}", "Keep one of them")
            for path, stem in bad
            if len(found := masks.get(stem, [])) > 1
        )
        stems = {stem for _, stem in images}
        unused = [path for stem, found in masks.items() if stem not in stems for path in found]
        others = [path for path in folders_in(place) if path != labels]
        self.passed = [path.relative_to(folder).as_posix() for path in (*unused, *others)]


def _flags(path: Path) -> dict[str, bool]:
    """The stems of images in Labels.txt, and whether they are defective; empty where there is no such file.

    Its first line is a number. Each other one has a number, 0 or 1, the image's file, 0, and the mask's file or 0.
    """
    if not path.is_file():
        return {}
    rows = [line.split() for line in path.read_text(encoding="utf-8", errors="replace").splitlines()]
    return {nfc(Path(row[2]).stem): row[1] == "1" for row in rows if len(row) >= 3}


@hookimpl
def adbench_datasets() -> Sequence[Dataset]:
    """Offer ``dagm``."""
    return [Dataset(NAME, "DAGM 2007: ten synthetic textures", classes, load, FACTS.page, facts=FACTS)]
