"""A site over made runs: its size, the seconds to build it, and the seconds until a browser shows the first board."""

from __future__ import annotations

import html
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from itertools import product
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from adbench.api import registry
from adbench.api.data import Setting
from adbench.api.scores import Metrics
from adbench.data.ground_truth import GroundTruth
from adbench.metrics.histograms import ScoreHistograms
from adbench.metrics.metrics import evaluate_ground_truth
from adbench.report import site
from adbench.results import speeds
from adbench.results.image_scores import ImageScore
from adbench.results.records import Best, Environment, EpochRecord, Protocol, Result, Timing
from adbench.results.result_file import SCHEMA
from adbench.results.run_files import folder_of
from adbench.results.speeds import Latency, Speed

DATA = {
    "mvtec": (
        "bottle", "cable", "capsule", "carpet", "grid", "hazelnut", "leather", "metal_nut", "pill", "screw", "tile",
        "toothbrush", "transistor", "wood", "zipper",
    ),
    "visa": (
        "candle", "capsules", "cashew", "chewinggum", "fryum", "macaroni1", "macaroni2", "pcb1", "pcb2", "pcb3", "pcb4",
        "pipe_fryum",
    ),
}  # fmt: skip
METHODS = ("patchcore", "padim", "msflow", "cflow", "fastflow", "rd4ad", "simplenet", "stfpm", "dfm", "draem")
SIDE, IMAGES, EPOCHS = 32, 40, 8

MEASURE = """{
const board = document.querySelector(".board table").getBoundingClientRect();
const said = [board.top < innerHeight, document.documentElement.scrollWidth <= innerWidth, performance.now()];
document.body.setAttribute("data-measured", JSON.stringify(said));
}"""
"""Runs when the page is read: it lays the page out, and says whether the first board is in sight, and when."""


def run(runs: int, console: Console, keep: Path | None = None) -> None:
    """Make runs, build their site, open it, and print the figures.

    Args:
        runs: number of made runs.
        console: where the table goes.
        keep: where results and site stay, and where results of an earlier call are used; None for a temporary folder.
    """
    with tempfile.TemporaryDirectory(prefix="adbench-benchmark-") as temporary:
        place = keep or Path(temporary)
        if not (place / "results").is_dir():
            write(place / "results", runs)
        started = time.perf_counter()
        built = site.build([place / "results"], place / "site", registry=registry.load())
        seconds = time.perf_counter() - started
        opened = first_board(place / "site", Path(temporary))
    table = Table(title=f"A site over {built.runs} made runs")
    for column in ("runs", "boards", "methods", "MB", "seconds to build", "seconds to the first board"):
        table.add_column(column, justify="right")
    table.add_row(
        str(built.runs), str(built.boards), str(built.methods), f"{built.bytes / 1e6:.1f}", f"{seconds:.1f}",
        "no Chromium" if opened is None else f"{opened:.2f}",
    )  # fmt: skip
    console.print(table)


def first_board(folder: Path, temporary: Path) -> float | None:
    """Seconds from opening the first page to its first board; None without Chromium."""
    chromium = next((path for name in ("chromium", "google-chrome") if (path := shutil.which(name))), None)
    if chromium is None:
        return None
    copied = temporary / "measured"
    shutil.copytree(folder, copied)
    page = copied / "index.html"
    (copied / "measure.js").write_text(MEASURE, encoding="utf-8")
    text = page.read_text(encoding="utf-8").replace("</body>", '<script src="measure.js"></script></body>')
    page.write_text(text, encoding="utf-8")
    done = subprocess.run(
        [chromium, "--headless=new", "--no-sandbox", "--disable-gpu", f"--user-data-dir={temporary / 'profile'}",
         "--window-size=1366,900", "--dump-dom", page.as_uri()],
        capture_output=True, text=True, encoding="utf-8", timeout=120, check=True,
    )  # fmt: skip
    found = re.search(r'data-measured="([^"]*)"', done.stdout)
    if found is None:
        raise RuntimeError("the page did not say when its first board was there")
    is_visible, fits, now = html.unescape(found.group(1)).strip("[]").split(",")
    if "false" in (is_visible, fits):
        raise RuntimeError(f"the first board is not on the first screen: {found.group(1)}")
    return float(now) / 1000


# ---------------------------------------------------------------- made runs


def write(folder: Path, runs: int) -> None:
    """Write made runs, with scores, epochs, score histograms and some speeds, the same ones each time."""
    chosen = (one for seed in range(100) for one in _jobs(seed))
    for number, (method, dataset, name, preset, shots, seed) in zip(range(runs), chosen, strict=False):
        _write(folder, number, method, dataset, name, preset, shots, seed)


def _jobs(seed: int) -> Iterator[tuple[str, str, str, str, int | None, int]]:
    for method, (dataset, classes) in product(METHODS, DATA.items()):
        for name in classes:
            yield method, dataset, name, "paper", None, seed
    for method, name in product(("patchcore", "padim"), DATA["mvtec"]):
        yield method, "mvtec", name, "paper", 4, seed
        yield method, "mvtec", name, "cpu", None, seed


