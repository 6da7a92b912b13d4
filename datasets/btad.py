"""BTAD (Mishra et al., ISIE 2021): 3 products, good images in ``ok`` and defective ones in ``ko``.

Images and masks have other suffixes in each class of the archive, and others again in copies: masks are found by stem.
"""

from __future__ import annotations

from collections.abc import Sequence

from adbench import Dataset, hookimpl
from adbench.api import Archive, Counts, Facts

from .tree import Tree, tree_dataset

NAME = "btad"
COUNTS = {
    "01": Counts(400, good=21, bad=49),
    "02": Counts(399, good=30, bad=200),
    "03": Counts(1000, good=400, bad=41),
}
ARCHIVE = Archive(
    "btad.zip",
    "https://avires.dimi.uniud.it/papers/btad/btad.zip",
    "461c9387e515bfed41ecaae07c50cf6b10def647b36c9e31d239ab2736b10d2a",
)
FACTS = Facts(
    classes=tuple(COUNTS),
    licence="CC BY-SA by its authors' page; others say CC BY-NC-SA 4.0",
    citation="Mishra, Verk, Fornasier, Piciarelli, Foresti: VT-ADL, ISIE 2021, arXiv 2104.10036",
    page="https://github.com/pankajmishra000/VT-ADL",
    masks="one per defective image",
    archives=(ARCHIVE,),
    counts=COUNTS,
    notes=("The numbers are those of the archive; the authors' page has those of 02 and 03 swapped.",),
)


@hookimpl
def adbench_datasets() -> Sequence[Dataset]:
    """Offer ``btad``."""
    return [tree_dataset(NAME, "BTAD: three products, body and surface defects", FACTS, Tree(good=("ok", "good")))]
