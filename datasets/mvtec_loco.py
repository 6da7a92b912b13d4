"""MVTec LOCO AD (Bergmann et al., IJCV 2022): logical and structural defects in 5 classes.

Each mask of an image is one region; they are joined for metrics by pixel. ``defects_config.json`` of a class says how
much of each must be found, for metrics by region.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from adbench import Dataset, Task, hookimpl
from adbench.api import Archive, Counts, Facts

from .defects import CONFIG, with_rules
from .tree import Tree, tree_dataset

NAME = "mvtec_loco"
LOGICAL, STRUCTURAL = "logical_anomalies", "structural_anomalies"
GROUPS = {LOGICAL: "logical", STRUCTURAL: "structural"}


def _counts(train: int, validation: int, good: int, structural: int, logical: int) -> Counts:
    return Counts(train, validation, good, structural + logical, {STRUCTURAL: structural, LOGICAL: logical})


COUNTS = {
    "breakfast_box": _counts(351, 62, 102, 90, 83),
    "juice_bottle": _counts(335, 54, 94, 94, 142),
    "pushpins": _counts(372, 69, 138, 81, 91),
    "screw_bag": _counts(360, 60, 122, 82, 137),
    "splicing_connectors": _counts(360, 60, 119, 85, 108),
}
ARCHIVE = Archive(
    "mvtec_loco_anomaly_detection.tar.xz",
    sha256="9e7c84dba550fd2e59d8e9e231c929c45ba737b6b6a6d3814100f54d63aae687",
)
FACTS = Facts(
    classes=tuple(COUNTS),
    licence="CC BY-NC-SA 4.0",
    citation="Bergmann, Batzner, Fauser, Sattlegger, Steger: Beyond dents and scratches, IJCV 130, 2022",
    page="https://www.mvtec.com/company/research/datasets/mvtec-loco",
    masks="one or more per defective image, each a region",
    archives=(ARCHIVE,),
    counts=COUNTS,
    notes=(
        "The archive has no folder of its own: make one first.",
        "The numbers are those of the archive; the paper's table has 354 and 59 good images of splicing_connectors.",
    ),
)


TREE = Tree(validation="validation", joins=True, files=(CONFIG,))


def _finish(task: Task, folder: Path) -> Task:
    return with_rules(task, folder, GROUPS)


@hookimpl
def adbench_datasets() -> Sequence[Dataset]:
    """Offer ``mvtec_loco``."""
    summary = "MVTec LOCO AD: logical and structural defects of 5 objects"
    return [tree_dataset(NAME, summary, FACTS, TREE, _finish)]
