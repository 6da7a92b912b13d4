"""Counts the regions of masks in their own pixels and in resized masks, and what that does to a method's AUPRO."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from rich.console import Console
from rich.table import Table
from scipy.ndimage import label

from adbench import BuildContext
from adbench.api import registry as plugins
from adbench.api.data import Sample, Task
from adbench.api.method import resolve
from adbench.backbones.feature_cache import FeatureCache
from adbench.data import decode, masks
from adbench.data.framing import Framing
from adbench.data.ground_truth import GroundTruth, open_ground_truth
from adbench.run.class_run import open_images
from adbench.run.scoring import score_all
from adbench.run.watch import Watch
from adbench.util.devices import resolve_amp, seed_everything


def masks_of(task: Task) -> Iterator[tuple[Sample, np.ndarray]]:
    """The masks of the test images in their own pixels."""
    for sample in task.test:
        if sample.mask is not None:
            with Image.open(sample.mask) as image:
                yield sample, masks.to_mask(image, sample.mask_above)


def shrunk(mask: np.ndarray, framing: Framing) -> np.ndarray:
    """A mask at the input's size by the nearest pixel, as it was evaluated before."""
    return np.asarray(decode.fit(Image.fromarray(mask.astype(np.uint8)), framing, "nearest"))


def count(mask: np.ndarray) -> int:
    """Regions of pixels that touch at sides or corners."""
    return int(label(mask, np.ones((3, 3)))[1])


def run(
    data: Path, class_name: str, method: str, preset: str, changes: Mapping[str, Any], device: torch.device,
    console: Console,
) -> None:  # fmt: skip
    """Print regions, and the metrics of a method, before and after."""
    registry = plugins.load()
    plugin = registry.method(method)
    task = registry.dataset("folder").load(data, class_name)
    options = resolve(plugin, preset, {"amp": resolve_amp("auto", device), **changes}, "folder", class_name)
    framing, cache = Framing.of(options), FeatureCache()
    seed_everything(0)
    detector = plugin.make(options, BuildContext(device, train_images=len(task.train)))
    train, test = (
        open_images(task, part, options, device, skip_bad=False, cache=cache, watch=Watch())
        for part in ("train", "test")
    )  # fmt: skip
    for _ in detector.fit(train):
        pass
    scores = score_all(detector, test, name=method)
    own = list(masks_of(task))
    resized = {sample: shrunk(mask, framing) for sample, mask in own}
    blank = np.zeros(options.size, np.uint8)
    labels = [sample.label for sample in test.store.samples]
    truths = {
        "resized mask": GroundTruth.of(labels, np.stack([resized.get(each, blank) for each in test.store.samples])),
        "own pixels": open_ground_truth(test.store, framing),
    }
    console.print(f"{sum(count(mask) for _, mask in own)} regions in {len(own)} masks, in the masks' own pixels")
    table = Table(title=f"{class_name}, {method}:{preset}, {options.size[0]} x {options.size[1]}: metrics in %")
    for column in ("regions of", "regions", "AUPRO", "AUPRO 0.05", "pixel AUROC"):
        table.add_column(column, justify="left" if column == "regions of" else "right")
    for name, truth in truths.items():
        metrics = scores.evaluate(truth)
        shown = (metrics.aupro, metrics.aupro_05, metrics.pixel_auroc)
        values = ("-" if value is None else f"{100 * value:.2f}" for value in shown)
        table.add_row(name, str(len(truth.region_sizes)), *values)
    console.print(table)
