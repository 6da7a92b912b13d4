"""MPDD (Jezek et al., ICUMT 2021): painted metal parts in 6 classes, in MVTec's layout."""

from __future__ import annotations

from collections.abc import Sequence

from adbench import Dataset, hookimpl
from adbench.api import Counts, Facts

from .tree import tree_dataset

NAME = "mpdd"
COUNTS = {
    "bracket_black": Counts(289, good=32, bad=47, kinds={"hole": 12, "scratches": 35}),
    "bracket_brown": Counts(185, good=26, bad=51, kinds={"bend_and_parts_mismatch": 17, "parts_mismatch": 34}),
    "bracket_white": Counts(110, good=30, bad=30, kinds={"defective_painting": 13, "scratches": 17}),
    "connector": Counts(128, good=30, bad=14, kinds={"parts_mismatch": 14}),
    "metal_plate": Counts(54, good=26, bad=71, kinds={"major_rust": 14, "scratches": 34, "total_rust": 23}),
    "tubes": Counts(122, good=32, bad=69, kinds={"anomalous": 69}),
}
FACTS = Facts(
    classes=tuple(COUNTS),
    licence="CC BY-NC-SA 4.0",
    citation="Jezek, Jonak, Burget, Dvorak, Skotak: Deep learning-based defect detection of metal parts, ICUMT 2021",
    page="https://github.com/stepanje/MPDD",
    masks="one per defective image",
    counts=COUNTS,
    notes=("A folder on OneDrive, which the page links to.",),
)


@hookimpl
def adbench_datasets() -> Sequence[Dataset]:
    """Offer ``mpdd``."""
    return [tree_dataset(NAME, "MPDD: painted metal parts", FACTS)]
