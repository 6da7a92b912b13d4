"""Measures how fast a model or an exported file scores: from decoded images on the host to maps on the host.

A batch is warmed up first, a GPU is waited for, and times are the median and the 95th percentile over many batches.
Feature caches are off. Decoding is left out, since it depends on the format of the files and not on the method.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from ..api.data import Sample, Size
from ..api.registry import Registry
from ..data.image_store import Store
from ..data.images import Images
from ..results.speeds import Latency, Skipped, Speed
from ..util import devices
from ..util.errors import PLUGIN_ERRORS, AdbenchError, described
from ..util.memory import free, is_out_of_memory
from .export.runners import Runner
from .session import kept_random_state
from .summary import environment
from .trained import TrainedModel, open_model

SIDES = (256, 512, 1024)
"""Sides of the square images that are measured beside the run's own size."""

WARM_UP = 3
"""Batches before the measured ones."""

LEAST, MOST = 5, 100
"""Measured batches."""

LARGEST = 64
"""The largest batch that is tried."""

GAIN = 1.05
"""Images per second by which a batch of twice the size must be faster, or the search ends."""

Images8 = NDArray[np.uint8]
Step = Callable[[Images8], object]
Watch = Callable[[str], None]


@dataclass(frozen=True)
class Effort:
    """How long is measured.

    Attributes:
        seconds: for each size and batch, about; at least ``LEAST`` batches are measured.
        largest: the largest batch that is tried.
    """

    seconds: float = 3.0
    largest: int = LARGEST


def of_model(
    checkpoint: Path,
    registry: Registry,
    *,
    device: str = "auto",
    weights: Path | None = None,
    sizes: Sequence[Size] | None = None,
    effort: Effort = Effort(),
    watch: Watch | None = None,
) -> Speed:
    """Measure the model of a checkpoint, at its own size and at others if its method allows them.

    Args:
        checkpoint: the file.
        registry: finds its method.
        device: where it computes.
        weights: of the backbone, where they are not at hand.
        sizes: sizes of the images; by default that of the run, and squares of 256, 512 and 1024.
        effort: how long is measured.
        watch: called with what is being measured.

    Raises:
        AdbenchError: the model can't be opened, or it can't score at its own size.
    """
    first = open_model(checkpoint, registry, device=device, weights=weights)
    own, where, amp, made_by = first.size, first.device, first.options.amp, first.saved.provenance
    tiled = first.framing.is_tiled
    ready = [first]  # no model stays in memory while another one is measured
    del first

    def opened(size: Size) -> Step:
        if size == own and ready:
            return _step_of(ready.pop())
        ready.clear()
        changes = {} if size == own else {"size": size, "resize_to": None, "tile": None, "overlap": 0}
        return _step_of(open_model(checkpoint, registry, device=device, weights=weights, changes=changes))

    single, best, skipped = _measured(opened, _sizes(own, sizes), own, where, effort, watch)
    here = environment(where)
    return Speed(
        model=made_by.run if made_by else checkpoint.name,
        own_size=own,
        program=f"torch {here.packages['torch']}",
        device=here.device,
        device_name=here.device_name,
        threads=here.threads,
        precision=amp,
        measured=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        single=tuple(single),
        best=tuple(best),
        skipped=tuple(skipped),
        tiled=tiled,
    )


def of_file(
    runner: Runner, *, sizes: Sequence[Size] | None = None, effort: Effort = Effort(), watch: Watch | None = None
) -> Speed:
    """Measure an exported file with images of several sizes, which it resizes to its input's. Arguments as above."""
    facts, cpu = runner.facts, torch.device("cpu")
    own = facts.image_size or facts.size
    wanted = _sizes(own, sizes)

    def opened(size: Size) -> Step:
        if facts.image_size not in (None, size):
            raise AdbenchError(f"the file takes images of {own[0]}x{own[1]} alone")
        return runner

    single, best, skipped = _measured(opened, wanted, own, cpu, effort, watch)
    here = environment(cpu)
    return Speed(
        model=runner.path.name, own_size=own, program=runner.program, device=here.device, device_name=here.device_name,
        threads=here.threads, precision="off", measured=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        single=tuple(single), best=tuple(best), skipped=tuple(skipped),
    )  # fmt: skip


