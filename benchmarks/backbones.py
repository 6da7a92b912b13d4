"""Runs methods on several extractors: networks, weights and layers, with all else as in a preset."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

from adbench.api import registry as plugins
from adbench.api.backbone_table import LITE0, LITE1, LITE2
from adbench.api.scores import MAIN_METRICS
from adbench.backbones.efficientnet_lite import SCALES, EfficientNetLite
from adbench.results.records import Result
from adbench.run import plan as suite
from adbench.util.devices import seed_everything
from adbench.util.files import cache_folder

from .setting import describe_machine

METHODS = ("padim", "patchcore", "dfm")


@dataclass(frozen=True)
class Extractor:
    """One extractor: its network, random weights or the published ones, and its layers, None for the method's own."""

    backbone: str
    is_random: bool = False
    layers: tuple[int, ...] | None = None

    @property
    def name(self) -> str:
        """What it is called in tables."""
        layers = "" if self.layers is None else f", layers {','.join(map(str, self.layers))}"
        return self.backbone + layers + (", random weights" if self.is_random else "")

    def changes(self, folder: Path) -> dict[str, Any]:
        """The changes of a preset's options."""
        changed: dict[str, Any] = {"backbone": self.backbone}
        if self.is_random:
            changed["weights"] = str(random_weights(self.backbone, folder))
        if self.layers is not None:
            changed["layers"] = self.layers
        return changed


EXTRACTORS = (
    Extractor(LITE0),
    Extractor(LITE1),
    Extractor(LITE2),
    Extractor(LITE0, is_random=True),
    Extractor("resnet18", is_random=True),
)
"""Networks: three with ImageNet weights from packages, and two with random ones."""

LAYERS = tuple(Extractor(LITE0, layers=layers) for layers in ((1,), (2,), (3,), (4,), (2, 3), (1, 2, 3)))
"""One network's layers: strides 4, 8, 16 and 32, and two combinations."""


@dataclass(frozen=True)
class Where:
    """What all extractors are tried on."""

    dataset: str
    root: Path | None
    classes: str
    preset: str
    seed: int
    device: str
    threads: int
    results: Path


def run(extractors: Sequence[Extractor], methods: Sequence[str], where: Where, console: Console) -> None:
    """Print a row for each extractor with every method's metrics, as means over classes."""
    table = Table(title=f"Image AUROC / pixel AUROC / AUPRO in %, {where.dataset}, preset {where.preset}")
    table.add_column("extractor")
    for method in methods:
        table.add_column(method, justify="right")
    for extractor in extractors:
        cells = [_cell(_results(extractor, method, where)) for method in methods]
        console.print(f"{extractor.name}: {'; '.join(cells)}", highlight=False, soft_wrap=True)
        table.add_row(extractor.name, *cells)
    console.print(describe_machine(torch.device(where.device)), highlight=False, soft_wrap=True)
    console.print(table)


def _results(extractor: Extractor, name: str, where: Where) -> list[Result]:
    """The results of all classes. Raises the error of a class that failed."""
    registry = plugins.load()
    reader, method = registry.dataset(where.dataset), registry.method(name)
    root = where.root or cache_folder()  # where a generated data set lies
    made = suite.Plan(
        methods=[method], overrides={name: extractor.changes(where.results)}, dataset=reader,
        classes=suite.choose_classes(reader, root, where.classes), data_root=root, preset=where.preset,
        seeds=[where.seed], device=where.device, threads=where.threads, results=where.results,
    )  # fmt: skip
    found: list[Result] = []
    for outcome in suite.run_here(made.jobs(), registry):
        if outcome.error is not None:
            raise outcome.error
        found += outcome.results
    return found


def _cell(results: Sequence[Result]) -> str:
    values = []
    for metric in MAIN_METRICS:
        there = [value for run in results if (value := getattr(run.metrics, metric)) is not None]
        values.append(f"{100 * fmean(there):.2f}" if there else "-")
    return " / ".join(values)


def random_weights(name: str, folder: Path) -> Path:
    """A file of random weights whose batch norms have the statistics of noise, so that activations stay in range."""
    import torchvision

    path = folder / f"random-{name}.pt"
    if not path.exists():
        seed_everything(0)
        net = EfficientNetLite(name) if name in SCALES else torchvision.models.get_model(name, weights=None)
        net.train()
        with torch.no_grad():
            for _ in range(20):
                net(torch.randn(4, 3, 128, 128))
        folder.mkdir(parents=True, exist_ok=True)
        torch.save(net.state_dict(), path)
    return path
