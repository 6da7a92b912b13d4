"""AutoVI (Carvalho et al., 2024): 6 classes of a car's assembly, with masks by region as in MVTec LOCO AD."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from adbench import Dataset, Task, hookimpl
from adbench.api import Archive, Counts, Facts

from .defects import CONFIG, with_rules
from .tree import Tree, tree_dataset

NAME = "autovi"
COUNTS = {
    "engine_wiring": Counts(285, good=285, bad=322),
    "pipe_clip": Counts(195, good=195, bad=142),
    "pipe_staple": Counts(191, good=188, bad=117),
    "tank_screw": Counts(318, good=318, bad=95),
    "underbody_pipes": Counts(161, good=161, bad=184),
    "underbody_screw": Counts(373, good=374, bad=18),
}
SHA256 = {
    "engine_wiring": "252590d3249f7fbdf83a7e9b735ef0df175adc218460247e9a63bef1c03d420c",
    "pipe_clip": "955bb17b3a471e23979f46f998a4723acd00cf3afc4d5edf0578dfb6ea80d6c3",
    "pipe_staple": "fb9287f2cc86d660310e9886fdebbe2bd17269e853e29d06d708c6a996df1b18",
    "tank_screw": "48d7193164b36de03cc10c9f7b1b64ea98a0ce7aa57867c8f1d96341c497b4b0",
    "underbody_pipes": "fc1e53336d46fb2317d71e95c011bac012b609f2898fdb02780c920c19a113c7",
    "underbody_screw": "3e9bf6a43033a22c7c9f927a43c392a3b037d22580a27a48d379d4504d9cc6cf",
}
RECORD = "https://zenodo.org/records/10459003"
FACTS = Facts(
    classes=tuple(COUNTS),
    licence="CC BY-NC-SA 4.0",
    citation="Carvalho, Lafou, Durupt, Leblanc, Grandvalet: The Automotive Visual Inspection dataset (AutoVI), 2024",
    page=RECORD,
    masks="one or more per defective image, each a region",
    archives=tuple(
        Archive(f"{name}.zip", f"{RECORD}/files/{name}.zip", sha256, class_name=name) for name, sha256 in SHA256.items()
    ),
    counts=COUNTS,
)


TREE = Tree(joins=True, files=(CONFIG,))


def _finish(task: Task, folder: Path) -> Task:
    return with_rules(task, folder, {})


@hookimpl
def adbench_datasets() -> Sequence[Dataset]:
    """Offer ``autovi``."""
    return [tree_dataset(NAME, "AutoVI: assembly of cars", FACTS, TREE, _finish)]
