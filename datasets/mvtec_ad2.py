"""MVTec AD 2 (Heckler-Kram et al., 2025): 8 classes under changing light, with private tests for its server.

``test_public`` has labels and masks and is scored by default. ``test_private`` and ``test_private_mixed`` have no
labels: ``adbench submit`` writes their maps for the data set's server.
"""

from __future__ import annotations

from collections.abc import Sequence

from adbench import Dataset, hookimpl
from adbench.api import Archive, Counts, Facts, Submission

from .tree import Tree, tree_dataset

NAME = "mvtec_ad2"
SUBMISSION = Submission(
    "https://benchmark.mvtec.com", {"test_private": "{:03d}_regular", "test_private_mixed": "{:03d}_mixed"}
)
PRIVATE = tuple(SUBMISSION.names)
IN_EACH = {
    "can": 321,
    "fabric": 314,
    "fruit_jelly": 255,
    "rice": 277,
    "sheet_metal": 142,
    "vial": 276,
    "wallplugs": 232,
    "walnuts": 228,
}
"""Images of a class in each of the two private tests; those of the other splits are not published by class."""

TOTAL = Counts(2528, 302, 379, 705, unlabelled=dict.fromkeys(PRIVATE, sum(IN_EACH.values())))
ARCHIVE = Archive(
    "mvtec_ad_2.tar.gz", "", "c0ded99ef32bfc8e352d52beb44515e5b292b8598cb963aadfa91ca0763505e4", bytes=32_739_596_982
)
FACTS = Facts(
    classes=tuple(IN_EACH),
    licence="CC BY-NC-SA 4.0",
    citation="Heckler-Kram, Neudeck, Scheler, König, Steger: The MVTec AD 2 dataset, 2025, arXiv 2503.21622",
    page="https://www.mvtec.com/company/research/datasets/mvtec-ad-2",
    masks="one per defective image of test_public",
    archives=(ARCHIVE,),
    counts={"": TOTAL} | {name: Counts(unlabelled=dict.fromkeys(PRIVATE, number)) for name, number in IN_EACH.items()},
    notes=(f"The masks of the private tests are on the server {SUBMISSION.server} alone.",),
    submission=SUBMISSION,
)
TREE = Tree(
    validation="validation", test="test_public", tests=PRIVATE, masks=("test_public/ground_truth", "ground_truth")
)


@hookimpl
def adbench_datasets() -> Sequence[Dataset]:
    """Offer ``mvtec_ad2``."""
    return [tree_dataset(NAME, "MVTec AD 2: 8 objects under changing light", FACTS, TREE)]
