"""GoodsAD (Zhang et al., RA-L 2024): packed goods in 6 classes, in MVTec's layout with masks of their image's name."""

from __future__ import annotations

from collections.abc import Sequence

from adbench import Dataset, hookimpl
from adbench.api import Counts, Facts

from .tree import tree_dataset

NAME = "goodsad"
COUNTS = {
    "cigarette_box": Counts(183, good=183, bad=246),
    "drink_bottle": Counts(733, good=356, bad=425),
    "drink_can": Counts(234, good=147, bad=147),
    "food_bottle": Counts(1014, good=243, bad=361),
    "food_box": Counts(432, good=146, bad=251),
    "food_package": Counts(540, good=253, bad=230),
}
FACTS = Facts(
    classes=tuple(COUNTS),
    licence="not stated for the images; the repository is GPL-3.0",
    citation="Zhang, Ding, Ban, Dai: PKU-GoodsAD, RA-L 2024, arXiv 2307.04956",
    page="https://github.com/jianzhang96/GoodsAD",
    masks="one per defective image",
    counts=COUNTS,
    notes=("A zip for each class on OneDrive, which the page links to.",),
)


@hookimpl
def adbench_datasets() -> Sequence[Dataset]:
    """Offer ``goodsad``."""
    return [tree_dataset(NAME, "GoodsAD: packed goods of supermarkets", FACTS)]
