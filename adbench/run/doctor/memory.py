"""Check of memory: which presets of which methods fit in the GPU's, or without a GPU in the machine's."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args

from ...api.method import Method
from ...util.errors import AdbenchError
from ...util.sizes import bytes_text
from . import peaks
from .finding import Asked, Finding
from .machine import Device, find_device
from .peaks import LIBRARIES, Peak

if TYPE_CHECKING:
    from ...results.records import Result

Verdict = Literal["fits", "close", "in parts", "too large", "unknown"]
"""Close: it fits by an estimate, but not by much. In parts: a whole batch is too large, but adbench splits it when
memory runs out, with the same results."""

VERDICTS: tuple[Verdict, ...] = get_args(Verdict)

MARGIN = 1.5
"""How many times an estimate may be needed in truth: SuperSimpleNet's is 9.2 GB, and 15 GB were measured."""

NAMED = 12
"""Presets that a line names at most."""


@dataclass(frozen=True)
class Fit:
    """Whether a preset fits in a device's memory; ``peak`` is None where nobody knows what it takes."""

    method: str
    preset: str
    verdict: Verdict
    peak: Peak | None = None

    @property
    def name(self) -> str:
        """As on the command line, with what it takes: "cflow:paper (9.1 GB)"."""
        return f"{self.method}:{self.preset}" + (f" ({bytes_text(self.peak.least)})" if self.peak else "")


def check(asked: Asked) -> Iterator[Finding]:
    """One line on the device's memory, and one for the presets that don't fit."""
    device = find_device(asked)
    if device is None:
        yield Finding("memory", "yellow", "its size is unknown here", "Watch the first epochs of a large preset")
        return
    yield from judged(device, fits(asked.registry.methods, device, stored(asked)))


def stored(asked: Asked) -> Sequence[Result]:
    """The user's results; none where the folder is missing or unreadable."""
    from ...results import store

    with suppress(AdbenchError):
        return store.read_all(asked.results).results
    return ()


def fits(methods: Mapping[str, Method], device: Device, runs: Sequence[Result] = ()) -> list[Fit]:
    """Compare each preset of each method with a device's memory.

    Args:
        methods: the methods by name.
        device: the device.
        runs: the user's results, whose peaks count for presets that are not in the table.
    """
    there = device.total - (LIBRARIES if device.is_gpu else 0)
    found = []
    for method in methods.values():
        for preset in method.presets:
            peak = peaks.of(method, preset, runs, is_gpu=device.is_gpu)
            found.append(Fit(method.name, preset, _verdict(peak, there), peak))
    return found


def _verdict(peak: Peak | None, there: int) -> Verdict:
    if peak is None:
        return "unknown"
    if peak.bytes > there:
        return "in parts" if peak.least <= there else "too large"
    return "close" if peak.how == "counted" and peak.bytes * MARGIN > there else "fits"


def judged(device: Device, found: Sequence[Fit]) -> Iterator[Finding]:
    """The lines on a device: its memory, and the presets that don't fit or that nobody has counted."""
    by = {verdict: [fit for fit in found if fit.verdict == verdict] for verdict in VERDICTS}
    source = "torch.cuda.mem_get_info" if device.is_gpu else "the system"
    known = len(found) - len(by["unknown"])
    yield Finding("memory", "green", f"{device.name}: {bytes_text(device.total)}, as {source} says")
    yield Finding(
        "memory", "green",
        f"{len(by['fits'])} of {known} presets whose need is known fit (measured, or estimated in float32): "
        f"{_grouped(by['fits'])}",
    )  # fmt: skip
    if parts := by["in parts"]:
        yield Finding(
            "memory", "green", f"fit after batches are split, by themselves and with the same results: {_names(parts)}"
        )
    if large := by["too large"]:
        yield Finding(
            "memory", "yellow", f"don't fit in {bytes_text(device.total)}: {_names(large)}",
            "Use --preset cpu or quick, a smaller -o batch_size or --size, or another --device",
        )  # fmt: skip
    if close := by["close"]:
        yield Finding(
            "memory", "yellow", f"may not fit, as estimates may be off by half: {_names(close)}",
            "Try one epoch; if memory runs out, use a smaller -o batch_size or --size",
        )  # fmt: skip
    if unknown := by["unknown"]:
        yield Finding("memory", "green", f"need unknown: {_grouped(unknown)}; a run here measures it")


def _grouped(found: Sequence[Fit]) -> str:
    """Presets by method: "padim (paper, quick), cfa (cpu)"; adapters of another library are only counted."""
    own = [fit for fit in found if ":" not in fit.method]
    methods = {fit.method: [each.preset for each in own if each.method == fit.method] for fit in own}
    texts = [f"{method} ({', '.join(presets)})" for method, presets in methods.items()]
    if len(found) > len(own):
        texts.append(f"{len(found) - len(own)} of other libraries")
    return ", ".join(texts) or "none"


def _names(found: Sequence[Fit]) -> str:
    more = f" and {len(found) - NAMED} more" if len(found) > NAMED else ""
    return ", ".join(fit.name for fit in found[:NAMED]) + more
