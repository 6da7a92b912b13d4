"""The set-up of ``check_method``: generated images, small options, and a training loop."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from ..api import module_backbone, options, tiles
from ..api.context import BuildContext
from ..api.data import Sample, Setting, Size
from ..api.detector import Detector
from ..api.method import Method, find_preset
from ..api.options import Options
from ..api.registry import Registry
from ..data.framing import Framing
from ..data.image_store import Store, empty_store
from ..data.images import Images
from ..data.joint_images import JointImages
from ..util import devices
from . import loop
from .evaluate import TestScores
from .scoring import score_all
from .session import kept_random_state
from .verify import largest_difference

SIZE: Size = (96, 128)
"""Size of the images; not square, so that confused height and width show."""

TRAIN, GOOD, BAD = 12, 3, 4
"""Images of each kind: the last batch of training is smaller, and so is that of the test images."""

TRAIN_BATCH, TEST_BATCH = 8, 4

EPOCHS = 2
"""Enough epochs to stop after the first one."""

LAST_EPOCH = 6
"""Epochs after which training stops if the options did not make it short."""


class MadeImages:
    """Generated good images and defective ones with masks, as files in MVTec layout and decoded.

    Args:
        folder: an empty folder for the files.
        size: height and width of the images.
    """

    def __init__(self, folder: Path, size: Size) -> None:
        """Draw the training images and write their files."""
        self.folder, self.size = folder, size
        self.train = self._write("train", "good", TRAIN, draw=0)

    def test(self, draw: int) -> Store:
        """Draw test images and overwrite the earlier ones; another ``draw`` gives other images."""
        good = self._write("test", "good", GOOD, draw=draw)
        bad = self._write("test", "spot", BAD, draw=draw)
        assert bad.masks is not None
        masks = np.concatenate((np.zeros((GOOD, *self.size), np.uint8), bad.masks))
        images = np.concatenate((good.images, bad.images))
        name = f"check test {draw} {self.size}"
        return Store(name, good.samples + bad.samples, images, masks, (self.size,) * (GOOD + BAD), name)

    def other_class(self) -> Store:
        """Draw training images of a second class: those of the first, upside down and inverted."""
        turned = np.ascontiguousarray(255 - self.train.images[:, ::-1])
        return replace(self.train, key=f"{self.train.key} of another class", images=turned)

    def _write(self, part: str, defect: str, count: int, *, draw: int) -> Store:
        random = np.random.default_rng([draw, len(part), len(defect)])
        samples, images, masks = [], [], []
        for number in range(count):
            image, mask = _draw(random, self.size, defective=defect != "good")
            path = self.folder / part / defect / f"{number:03d}.png"
            _save(path, image)
            ground_truth = None
            if mask is not None:
                ground_truth = self.folder / "ground_truth" / defect / f"{number:03d}_mask.png"
                _save(ground_truth, mask * 255)
                masks.append(mask)
            samples.append(Sample(path, int(defect != "good"), defect, ground_truth))
            images.append(image)
        name = f"check {part} {defect} {draw} {self.size}"
        stacked = np.stack(masks) if masks else None
        return Store(name, tuple(samples), np.stack(images), stacked, (self.size,) * count, name)


def _draw(random: np.random.Generator, size: Size, *, defective: bool) -> tuple[Any, Any]:
    """A coarse texture in some light (H, W, 3), with a bright square and its mask (H, W) if defective."""
    height, width = size
    coarse = random.integers(70, 150, (height // 8 + 1, width // 8 + 1, 3)).repeat(8, 0).repeat(8, 1)
    image = coarse[:height, :width] + random.integers(-10, 10, (height, width, 3)) + random.integers(-8, 8)
    mask = None
    if defective:
        side = min(size) // 5
        top, left = random.integers(0, height - side), random.integers(0, width - side)
        mask = np.zeros(size, np.uint8)
        mask[top : top + side, left : left + side] = 1
        image = image + 90 * mask[..., None]
    return np.clip(image, 0, 255).astype(np.uint8), mask


def _save(path: Path, values: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(values).save(path)


def rows_of(store: Store, rows: Sequence[int]) -> Store:
    """Some images of a store, in another order."""
    chosen = list(rows)
    return replace(
        store,
        key=f"{store.key} {chosen}",
        samples=tuple(store.samples[row] for row in chosen),
        images=store.images[chosen],
        masks=None if store.masks is None else store.masks[chosen],
        regions=None if store.regions is None else tuple(store.regions[row] for row in chosen),
        sizes=tuple(store.sizes[row] for row in chosen),
    )


def usual_preset(method: Method) -> str:
    """The preset that is tried if none is named: "cpu", or else "quick" or "paper"."""
    return next(each for each in ("cpu", "quick", "paper") if each in method.presets)


def small_options(method: Method, preset: str | None, changes: Mapping[str, Any], *, size: Size | None) -> Options:
    """The options of a preset, made small: few epochs, small batches, float32; the user's changes stay.

    Args:
        method: whose options.
        preset: its name; None for "cpu", or else "quick" or "paper".
        changes: the user's options.
        size: size of the images; None for the preset's own.

    Raises:
        UnknownNameError: the method has no such preset.
        OptionError: a value that no task can use.
    """
    chosen = find_preset(method, preset or usual_preset(method)).options
    small: dict[str, Any] = {"batch_size": min(chosen.batch_size, TRAIN_BATCH), "amp": "off"}
    if size is not None:
        small["size"] = size
    for key in (each.name for each in fields(chosen)):
        value = getattr(chosen, key)
        if key.endswith("epochs") and isinstance(value, int):
            # sub-epochs and the like multiply the others, and a warm-up must end before the training does
            inner = key != "meta_epochs" and hasattr(chosen, "meta_epochs")
            small[key] = min(value, 1 if inner or "warm" in key else EPOCHS)
    made = tiles.changed(replace(chosen, **small), changes, owner=method.name)
    options.check(made, owner=method.name)
    return made


@dataclass(frozen=True, eq=False)
class CheckBench:
    """A method with small options on a device, and the images for its checks."""

    method: Method
    options: Options
    made: MadeImages
    device: torch.device
    auxiliary: Mapping[str, Path] = field(default_factory=dict)
    registry: Registry = field(default_factory=lambda: Registry({}, {}))

    def build(self, seed: int, setting: Setting = "one-class") -> Detector:
        """Make the detector as the engine does, for the images of ``training(setting)``."""
        devices.seed_everything(seed)
        classes = ("made", "other") if setting == "multi-class" else ("made",)
        context = BuildContext(
            self.device, seed, "check", classes, len(self.training(setting)), setting,
            shots=1 if setting == "few-shot" else None, auxiliary=self.auxiliary,
        )  # fmt: skip
        return self.method.make(self.options, self.registry.offering(context, self.options))

    def reopened(self, seed: int) -> Detector:
        """Make a detector that will load a state and only score; it gets no auxiliary data."""
        return replace(self, auxiliary={}).build(seed)

    def images(self, store: Store, batch_size: int = TEST_BATCH, *, shuffle: bool = False) -> Images:
        """Images as a method gets them, without a cache."""
        return Images(store, self.device, batch_size, shuffle=shuffle)

    def train(
        self, detector: Detector, *, shown: Store, epochs: int = LAST_EPOCH, images: Images | None = None
    ) -> bool:
        """Drive ``fit`` as the engine does, and score ``shown`` at each milestone; return whether it reached its end.

        Args:
            detector: the detector, trained from its ``epoch`` on.
            shown: test images.
            epochs: training stops after this one.
            images: the training images; by default those of one class.

        Raises:
            TaskError: ``fit`` reports something invalid, or trains a module while its features are cached.
        """
        images = self.training("one-class") if images is None else images  # it may have no images
        with module_backbone.unchanged():
            for epoch in loop.epochs(detector, images, name=self.method.name):
                last = epoch.number >= epoch.total
                if epoch.milestone or last:
                    self._glance(detector, shown)
                if epoch.number >= epochs:
                    return last
        return True

    def training(self, setting: Setting) -> Images:
        """The training images of a setting: of two classes, a single image, or none."""
        store = self.made.train
        if setting == "zero-shot":
            store = empty_store(Framing(self.made.size))
        elif setting == "few-shot":
            store = rows_of(store, [0])
        one = self.images(store, self.options.batch_size, shuffle=True)
        if setting != "multi-class":
            return one
        return JointImages([one, self.images(self.made.other_class(), self.options.batch_size, shuffle=True)])

    def _glance(self, detector: Detector, store: Store) -> None:
        """Score as in an evaluation between epochs, and drop the scores."""
        with kept_random_state(self.device), torch.no_grad():
            for batch in self.images(store):
                detector.score(batch)

    def fitted(self, seed: int, *, shown: Store) -> Detector:
        """Build a detector and train it to the end."""
        detector = self.build(seed)
        self.train(detector, shown=shown)
        return detector

    def score(self, detector: Detector, store: Store, batch_size: int = TEST_BATCH) -> TestScores:
        """Score all images; refuse wrong shapes and values that are not finite."""
        return score_all(detector, self.images(store, batch_size), name=self.method.name)


def difference(one: TestScores, other: TestScores) -> float:
    """The largest difference of any score or pixel, as a share of the spread of ``one``."""
    parts = ("image", "maps", "region_maps")
    return largest_difference((getattr(one, part), getattr(other, part)) for part in parts)


def through_a_file(payload: Any) -> Any:
    """Save and load a payload as checkpoints are, onto the CPU; anything but data is refused."""
    stream = io.BytesIO()
    torch.save(payload, stream)
    stream.seek(0)
    return torch.load(stream, map_location="cpu", weights_only=True)
