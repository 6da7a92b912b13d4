"""Memory and time of a run on large images that are cut into tiles, in a process with a limit.

The limit holds for the process's own memory. Mapped files (decoded tiles, features, maps) are not counted: the system
takes their pages back where it needs them.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image
from rich.console import Console
from rich.table import Table

DEFECT = 24
"""Side of a defect in pixels."""

FEATURES = "2GB"
"""What cached features may take of the memory; the rest is in a mapped file."""


@dataclass(frozen=True)
class Peak:
    """The most that a process took, in bytes: its own memory, and all that was mapped with it."""

    own: int = 0
    resident: int = 0

    def and_now(self, process: int) -> Peak:
        """The higher of each, with that of now."""
        try:
            lines = Path(f"/proc/{process}/status").read_text().splitlines()
        except OSError:  # it has ended
            return self
        found = {line.split(":")[0]: int(line.split()[1]) * 1024 for line in lines if line.endswith(" kB")}
        return Peak(max(self.own, found.get("RssAnon", 0)), max(self.resident, found.get("VmHWM", 0)))


def make_photos(root: Path, size: tuple[int, int], images: int) -> None:
    """Draw a class of photos in MVTec layout: coarse textures with fine noise, and small bright squares as defects.

    Half of them are for training, and a third of the others is good.
    """
    draw = np.random.default_rng(0)
    height, width = size
    train, good = images // 2, max(1, images // 6)
    for part, count in (("train/good", train), ("test/good", good), ("test/spot", images - train - good)):
        (root / part).mkdir(parents=True)
        for number in range(count):
            coarse = draw.integers(70, 150, (height // 16 + 1, width // 16 + 1, 3), dtype=np.uint8)
            image = coarse.repeat(16, 0).repeat(16, 1)[:height, :width]
            image += draw.integers(0, 20, (height, width, 1), dtype=np.uint8)
            if part == "test/spot":
                top, left = (int(draw.integers(0, side - DEFECT)) for side in size)
                mask = np.zeros(size, np.uint8)
                mask[top : top + DEFECT, left : left + DEFECT] = 255
                image[mask > 0] = 255
                folder = root / "ground_truth" / "spot"
                folder.mkdir(parents=True, exist_ok=True)
                Image.fromarray(mask).save(folder / f"{number:03d}_mask.png")
            Image.fromarray(image).save(root / part / f"{number:03d}.png", compress_level=1)


def run(
    method: str, preset: str, size: tuple[int, int], images: int, tile: str, overlap: int, eval_size: str | None,
    limit: float, console: Console,
) -> None:  # fmt: skip
    """Train and evaluate a method on made photos in a process of its own, and print what it took.

    Args:
        method: its name.
        preset: its preset.
        size: height and width of the photos.
        images: their number.
        tile: as after --tile.
        overlap: as after --overlap.
        eval_size: as after --eval-size.
        limit: gigabytes of own memory beyond which the process gets none.
        console: where the table is printed.

    Raises:
        SystemExit: the run failed, as it does where memory is too little.
    """
    with tempfile.TemporaryDirectory(prefix="adbench-tiling-") as name:
        place = Path(name)
        make_photos(place / "photos" / "parts", size, images)
        words = [
            "run",
            "-m",
            method,
            "-p",
            preset,
            "-d",
            "folder",
            "--data-root",
            str(place / "photos"),
            "--tile",
            tile,
        ]
        words += ["--overlap", str(overlap), "--results", str(place / "results"), "--device", "cpu"]
        words += ["--eval-size", eval_size] if eval_size else []
        began = time.monotonic()
        peak = _peak_of(words, place, limit)
        seconds = time.monotonic() - began
        (path,) = (place / "results").rglob("result.json")
        result = json.loads(path.read_text(encoding="utf-8"))
    table = Table(title=f"{images} images of {size[0]} x {size[1]}, --tile {tile} --overlap {overlap}")
    for column in ("method", "compared at", "own memory GB", "with mapped files GB", "seconds", "AUROC", "pixel AUROC"):
        table.add_column(column, justify="left" if column == "method" else "right")
    metrics = (f"{100 * result['metrics'][key]:.2f}" for key in ("image_auroc", "pixel_auroc"))
    sizes = (f"{value / 1e9:.2f}" for value in (peak.own, peak.resident))
    table.add_row(f"{method}:{preset}", eval_size or "native", *sizes, f"{seconds:.0f}", *metrics)
    console.print(table)


def _peak_of(words: list[str], place: Path, limit: float) -> Peak:
    """Run a command of adbench under a limit of memory, and watch it."""
    code = (
        "import resource, sys\n"
        f"resource.setrlimit(resource.RLIMIT_DATA, ({int(limit * 1e9)},) * 2)\n"
        "from adbench.cli.main import main\nsys.argv[0] = 'adbench'\nmain()\n"
    )
    environment = {**os.environ, "ADBENCH_CACHE": str(place / "cache"), "ADBENCH_FEATURE_BUDGET": FEATURES}
    process = subprocess.Popen([sys.executable, "-c", code, *words], env=environment, stdout=subprocess.DEVNULL)
    peak = Peak()
    while process.poll() is None:
        peak = peak.and_now(process.pid)
        time.sleep(0.05)
    if process.returncode:
        raise SystemExit(process.returncode)
    return peak