def _sizes(own: Size, given: Sequence[Size] | None) -> list[Size]:
    return list(dict.fromkeys((own, *((side, side) for side in SIDES)) if given is None else given))


def _measured(
    opened: Callable[[Size], Step], sizes: Sequence[Size], own: Size, device: torch.device, effort: Effort,
    watch: Watch | None,
) -> tuple[list[Latency], list[Latency], list[Skipped]]:  # fmt: skip
    single, best, skipped = [], [], []
    for size in sizes:
        try:
            with kept_random_state(device), torch.no_grad():
                found = list(_batches(opened(size), size, device, effort, watch))
        except PLUGIN_ERRORS as error:  # a method may raise anything for a size that it wasn't made for
            free()
            if size == own:
                raise
            skipped.append(Skipped(size, _why(error)))
            continue
        single.append(found[0])
        best.append(max(found, key=lambda each: each.images_per_second))
    return single, best, skipped


def _why(error: BaseException) -> str:
    if is_out_of_memory(error):
        return "too little memory"
    if isinstance(error, AdbenchError):
        found, wanted = error.parts["found"], error.parts["wanted"]
        facts = ", ".join(filter(None, (found and f"found {found}", wanted and f"wanted {wanted}")))
        return facts or error.parts["thing"]
    return described(error)


def _batches(step: Step, size: Size, device: torch.device, effort: Effort, watch: Watch | None) -> Iterator[Latency]:
    """Times of batches of 1, 2, 4, ... images, as long as they get faster by the image and fit into memory."""
    batch, before = 1, 0.0
    while batch <= effort.largest:
        if watch:
            watch(f"{size[0]}x{size[1]}, batch {batch}")
        try:
            found = _timed(step, made_images(batch, size), device, effort.seconds)
        except PLUGIN_ERRORS as error:
            if batch == 1 or not is_out_of_memory(error):
                raise
            free()
            return
        yield found
        if found.images_per_second < GAIN * before:
            return
        before, batch = found.images_per_second, 2 * batch


def _timed(step: Step, images: Images8, device: torch.device, seconds: float) -> Latency:
    devices.reset_peak_memory(device)
    for _ in range(WARM_UP):
        step(images)
    times: list[float] = []
    while len(times) < LEAST or (len(times) < MOST and sum(times) < seconds):
        devices.synchronize(device)
        started = time.perf_counter()
        step(images)  # its outputs are on the host, so that nothing is left to wait for
        times.append(time.perf_counter() - started)
    return Latency(
        size=(images.shape[1], images.shape[2]),
        batch=len(images),
        median=float(np.median(times)),
        p95=float(np.percentile(times, 95)),
        repeats=len(times),
        peak_memory_bytes=devices.peak_memory(device),
    )


def _step_of(model: TrainedModel) -> Step:
    """Score images, uint8 (B, H, W, 3) on the host, of the size of the input; scores and maps come back to the host."""

    def step(images: Images8) -> object:
        found = model.detector.score(_as_images(images, model).part(0, len(images)))
        return found.image.cpu(), None if found.map is None else found.map.float().cpu()

    return step


def _as_images(images: Images8, model: TrainedModel) -> Images:
    size = (images.shape[1], images.shape[2])
    samples = (Sample(Path("made")),) * len(images)
    store = Store("", samples, images, None, (size,) * len(images), "")
    return Images(store, model.device, len(images), shuffle=False)


def made_images(count: int, size: Size) -> Images8:
    """Draw coarse textures with fine noise, uint8 (B, H, W, 3): some methods' time depends on what they see."""
    draw = np.random.default_rng(0)
    height, width = size
    shape = (count, -(-height // 16), -(-width // 16), 3)
    coarse = draw.integers(60, 180, shape).repeat(16, 1).repeat(16, 2)[:, :height, :width]
    made: Images8 = np.clip(coarse + draw.integers(-12, 13, (count, height, width, 3)), 0, 255).astype(np.uint8)
    return made
