"""Times all metrics of a test set, exact, beside scikit-learn's pixel AUROC alone; measures memory, too."""

from __future__ import annotations

from dataclasses import astuple
from statistics import median

import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from sklearn.metrics import roc_auc_score

from adbench.data.arrays import check_finite
from adbench.data.ground_truth import GroundTruth
from adbench.metrics.curves import curve_of
from adbench.metrics.metrics import evaluate_ground_truth
from adbench.util.devices import resolve_device

from .setting import describe_machine
from .timing import peak_memory, timed


def made_maps(count: int, size: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Make labels (N,), masks and smooth maps (N, H, W): a square defect in two of three images, some hard to see."""
    draw = np.random.default_rng(0)
    labels = (np.arange(count) % 3 > 0).astype(np.uint8)
    masks = np.zeros((count, size, size), np.uint8)
    for mask in (mask for mask, label in zip(masks, labels, strict=True) if label):
        side = int(draw.integers(size // 16, size // 4))
        top, left = draw.integers(0, size - side, 2)
        mask[top : top + side, left : left + side] = 1
    coarse = torch.from_numpy(draw.normal(size=(count, 1, size // 8, size // 8)).astype(np.float32))
    noise = torch.nn.functional.interpolate(coarse, (size, size), mode="bilinear", align_corners=True)[:, 0].numpy()
    return labels, masks, noise + 1.5 * masks


def first_eight(truth: GroundTruth, image_scores: np.ndarray, maps: np.ndarray | torch.Tensor) -> list[float]:
    """Image and pixel AUROC, AP and F1max, and AUPRO: all that there was before the other metrics."""
    check_finite("maps", maps)
    image = curve_of(image_scores, np.flatnonzero(truth.labels))
    pixel = curve_of(maps, truth.positions, truth.pixel_weights)
    assert image is not None
    assert pixel is not None
    values = [value for each in (image, pixel) for value in (each.auroc(), each.average_precision(), each.f1_max())]
    return [*values, pixel.overlap_area(0.3), pixel.overlap_area(0.05)]


def run(count: int, size: int, device_name: str, rounds: int, console: Console) -> None:
    """Time both, and print the error that half precision would make."""
    device = resolve_device(device_name)
    labels, masks, made = made_maps(count, size)
    maps: np.ndarray | torch.Tensor = made
    if device.type == "cuda":
        maps = torch.from_numpy(made).to(device)
    ground_truth = GroundTruth.of(labels, masks)
    image_scores = made.max(axis=(1, 2))

    def all_metrics() -> object:
        return evaluate_ground_truth(ground_truth, image_scores=image_scores, maps=maps)

    all_metrics()
    pairs = [
        (timed(all_metrics, device), timed(lambda: first_eight(ground_truth, image_scores, maps), device))
        for _ in range(rounds)
    ]
    seconds, before = (median(each) for each in zip(*pairs, strict=True))
    with peak_memory(device) as peak:
        all_metrics()
    plain = timed(lambda: roc_auc_score(masks.ravel(), made.ravel()), torch.device("cpu"))
    exact = evaluate_ground_truth(ground_truth, image_scores=image_scores, maps=made)
    console.print(describe_machine(device), highlight=False, soft_wrap=True)
    table = Table(title=f"{count} maps of {size} x {size}, {100 * masks.mean():.1f} % defect pixels")
    for column in ("", "seconds", "ratio", "memory / maps' own"):
        table.add_column(column, justify="left" if not column else "right")
    table.add_row("scikit-learn, pixel AUROC alone", f"{plain:.2f}", "1.0", "")
    memory = (peak[0] + made.nbytes) / made.nbytes
    table.add_row("adbench, all metrics", f"{seconds:.2f}", f"{plain / seconds:.1f}", f"{memory:.2f}")
    table.add_row("adbench, the first eight alone", f"{before:.2f}", f"{plain / before:.1f}", "")
    console.print(table)
    console.print(f"All metrics take {seconds / before:.2f} times as long as the first eight.", highlight=False)
    for name, rounded in (("float16", made.astype(np.float16)), ("bfloat16", torch.from_numpy(made).bfloat16())):
        other = evaluate_ground_truth(ground_truth, image_scores=image_scores, maps=rounded)
        error = max(abs(a - b) for a, b in zip(astuple(exact)[:8], astuple(other)[:8], strict=True))
        console.print(f"Kept as {name}, the maps would move one of these eight by up to {error:.1e}.", highlight=False)
