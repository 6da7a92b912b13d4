"""DTD-Synthetic (Aota et al., WACV 2023): defects drawn on photographed textures, 12 classes in MVTec's layout."""

from __future__ import annotations

from collections.abc import Sequence

from adbench import Dataset, hookimpl
from adbench.api import Counts, Facts

from .tree import tree_dataset

NAME = "dtd_synthetic"
CLASSES = (
    "Blotchy_099",
    "Fibrous_183",
    "Marbled_078",
    "Matted_069",
    "Mesh_114",
    "Perforated_037",
    "Stratified_154",
    "Woven_001",
    "Woven_068",
    "Woven_104",
    "Woven_125",
    "Woven_127",
)
FACTS = Facts(
    classes=CLASSES,
    licence="",
    citation="Aota, Tong, Okatani: Zero-shot versus many-shot: unsupervised texture anomaly detection, WACV 2023",
    page="https://drive.google.com/drive/folders/10OyPzvI3H6llCZBxKxFlKWt1Pw1tkMK1",
    masks="one per defective image",
    counts={"": Counts(good=357, bad=947)},
    notes=("Numbers by class are not published.",),
)


@hookimpl
def adbench_datasets() -> Sequence[Dataset]:
    """Offer ``dtd_synthetic``."""
    return [tree_dataset(NAME, "DTD-Synthetic: drawn defects on textures", FACTS)]
