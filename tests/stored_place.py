"""A class with its images, a method in its own file, and a stored run of both."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
from made_results import make_result
from PIL import Image
from runs import TINY, adbench

from adbench.results.records import Identity


class Place:
    """A class ``bolts`` with masks of a fixed length, a method in its own file, and one stored run of both."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.data, self.results, self.plugin = folder / "data", folder / "results", folder / "mine.py"
        draw = np.random.default_rng(5)
        for number in range(4):
            self.write("train/good", number, draw.integers(90, 130, (64, 64, 3), dtype=np.uint8))
            self.write("test/good", number, draw.integers(90, 130, (64, 64, 3), dtype=np.uint8))
            bad = draw.integers(90, 130, (64, 64, 3), dtype=np.uint8)
            bad[10:30, 10:30] += 100
            self.write("test/spot", number, bad)
            self.write_mask(number, 10)
        shutil.copyfile(TINY, self.plugin)

    def write(self, part: str, number: int, pixels: np.ndarray) -> None:
        path = self.data / "bolts" / part / f"{number}.bmp"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(path)

    def write_mask(self, number: int, top: int) -> None:
        mask = np.zeros((64, 64), np.uint8)
        mask[top : top + 20, 10:30] = 255
        self.write("ground_truth/spot", number, mask)

    def run(self, *words: object):
        command = ("run", "-m", "tiny", "--plugin", self.plugin, "-d", "folder", "--data-root", self.data, "-p", "cpu")
        done = adbench(*command, "--results", self.results, "-o", "epochs=1", "--device", "cpu", *words)
        assert done.exit_code == 0, done.stderr
        for path in self.results.glob("*/*/*/*/result.json"):  # pytest's own command line is not the run's
            facts = json.loads(path.read_text())
            facts["command"] = f"adbench run -m tiny --plugin {self.plugin} --data-root {self.data}"
            path.write_text(json.dumps(facts))
        return done

    def adbench(self, *words: object):
        return adbench(*words, "--results", self.results)

    def states(self) -> list[tuple[str, str]]:
        listed = self.adbench("list", "runs", "--format", "json")
        assert listed.exit_code == 0, listed.stderr
        return sorted((row["state"], row["reason"]) for row in json.loads(listed.stdout)[0]["rows"])


def made(seed: int = 0, code: str = "one", data: str = "same", numerics: int = 1, **changes):
    result = make_result("m", seed=seed, **changes)
    return replace(result, run=f"{result.run}{code}{data}", identity=Identity(data, code, numerics))