def _write(
    folder: Path, number: int, method: str, dataset: str, name: str, preset: str, shots: int | None, seed: int
) -> None:
    draw = np.random.default_rng([METHODS.index(method), len(name), ord(name[0]), seed, preset == "cpu", shots or 0])
    skill = 3.2 - 0.15 * METHODS.index(method) - 0.5 * (preset == "cpu") - 0.7 * (shots is not None)
    truth, labels, scores, maps = _scored(draw, skill)
    metrics = evaluate_ground_truth(truth, image_scores=scores, maps=maps)
    result = _result(number, metrics, method, dataset, name, preset, shots, seed)
    paths = [f"test/{'bad' if label else 'good'}/{place:03d}.png" for place, label in enumerate(labels)]
    images = [
        ImageScore(path, int(label), "bad" if label else "good", float(score))
        for path, label, score in zip(paths, labels, scores, strict=True)
    ]
    stored = folder_of(folder, result)
    stored.path.mkdir(parents=True)
    histograms = ScoreHistograms.of(truth, paths, scores, maps)
    stored.write_result(result, images, _epochs(metrics, draw), histograms)
    if seed == 0 and name in ("bottle", "candle"):
        _write_speed(stored.path, method, result.environment)


def _scored(draw: np.random.Generator, skill: float) -> tuple[GroundTruth, np.ndarray, np.ndarray, np.ndarray]:
    labels = np.arange(IMAGES) >= IMAGES // 2
    masks = np.zeros((IMAGES, SIDE, SIDE), bool)
    for place in np.flatnonzero(labels):
        top, left = draw.integers(2, SIDE - 12, 2)
        masks[place, top : top + 8, left : left + 8] = True
    maps = np.round(8 * (draw.normal(size=masks.shape) + 0.8 * skill * masks)).astype(np.float32) / 8  # few bins
    scores = (draw.normal(size=IMAGES) + skill * labels).astype(np.float32)
    return GroundTruth.of(labels, masks), labels, scores, maps


def _epochs(metrics: Metrics, draw: np.random.Generator) -> list[EpochRecord]:
    found = []
    for epoch in range(1, EPOCHS + 1):
        worse = 0.1 * (1 - epoch / EPOCHS) * float(draw.random())
        at = Metrics(
            image_auroc=max(0.0, (metrics.image_auroc or 0) - worse),
            pixel_auroc=max(0.0, (metrics.pixel_auroc or 0) - worse),
        )
        found.append(EpochRecord(epoch, EPOCHS, 2.0 / epoch, 1e-3, 1.0, at))
    return found


def _result(
    number: int, metrics: Metrics, method: str, dataset: str, name: str, preset: str, shots: int | None, seed: int
) -> Result:
    setting: Setting = "few-shot" if shots else "one-class"
    size = (256, 256)
    device = ("NVIDIA H100", "AMD EPYC 9554")[METHODS.index(method) % 2]
    options = {"size": list(size), "amp": "off", "epochs": EPOCHS, "lr": 1e-3, "batch_size": 8, "backbone": "resnet18"}
    return Result(
        schema=SCHEMA, run=f"{preset}-{setting}{shots or ''}-seed{seed}-{number:08x}", method=method, preset=preset,
        overrides={}, options=options, dataset=dataset, class_name=name, synthetic=False, fingerprint="f",
        content="c" * 64, train_images=200, test_images=IMAGES, skipped=(), seed=seed,
        protocol=Protocol(
            size=size, resize="stretch", picture_resampling="lanczos", mask_size=size, mask_resampling="nearest",
            epoch_policy="last", aupro_map="anomaly map", backbone="resnet18", backbone_weights="0123456789ab",
            precision="off", setting=setting, shots=shots,
        ),
        metrics=metrics, last_epoch=EPOCHS,
        oracle=(Best("image_auroc", min(1.0, (metrics.image_auroc or 0) + 0.01), 6),),
        timing=Timing(60.0 + number % 7, 3.0, 1.0, 70.0, 20.0 * (1 + METHODS.index(method))),
        peak_memory_bytes=2_000_000_000, parameters=11_000_000,
        environment=Environment(
            "cuda:0" if "NVIDIA" in device else "cpu", device, "Linux", "3.11.9", 16,
            {"torch": "2.6.0", "torchvision": "0.21.0", "numpy": "2.1.0"}, "12.4" if "NVIDIA" in device else None,
        ),
        method_package="adbench-suite 0.1.0",
        command=f"adbench run -m {method} -d {dataset} -c {name} -p {preset}" + (f" --shots {shots}" if shots else ""),
        finished=f"2026-01-{1 + number % 28:02d}T10:00:00+00:00", evaluations=EPOCHS,
        label="night shift" if number % 50 == 0 else "",
    )  # fmt: skip


def _write_speed(folder: Path, method: str, made: Environment) -> None:
    seconds = 0.004 * (1 + METHODS.index(method))
    single = Latency((256, 256), 1, seconds, 1.2 * seconds, 50, 1_000_000_000)
    best = Latency((256, 256), 16, 8 * seconds, 9 * seconds, 50, 2_000_000_000)
    speeds.write(
        folder,
        Speed("model", (256, 256), "torch 2.6.0", made.device, made.device_name, made.threads, "off",
              "2026-01-01T00:00:00+00:00", (single,), (best,)),
    )  # fmt: skip
