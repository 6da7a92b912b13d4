"""VAD (Baitieva et al., CVPR 2024): piezoelectric parts, with kinds of defects in the test that training never shows.

It has no masks. Its defective training images are for supervised methods and are left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from adbench import Dataset, Task, hookimpl
from adbench.api import Archive, Counts, Facts

from .single import Single
from .tree import read_tree

NAME = "vad"
UNSEEN = "bad_unseen_defects"
FACTS = Facts(
    classes=(NAME,),
    licence="CC BY-NC-SA 4.0",
    citation="Baitieva, Hurych, Besnier, Bernard: Supervised anomaly detection, CVPR 2024, arXiv 2405.04953",
    page="https://github.com/abc-125/vad",
    masks="none",
    archives=(Archive("VAD.zip", sha256="8655b46d9de19f1c50d3eb79567cc3504773979892281a669d0c36680050050a"),),
    counts={NAME: Counts(2000, good=1000, bad=1000)},
    notes=("165 defective test images are of kinds that no training image shows: bad_unseen_defects.",),
)


def _holds(folder: Path) -> bool:
    return (folder / "train" / "bad").is_dir() or (folder / "test" / UNSEEN).is_dir()


def read(base: Path, _: None) -> Task:
    """Find the images; both kinds of defective ones are types of defect. Raises ``DataError`` without a test image."""
    return read_tree(NAME, NAME, base)


VAD = Single(
    NAME, "VAD: piezoelectric parts, no masks", FACTS, _holds,
    f"train/good, train/bad, test/good, test/bad and test/{UNSEEN}", read,
)  # fmt: skip


@hookimpl
def adbench_datasets() -> Sequence[Dataset]:
    """Offer ``vad``."""
    return [VAD.dataset()]
