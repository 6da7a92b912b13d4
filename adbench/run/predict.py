"""Scores new images with a trained model: a score, a verdict and an anomaly map for each."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from ..api import registry as plugins
from ..api.data import Problem, Sample, Size, size_text
from ..api.levels import Levels
from ..data import decode, image_files, memory_store
from ..data.decode import Decoded
from ..data.deep import Deep
from ..data.framing import Framing
from ..data.sources import Source
from ..results.find import find_checkpoint
from ..util import capacity
from ..util.errors import DataError, UsageError, type_text
from ..util.memory import MicroBatches
from .overlay import Scale
from .trained import TrainedModel, open_model

if TYPE_CHECKING:
    from ..api.registry import Registry
    from ..stats.thresholds import Stored

AnImage: TypeAlias = "str | PathLike[str] | Image.Image | NDArray[np.generic] | torch.Tensor"
"""A file, an image of Pillow, or an array: (H, W) or (H, W, 3) uint8, or float in [0, 1]; a tensor is (3, H, W).

Integers of more than 8 bits are read with the levels of the model.
"""

DECODERS = 4
"""Threads that decode images while others are scored."""


@dataclass(frozen=True, eq=False)
class Prediction:
    """What a model says of one image.

    Attributes:
        path: the file, or "image 0" and so on for images in memory.
        score: higher is more anomalous.
        threshold: a score above it is defective; None if the model has none.
        defective: the verdict; None without a threshold.
        map: (H, W) float32 at the size of the model's input, or of the image that is cut into tiles; None if the method
            makes no maps.
        size: height and width of the image itself.
        framing: how the image was brought to the size of the input.
        levels: with which an image of more than 8 bits was read.
        is_clipped: whether it has values beyond these levels.
        is_dark: whether these levels leave it nearly black, as those of integers do with floats up to 1.
    """

    path: str
    score: float
    threshold: float | None
    defective: bool | None
    map: NDArray[np.float32] | None
    size: Size
    framing: Framing
    levels: Levels | None = None
    is_clipped: bool = False
    is_dark: bool = False

    @property
    def verdict(self) -> str:
        """The words "defective" and "good"; empty without a threshold."""
        return "" if self.defective is None else "defective" if self.defective else "good"

    @property
    def flag(self) -> str:
        """What is wrong with how the image was read: "dark", "clipped", or nothing; see ``is_dark``, ``is_clipped``."""
        return "dark" if self.is_dark else "clipped" if self.is_clipped else ""

    def full_map(self, size: Size | None = None) -> NDArray[np.float32] | None:
        """The map in the shape of the image; the part that the model did not see has the lowest value.

        Args:
            size: height and width of a copy of the image; None for its own.

        Returns:
            (H, W), or None if there is no map.
        """
        if self.map is None:
            return None
        height, width = size or self.size
        across, down = width / self.size[1], height / self.size[0]
        left, top, right, bottom = self.framing.shown_part(self.size)
        x0, x1, y0, y1 = round(left * across), round(right * across), round(top * down), round(bottom * down)
        full = np.full((height, width), self.map.min(), np.float32)
        shown = Image.fromarray(self.map).resize((max(x1 - x0, 1), max(y1 - y0, 1)), Image.Resampling.BILINEAR)
        full[y0:y1, x0:x1] = np.asarray(shown)[: y1 - y0, : x1 - x0]
        return full


class Predictor:
    """A trained model that scores new images. ``adbench.load`` makes one.

    Args:
        model: the model.
        class_name: the class of the images, for a model of several.
        threshold: counts in place of the stored one.
        levels: black and white of images of more than 8 bits, in place of those of the training.

    Raises:
        UsageError: a class that the model was not trained on, or none where it has several; or a threshold that is no
            number.
    """

    def __init__(
        self,
        model: TrainedModel,
        *,
        class_name: str | None = None,
        threshold: float | None = None,
        levels: Levels | None = None,
    ) -> None:
        if threshold is not None and not math.isfinite(threshold):
            raise UsageError("threshold", found=f"{threshold:g}", wanted="a finite number")
        self.model = model
        self.levels = levels or model.levels
        self.class_name = model.class_named(class_name)
        self.stored: Stored | None = model.threshold(self.class_name) if threshold is None else None
        self.threshold: float | None = self.stored.value if self.stored else threshold
        self.scale = Scale(*model.saved.map_scale) if model.saved.map_scale else None
        """The colours of its maps; None if the checkpoint has none and no image was scored yet."""
        self._micro_batches = MicroBatches("scoring")
        self._at_once = 1 if model.framing.is_tiled else model.options.batch_size
        capacity.require_input(model.size, model.options.batch_size)

    def predict(self, images: AnImage | Sequence[AnImage]) -> list[Prediction]:
        """Score images.

        Args:
            images: one image or several: paths, images of Pillow, or arrays. A batch is an array (B, H, W, 3) or
                (B, H, W, 1), or a tensor (B, 3, H, W); uint8, or float in [0, 1].

        Raises:
            DataError: an image that can't be read.
            UsageError: something else than images.
            TaskError: scoring failed.
        """
        found: list[Prediction] = []
        chosen = list(_one_by_one(images))
        for start in range(0, len(chosen), self._at_once):
            part = chosen[start : start + self._at_once]
            names = [_name(image, start + number) for number, image in enumerate(part)]
            decoded = [self._decoded(image, name) for image, name in zip(part, names, strict=True)]
            found += self._scored(names, decoded)
        return found

    def stream(self, sources: Iterable[Source]) -> Iterator[Prediction | Problem]:
        """Score files batch by batch, in their order; of one that can't be read comes what is wrong with it.

        Raises:
            TaskError: scoring failed.
        """
        framing, size = self.model.framing, self._at_once
        with image_files.quiet(), ThreadPoolExecutor(DECODERS) as pool:
            for batch in _batches(sources, size):
                decoded = list(pool.map(lambda each: decode.decode_sample(self._sample(each.path), framing), batch))
                good = [
                    (str(source.path), each)
                    for source, each in zip(batch, decoded, strict=True)
                    if isinstance(each, Decoded)
                ]
                scored = iter(self._scored([name for name, _ in good], [each for _, each in good]))
                for each in decoded:
                    yield each if isinstance(each, Problem) else next(scored)

    def _scored(self, names: Sequence[str], decoded: Sequence[Decoded]) -> list[Prediction]:
        if not decoded:
            return []
        framing = self.model.framing
        store = memory_store.of_decoded([Sample(Path(name)) for name in names], decoded, framing)
        scores = self.model.score(store, micro_batches=self._micro_batches)
        maps = scores.every_map()
        if maps is not None and self.scale is None:
            self.scale = Scale.of_all(maps)
        return [
            Prediction(
                path=name,
                score=score,
                threshold=self.threshold,
                defective=None if self.threshold is None else score > self.threshold,
                map=None if maps is None else np.asarray(maps[row]),
                size=store.sizes[row],
                framing=framing,
                levels=self.levels,
                is_clipped=decoded[row].is_clipped,
                is_dark=decoded[row].is_dark,
            )
            for row, (name, score) in enumerate(zip(names, scores.image.tolist(), strict=True))
        ]

    def _sample(self, path: Path) -> Sample:
        return Sample(path, levels=self.levels)

    def _decoded(self, image: AnImage, name: str) -> Decoded:
        framing = self.model.framing
        with image_files.quiet():
            if isinstance(image, (str, PathLike)):
                found = decode.decode_sample(self._sample(Path(image)), framing)
                if isinstance(found, Problem):
                    raise DataError(f"{found.path}", found=found.found, hint=found.hint)
                return found
            try:
                made = image if isinstance(image, Image.Image) else _from_array(image)
                return decode.decode_image(made, framing, self.levels)
            except ValueError as error:
                if str(error) == image_files.NO_LEVELS:
                    hint = "Open the model with adbench.load(RUN, levels=(BLACK, WHITE))"
                    raise UsageError(name, found=str(error), hint=hint) from error
                wanted = "(H, W), (H, W, 3) or (H, W, 4), uint8, or float in [0, 1]"
                raise UsageError(name, found=str(error), wanted=wanted) from error


def load(
    run: str | PathLike[str],
    *,
    results: str | PathLike[str] = "results",
    class_name: str | None = None,
    threshold: float | None = None,
    device: str = "auto",
    weights: str | PathLike[str] | None = None,
    plugin_files: Sequence[str | PathLike[str]] = (),
    registry: Registry | None = None,
    levels: tuple[float, float] | None = None,
) -> Predictor:
    """Open a trained model to score new images: ``adbench.load(RUN).predict(images)``.

    Args:
        run: a run as ``adbench list runs`` names it, its folder, or a copied checkpoint.
        results: the folder of all results.
        class_name: the class of the images, for a model of several.
        threshold: a score above it is defective; by default the run's own.
        device: "auto", "cpu", "cuda", "cuda:N" or "mps".
        weights: file with the backbone's weights, where the one of the training is not at hand.
        plugin_files: files with methods that are not installed.
        registry: finds methods, in place of ``plugin_files``.
        levels: the values of black and white in images of more than 8 bits, in place of those of the training.

    Raises:
        UsageError: there is no such run, or this machine lacks what it needs.
    """
    path = find_checkpoint(str(run), Path(results), thing=f"run {run}")
    known = registry or plugins.load([Path(each) for each in plugin_files])
    model = open_model(path, known, device=device, weights=None if weights is None else Path(weights))
    given = None if levels is None else Levels.parse(":".join(map(str, levels)), "levels")
    return Predictor(model, class_name=class_name, threshold=threshold, levels=given)


# ---------------------------------------------------------------- images in memory


def _one_by_one(images: AnImage | Sequence[AnImage]) -> Iterator[AnImage]:
    if isinstance(images, (str, PathLike, Image.Image)):
        yield images
    elif isinstance(images, (np.ndarray, torch.Tensor)):
        yield from images if images.ndim == 4 else [images]
    else:
        yield from images


def _name(image: AnImage, number: int) -> str:
    return str(image) if isinstance(image, (str, PathLike)) else f"image {number}"


def _from_array(image: object) -> Image.Image | Deep:
    """An image from an array or tensor. Raises ``ValueError`` for what has no fixed meaning as one."""
    if isinstance(image, torch.Tensor):
        image = image.detach().cpu()
        if image.is_floating_point():
            image = image.float()  # NumPy has no bfloat16
        values: NDArray[np.generic] = (image.movedim(0, -1) if image.ndim == 3 else image).numpy()
    elif isinstance(image, np.ndarray):
        values = image
    else:
        raise ValueError(type_text(image))
    if values.ndim == 3 and values.shape[2] == 1:
        values = values[..., 0]
    if values.ndim not in (2, 3) or (values.ndim == 3 and values.shape[2] not in (3, 4)) or 0 in values.shape:
        raise ValueError(f"shape {values.shape}")
    if values.dtype.kind == "f":
        floats = values.astype(np.float64)
        if not (floats.min() >= 0 and floats.max() <= 1):  # so no NaN
            raise ValueError(f"floats from {floats.min():g} to {floats.max():g}")
        values = np.rint(floats * 255).astype(np.uint8)
    if values.dtype in (np.uint16, np.int32, np.uint32):
        return Deep(values if values.ndim == 2 else values[..., :3])
    if values.dtype != np.uint8:
        raise ValueError(f"{values.dtype}")
    return Image.fromarray(np.ascontiguousarray(values))


def _batches(sources: Iterable[Source], size: int) -> Iterator[list[Source]]:
    batch: list[Source] = []
    for source in sources:
        batch.append(source)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch


def describe(model: TrainedModel) -> str:
    """One line about a model: "padim, trained on folder/screw, 256x256"."""
    saved = model.saved
    levels = f", {saved.levels.text} from black to white in images of more than 8 bits" if saved.levels else ""
    tiles = f" in tiles that overlap by {model.options.overlap}" if model.framing.is_tiled else ""
    size = f"{size_text(model.size)}{tiles}"
    words = f"{saved.method}, trained on {saved.dataset}/{'+'.join(saved.classes)}, {size}{levels}"
    trained = saved.options.get("amp")
    if trained != model.options.amp:
        words += f"; computed with --amp {model.options.amp}, as {model.device} has no {trained}"
    return words
