"""Reopens a stored run: its images, its detector after the last epoch, and its score histograms."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..api.data import Sample, Size, Task, relative_path
from ..api.registry import Registry
from ..data import depths, image_store, memory_store
from ..data.framing import Framing
from ..data.image_store import Store, Watch
from ..results.records import Result
from ..results.store import RunFolder
from ..util import capacity, devices
from ..util.digests import Digests
from ..util.errors import PLUGIN_ERRORS, AdbenchError, DataError, described
from ..util.files import cache_folder
from ..util.text import stored_text
from . import own_shape, places
from .identity import data_digest
from .map_file import MapFile
from .own_shape import OwnShape
from .standing import marking_of, reader_of
from .trained import TrainedModel, open_model

DIFFERENCE = 0.05
"""Share of the scores' standard deviation by which a new score may differ from the stored one."""


@dataclass(frozen=True, eq=False)
class Rescored:
    """Test images scored again: row i is ``store.samples[i]``; image scores (N,), maps (N, H, W) or None.

    Maps of images that are cut into tiles have several sizes.

    ``framing`` is how the images got to the size of the input; ``map_scale`` are the map values to draw darkest and
    brightest, from the whole test set, if the checkpoint has them.
    """

    store: Store
    image: NDArray[np.float64]
    maps: NDArray[np.float32] | MapFile | None
    framing: Framing
    map_scale: tuple[float, float] | None = None

    def own_shape(self, row: int, size: Callable[[Size], Size]) -> OwnShape:
        """An image in its own shape, with its mask and its map.

        Args:
            row: its number.
            size: gives the size to show it at, in its own aspect ratio, from its own size.

        Raises:
            DataError: the image or its mask can no longer be read.
        """
        own = self.store.sizes[row]
        values = None if self.maps is None else np.asarray(self.maps[row])
        return own_shape.read(self.store.samples[row], self.framing, own, size(own), values)


class Reopener:
    """Reopens stored runs; the images of a class are looked up once for all its runs.

    Args:
        registry: finds methods and data sets.
        roots: possible folders of a data set, tried before the one where the run found it.
        device: "auto", "cpu", "cuda", "cuda:N" or "mps".
        results: the folder of all results: if it moved together with the data, these are found beside it.
    """

    def __init__(
        self, registry: Registry, roots: Sequence[Path] = (), device: str = "auto", *, results: Path | None = None
    ) -> None:
        self.registry = registry
        self.roots, self.results = tuple(roots), results
        self.device = devices.resolve_device(device)
        self.digests = Digests()
        self._found: dict[tuple[str, str, str, str, str | None, str], tuple[Task, Path]] = {}

    def task(self, result: Result) -> Task:
        """Find the images of a result.

        Raises:
            DataError: they are missing, or no longer the same.
            UnknownNameError: there is no such data set.
        """
        return self._place(result)[0]

    def root(self, result: Result) -> Path:
        """The folder that gave the reader the images of a result, which ``task.root`` need not be.

        Raises the same errors as ``task``.
        """
        return self._place(result)[1]

    def _place(self, result: Result) -> tuple[Task, Path]:
        contents = result.identity.data if result.identity else ""
        how = result.protocol
        read = repr((how.reading, how.levels, marking_of(how)))
        key = (result.dataset, result.class_name, result.fingerprint, contents, how.test, read)
        if key not in self._found:
            self._found[key] = self._find(result)
        return self._found[key]

    def samples(self, result: Result, paths: Sequence[str]) -> list[Sample]:
        """Find test images of a result by their paths in ``scores.csv``. Raises the same errors as ``task``."""
        task = self.task(result)
        known = {stored_text(relative_path(sample.path, task.root)): sample for sample in task.test}
        missing = [path for path in paths if path not in known]
        if missing:
            raise DataError(f"image {missing[0]}", found="no such file", wanted="what the run was tested on")
        return [known[path] for path in paths]

    def _find(self, result: Result) -> tuple[Task, Path]:
        reader = reader_of(result, self.registry)
        found: dict[str, None] = {}
        stored = places.of_data(result, self.results)
        for root in dict.fromkeys((*self.roots, *stored)) if reader.needs_root else [cache_folder()]:
            try:
                task = reader.load(root, result.class_name).with_test(result.protocol.test)
                if task.fingerprint == result.fingerprint and self._same_contents(task, result):
                    return depths.decided(task, result.protocol.levels), root
                found[f"other images in {root}"] = None
            except AdbenchError as error:
                found[f"{error.parts['found'] or error} ({root})"] = None
            except PLUGIN_ERRORS as error:  # a plugin's data set may raise any error
                found[f"{described(error)} ({root})"] = None
        raise DataError(
            f"images of {result.dataset}/{result.class_name}",
            found=", ".join(found) or "no folder to look in", wanted="those of the run",
            hint="Give --data-root DIR",
        )  # fmt: skip

    def _same_contents(self, task: Task, result: Result) -> bool:
        """Whether the images have their old content; for results of adbench 0.1 that is unknown."""
        return result.identity is None or data_digest(task, self.digests) == result.identity.data

    def model(self, folder: RunFolder) -> TrainedModel:
        """Read a run's model from its ``last.pt``. Raises the errors of ``trained.open_model``."""
        hint = "Compute the run again with --force"
        return open_model(folder.checkpoint("last"), self.registry, device=self.device, hint=hint)

    def score(
        self, result: Result, folder: RunFolder, samples: Sequence[Sample], watch: Watch | None = None
    ) -> Rescored:
        """Score some images with a run's detector.

        Args:
            result: the run.
            folder: its folder.
            samples: the images, found by ``samples``.
            watch: called with ("score", done, total).

        Raises:
            DataError: an image or mask can't be read.
            AdbenchError: an error of ``model``, or invalid scores.
        """
        model = self.model(folder)
        framing = model.framing
        capacity.require_input(model.size, 0 if framing.is_tiled else len(samples))
        if framing.is_tiled:  # large images: a file has the tiles, that of the run if these are its test images
            store = image_store.open_store(samples, root=self.task(result).root, framing=framing)
        else:
            store = memory_store.read(samples, framing)
        scores = model.score(store, watch=watch)
        return Rescored(store, scores.image.numpy(), scores.every_map(), framing, model.saved.map_scale)


def scores_differ(stored: NDArray[np.floating], found: NDArray[np.floating], spread: float) -> str:
    """Say that this machine gives other scores than the result's machine; empty if it doesn't.

    Args:
        stored: (N,), the scores beside the result.
        found: (N,), those of the same images now.
        spread: standard deviation of all stored scores.
    """
    largest = float(np.abs(stored - found).max())
    if largest <= DIFFERENCE * spread:
        return ""
    return f"Scored again, images got other scores, by up to {largest:.3g}."
