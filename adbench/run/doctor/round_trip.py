"""A self-check: a tiny detector is trained on generated images, saved, reopened, and scores the test images again.

It takes the way of ``adbench run`` and of ``adbench test --checkpoint``, in a temporary folder.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from PIL import Image

from ...api.context import BuildContext
from ...api.data import Dataset, Sample, Size, Task
from ...api.detector import Detector, Epoch
from ...api.images import Batch, Images
from ...api.method import Method
from ...api.options import Options
from ...api.registry import Registry
from ...api.scores import Scores
from ...results.run_files import folder_of
from ...util.errors import described
from .. import checkpoint, plan, trial
from .finding import REPORT, Asked, Finding

SIDE = 32
"""Pixels of the images' sides."""

TRAIN, TEST = 4, 2
"""Training images, and test images of each kind."""

CLOSE = 1e-6
"""Difference of a metric within which the reopened detector agrees with the trained one."""

NAME = "self-check"


@dataclass(frozen=True)
class ColourOptions(Options):
    """The options of the detector."""

    size: Size = (SIDE, SIDE)
    batch_size: int = 3
    amp: Literal["auto", "off", "bf16", "fp16"] = "off"


class MeanColour(Detector):
    """Scores a pixel by the distance of its colour from the mean colour of the training images."""

    def __init__(self, options: ColourOptions, context: BuildContext) -> None:
        super().__init__(options, context)
        self.mean = torch.zeros(3, device=self.device)

    def fit(self, images: Images) -> Iterator[Epoch]:
        """Compute the mean in one pass."""
        colours = torch.cat([batch.images.mean(dim=(2, 3)) for batch in images])  # (N, 3)
        self.mean = colours.mean(dim=0)
        yield Epoch(1, 1)

    def score(self, batch: Batch) -> Scores:
        """Score images by their worst pixel."""
        maps = (batch.images - self.mean[:, None, None]).square().mean(dim=1)
        return Scores(image=maps.amax(dim=(1, 2)), map=maps)


def check(asked: Asked) -> Iterator[Finding]:
    """Train, save, reopen and score; both must find the generated defects, with the same numbers."""
    try:
        trained, reopened = train_and_test(Registry({NAME: method()}, {NAME: Dataset(NAME, "", _classes, _load)}))
    except Exception as error:  # whatever is broken here, the report goes on
        hint = "See its traceback: adbench check-method random --debug"
        yield Finding(NAME, "red", f"a tiny detector fails: {described(error)}", hint)
        return
    if abs(trained - reopened) > CLOSE:
        found = f"image AUROC {100 * trained:.2f} after training, {100 * reopened:.2f} from the checkpoint"
        yield Finding(NAME, "red", found, REPORT)
        return
    found = f"a tiny detector was trained, saved, reopened and scored: image AUROC {100 * reopened:.0f} % both times"
    yield Finding(NAME, "green", found)


def method() -> Method:
    """The tiny method; it is no plugin, and no command offers it."""
    return Method(NAME, "the distance from a mean colour", MeanColour, ColourOptions)


def train_and_test(registry: Registry) -> tuple[float, float]:
    """Image AUROC of the registry's only method on generated images, after training and from its checkpoint.

    Raises:
        AdbenchError: a step failed.
        ValueError: an AUROC is not defined.
    """
    with _own_folder() as folder:
        made = plan.Plan(
            methods=list(registry.methods.values()), overrides={name: {} for name in registry.methods},
            dataset=registry.dataset(NAME), classes=[NAME], data_root=folder / "images", device="cpu", threads=1,
            results=folder / "results",
        )  # fmt: skip
        (outcome,) = plan.run_here(made.jobs(), registry)
        if outcome.error is not None:
            raise outcome.error
        (result,) = outcome.results
        saved = checkpoint.read(folder_of(folder / "results", result).path / "last.pt")
        again = trial.run(outcome.job, registry, saved)
    found = (result.metrics.image_auroc, again.metrics.image_auroc)
    if found[0] is None or found[1] is None:
        raise ValueError("the image AUROC is not defined")
    return found[0], found[1]


@contextmanager
def _own_folder() -> Iterator[Path]:
    """A temporary folder with images, which is the cache folder meanwhile: nothing stays behind."""
    before = os.environ.get("ADBENCH_CACHE")
    with tempfile.TemporaryDirectory(prefix="adbench-doctor-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        os.environ["ADBENCH_CACHE"] = str(folder / "cache")
        try:
            _write(folder / "images")
            yield folder
        finally:
            if before is None:
                del os.environ["ADBENCH_CACHE"]
            else:
                os.environ["ADBENCH_CACHE"] = before


def _write(root: Path) -> None:
    """Draw grey noise; the defective images have a bright square."""
    random = np.random.default_rng(0)
    for part, count in (("train", TRAIN), ("good", TEST), ("bad", TEST)):
        folder = root / part
        folder.mkdir(parents=True)
        for number in range(count):
            image = random.integers(90, 130, (SIDE, SIDE, 3), dtype=np.uint8)
            if part == "bad":
                image[8:16, 8:16] += 100
                mask = np.zeros((SIDE, SIDE), np.uint8)
                mask[8:16, 8:16] = 255
                Image.fromarray(mask).save(folder / f"{number}_mask.png")
            Image.fromarray(image).save(folder / f"{number}.png")


def _classes(root: Path) -> Sequence[str]:
    return [NAME]


def _load(root: Path, class_name: str) -> Task:
    def good(part: str) -> tuple[Sample, ...]:
        return tuple(Sample(path) for path in sorted((root / part).glob("*.png")))

    bad = [
        Sample(path, 1, "square", path.with_name(f"{path.stem}_mask.png"))
        for path in sorted((root / "bad").glob("?.png"))
    ]
    return Task(NAME, class_name, root, train=good("train"), test=(*good("good"), *bad), synthetic=True)
