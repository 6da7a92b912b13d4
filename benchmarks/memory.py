"""Counts the memory of presets without their weights, data or GPU: the rows of ``adbench/run/doctor/peaks.csv``.

Methods in ``memory_steps.STEPS`` are counted at the preset's own size. A preset of another one is trained for an epoch,
and scores a batch, on generated images of small sizes and in small batches, in float32 and with constant weights. All
live tensors are counted. Their bytes at the peak are fitted by

    fixed + by_pixel * P + by_batch * P * B + by_set * P * N

with P pixels in an image, B images in a batch and N training images, which gives those of the preset's own size, batch
and ``IMAGES`` training images.
"""

from __future__ import annotations

import gc
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.optimize import nnls

from adbench import Detector, Epoch
from adbench.api.method import Method
from adbench.api.options import Options
from adbench.api.registry import Registry
from adbench.backbones import Backbone
from adbench.run.check_bench import CheckBench, MadeImages, rows_of, small_options
from adbench.run.doctor import peaks
from adbench.util.errors import OptionError

from . import memory_steps
from .memory_live import IMAGES, Counted, Live, made_weights

EPOCHS = 2
"""Epochs after which training stops: later ones take the same memory."""


@dataclass(frozen=True)
class Trial:
    """One small training: the sides of its images, images in a batch, and training images."""

    side: int
    batch: int
    images: int

    @property
    def terms(self) -> tuple[float, ...]:
        """The factors of the four unknowns."""
        pixels = float(self.side**2)
        return 1.0, pixels, pixels * self.batch, pixels * self.images


def trials(multiple: int) -> tuple[Trial, ...]:
    """Four trials with sides that are multiples of a number, such as a transformer's patch."""
    short, long = (-(-side // multiple) * multiple for side in (64, 96))
    long = max(long, short + multiple)
    return Trial(short, 2, 12), Trial(short, 12, 12), Trial(long, 2, 12), Trial(short, 2, 6)


def count(method: Method, registry: Registry, options: Options, trial: Trial, auxiliary: Mapping[str, Path]) -> Counted:
    """Train and score once, on a few small images."""
    side = (trial.side, trial.side)
    small = replace(options, size=side, resize_to=None, batch_size=trial.batch, amp="off", **_short(options))
    with tempfile.TemporaryDirectory(prefix="adbench-memory-") as folder, made_weights(), Live() as live:
        made = MadeImages(Path(folder), side)
        bench = CheckBench(method, small, made, torch.device("cpu"), auxiliary, registry)
        store = rows_of(made.train, range(trial.images))
        detector = bench.build(0)
        for value in vars(detector).values():
            if isinstance(value, Backbone):
                value.network  # noqa: B018 - is made on first use
        gc.collect()
        live.peak = live.now  # a network is read and cut on the CPU before it gets to a GPU
        _train(detector, bench.images(store, trial.batch, shuffle=True))
        with torch.no_grad():
            detector.score(next(iter(bench.images(store, trial.batch))))
    return Counted(live.peak, detector.micro_batching)


def _short(options: Options) -> dict[str, int]:
    """Changes that let training end soon, where it counts steps of its own, and fit small images."""
    names = {each.name for each in fields(options)}
    short = {key: 2 for key in ("iterations", "steps") if key in names and (getattr(options, key) or 0) > 100}
    return short | ({"fibres": 4} if "fibres" in names else {})


def _train(detector: Detector, images: Any) -> None:
    for report in detector.fit(images):
        if isinstance(report, Epoch) and report.number >= EPOCHS:
            return


@dataclass(frozen=True)
class Fitted:
    """The four factors of a method's memory, and whether its batches can be split."""

    factors: tuple[float, ...]
    splits: bool

    def at(self, options: Options, batch: int) -> int:
        """Bytes at the options' size, with ``IMAGES`` training images."""
        pixels = options.size[0] * options.size[1]
        terms = (1.0, pixels, pixels * batch, pixels * IMAGES)
        return int(sum(factor * term for factor, term in zip(self.factors, terms, strict=True)))


def fit(method: Method, registry: Registry, preset: str, auxiliary: Mapping[str, Path]) -> Fitted:
    """Count a preset's small trainings, and fit the factors, none of which is negative."""
    small = small_options(method, preset, {}, size=None)
    tried, found = _tried(lambda trial: count(method, registry, small, trial, auxiliary), _multiples(small))
    terms, values = np.array([trial.terms for trial in tried]), np.array([each.bytes for each in found], float)
    scale = terms.max(axis=0)
    factors, _ = nnls(terms / scale, values)
    return Fitted(tuple(map(float, factors / scale)), found[0].splits)


def estimate(options: Options, fitted: Fitted) -> tuple[int, int]:
    """Bytes of training with whole batches, and where they are split into single images if they can be."""
    whole = fitted.at(options, options.batch_size)
    return whole, fitted.at(options, 1) if fitted.splits else whole


SCHEDULE = ("size", "resize", "interpolation", "batch_size", "epoch", "iteration", "lr", "warm", "ramp")
"""Parts of the names of options that don't change the network, so that presets which differ in them are fitted once."""


def network_of(options: Options) -> str:
    """The options that the factors depend on."""
    named = {key: value for key, value in vars(options).items() if not any(part in key for part in SCHEDULE)}
    return repr(sorted(named.items()))


def _tried(count: Callable[[Trial], Counted], multiples: Sequence[int]) -> tuple[tuple[Trial, ...], list[Counted]]:
    """The trials of the first multiple whose sides a method takes: some have scales or windows that need more."""
    for multiple in multiples:
        tried = trials(multiple)
        try:
            return tried, [count(trial) for trial in tried]
        except OptionError as error:
            refused = error
    raise refused


def _multiples(options: Options) -> tuple[int, ...]:
    backbone = str(getattr(options, "backbone", "") or "")
    return (14,) if "patch14" in backbone else (32, 64, 128)


def rows(
    methods: Sequence[Method],
    registry: Registry,
    auxiliary: Mapping[str, Path],
    say: Callable[[str], object],
    presets: Sequence[str] = (),
) -> Iterator[str]:
    """The lines of the table as CSV, as they come; presets that can't be counted are named by ``say`` and left out.

    Args:
        methods: the methods to count.
        registry: all methods and backbones.
        auxiliary: paths of auxiliary data by name.
        say: called with a line about each preset.
        presets: only these; () is all.
    """
    yield ",".join(peaks.COLUMNS)
    for method in methods:
        given = {each.name: auxiliary[each.name] for each in method.requirements.auxiliary if each.name in auxiliary}
        fitted: dict[str, Fitted] = {}
        counted: dict[tuple[object, ...], tuple[int, int]] = {}
        for preset in [each for each in method.presets if not presets or each in presets]:
            options = method.presets[preset].options
            network = network_of(options)
            try:
                if method.name in memory_steps.STEPS:
                    same = (network, options.size, options.batch_size)
                    if same not in counted:
                        counted[same] = memory_steps.estimate(method, registry, options)
                    whole, least = counted[same]
                else:
                    if network not in fitted:
                        fitted[network] = fit(method, registry, preset, given)
                    whole, least = estimate(options, fitted[network])
            except Exception as error:  # the others are counted all the same
                say(f"{method.name}:{preset}: {type(error).__name__}: {error}")
                continue
            yield ",".join(map(str, (method.name, preset, *peaks.set_up(method, preset), whole, least, "counted")))
            say(f"{method.name}:{preset}: {whole / 1e9:.2f} GB, {least / 1e9:.2f} GB in parts")
