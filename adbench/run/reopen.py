"""Reopens a stored run: its images, its detector after the last epoch, and its score histograms."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..api.data import Sample, Task, relative_path
from ..api.detector import Detector
from ..api.options import Options
from ..api.registry import Registry
from ..data import decode
from ..data.framing import Framing
from ..data.image_store import Store, Watch
from ..data.images import Images
from ..results.records import Result
from ..results.store import RunFolder
from ..util import capacity, devices
from ..util.digests import Digests
from ..util.errors import PLUGIN_ERRORS, AdbenchError, CheckpointError, DataError, described
from ..util.files import cache_folder
from ..util.text import stored_text
from . import checkpoint
from .checkpoint import Checkpoint
from .evaluate import score_all
from .identity import data_digest
from .standing import named_in

DIFFERENCE = 0.05
"""Share of the scores' standard deviation by which a new score may differ from the stored one."""


@dataclass(frozen=True, eq=False)
class Rescored:
    """Test images scored again: row i is ``store.samples[i]``; image scores (N,), maps (N, H, W) or None."""

    store: Store
    image: NDArray[np.float64]
    maps: NDArray[np.float32] | None


class Reopener:
    """Reopens stored runs; the images of a class are looked up once for all its runs.

    Args:
        registry: finds methods and data sets.
        roots: possible folders of a data set, tried before the one in the run's command.
        device: "auto", "cpu", "cuda", "cuda:N" or "mps".
    """

    def __init__(self, registry: Registry, roots: Sequence[Path] = (), device: str = "auto") -> None:
        self.registry = registry
        self.roots = tuple(roots)
        self.device = devices.resolve_device(device)
        self.digests = Digests()
        self._tasks: dict[tuple[str, str, str, str, str | None], Task] = {}

    def task(self, result: Result) -> Task:
        """Find the images of a result.

        Raises:
            DataError: they are missing, or no longer the same.
            UnknownNameError: there is no such data set.
        """
        contents = result.identity.data if result.identity else ""
        key = (result.dataset, result.class_name, result.fingerprint, contents, result.protocol.test)
        if key not in self._tasks:
            self._tasks[key] = self._find(result)
        return self._tasks[key]

    def samples(self, result: Result, paths: Sequence[str]) -> list[Sample]:
        """Find test images of a result by their paths in ``scores.csv``. Raises the same errors as ``task``."""
        task = self.task(result)
        known = {stored_text(relative_path(sample.path, task.root)): sample for sample in task.test}
        missing = [path for path in paths if path not in known]
        if missing:
            raise DataError(f"image {missing[0]}", found="no such file", wanted="what the run was tested on")
        return [known[path] for path in paths]

    def _find(self, result: Result) -> Task:
        reader = self.registry.dataset(result.dataset)
        found: dict[str, None] = {}
        named = [Path(name) for name in named_in(result.command, "--data-root")]
        for root in dict.fromkeys((*self.roots, *named)) if reader.needs_root else [cache_folder()]:
            try:
                task = reader.load(root, result.class_name).with_test(result.protocol.test)
                if task.fingerprint == result.fingerprint and self._same_contents(task, result):
                    return task
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

    def detector(self, result: Result, folder: RunFolder) -> tuple[Detector, Options]:
        """Build a run's detector from its ``last.pt``, and return its options, too.

        Raises:
            CheckpointError: the file is missing, unreadable or doesn't fit.
            UsageError: the method, its weights or the precision are not available here.
            TaskError: building it failed.
        """
        hint = "Compute the run again with --force"
        saved = checkpoint.read(folder.checkpoint("last"), hint=hint)
        method = self.registry.method(result.method)
        if not isinstance(saved, Checkpoint):
            raise CheckpointError(f"checkpoint {saved.path}", found="another program's", wanted="adbench's", hint=hint)
        options = saved.options_for(method)
        options = replace(options, amp=devices.resolve_amp(options.amp, self.device))
        context = self.registry.offering(saved.context(self.device), options)
        return checkpoint.build(saved, method, options, context), options

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
            AdbenchError: an error of ``detector``, or invalid scores.
        """
        detector, options = self.detector(result, folder)
        store = _decode(samples, options)
        images = Images(store, self.device, options.batch_size, shuffle=False)
        scores = score_all(detector, images, name=result.method, watch=watch)
        maps = None if scores.maps is None else scores.maps.float().cpu().numpy()
        return Rescored(store, scores.image.numpy(), maps)


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
    return f"Scored again for these maps, images got other scores, by up to {largest:.3g}."


def _decode(samples: Sequence[Sample], options: Options) -> Store:
    """Decode a few images into memory: every choice of images would need its own store on disk."""
    capacity.require_input(options.size, len(samples))
    decoded = []
    with decode.quiet():
        for sample in samples:
            one = decode.decode_sample(sample, Framing.of(options))
            if not isinstance(one, decode.Decoded):
                raise DataError(f"{one.path}", found=one.found, hint=one.hint)
            decoded.append(one)
    blank = np.zeros(options.size, np.uint8)
    masks = [blank if each.mask is None else each.mask for each in decoded]
    return Store(
        key="",
        samples=tuple(samples),
        images=np.stack([each.image for each in decoded]),
        masks=np.stack(masks) if any(each.mask is not None for each in decoded) else None,
        sizes=tuple(each.size for each in decoded),
        content="",
    )
