"""Writes runs for TensorBoard, each in a folder of its own."""

from __future__ import annotations

import itertools
from pathlib import Path

from torch.utils.tensorboard import SummaryWriter
from torch.utils.tensorboard.summary import hparams

from adbench.api import (
    Fact,
    TrackedEpoch,
    TrackedFailure,
    TrackedResult,
    TrackedRun,
    TrackedTable,
    Tracker,
    TrackerRun,
)

MILLISECONDS = 1000


class TensorboardTracker(Tracker):
    """A run of adbench is a folder with events. After a break it goes on in the same folder."""

    def __init__(self) -> None:
        self._writer: SummaryWriter | None = None
        self._facts: dict[str, Fact] = {}
        self._epoch = 0

    def run_started(self, run: TrackedRun) -> TrackerRun:
        """Open a folder; of an earlier one the epochs that will come again don't count."""
        base = run.store / "tensorboard"
        goes_on = bool(run.earlier) and (base / run.earlier).is_dir()
        name = run.earlier if goes_on else _free_name(base, run.path)
        self._writer = SummaryWriter(str(base / name), purge_step=run.epoch + 1 if goes_on else None)
        self._facts, self._epoch = run.facts(), run.epoch
        self._writer.add_text("run", _markdown(self._facts), 0)
        return TrackerRun(name, f"tensorboard --logdir {base}")

    def epoch(self, epoch: TrackedEpoch) -> None:
        """Write the numbers of an epoch."""
        writer = self._open()
        self._epoch = epoch.number
        for name, value in epoch.values().items():
            writer.add_scalar(name, value, epoch.number)
        writer.flush()

    def finished(self, result: TrackedResult) -> None:
        """Write the tables, the maps and the place of the checkpoint."""
        writer, step = self._open(), self._epoch
        for point in result.frontier:  # by the time of training in place of epochs
            writer.add_scalar("image_auroc_by_fit_ms", point.image_auroc, round(MILLISECONDS * point.fit_seconds))
        writer.add_text("classes", result.class_table().markdown(), step)
        writer.add_text("frontier", result.frontier_table().markdown(), step)
        writer.add_text("result", _markdown({**result.facts, "checkpoint": str(result.checkpoint)}), step)
        for image in result.images:
            tag = f"{image.class_name}/{image.heading.partition(':')[0]}/{image.caption}"
            writer.add_image(tag, image.pixels, step, dataformats="HWC")
        told = {name: "" if value is None else value for name, value in self._facts.items()}
        for summary in hparams(told, result.values()):  # as add_hparams does, but in the same folder
            writer.file_writer.add_summary(summary)
        self._close()

    def failed(self, failure: TrackedFailure) -> None:
        """Write why the run broke off."""
        self._open().add_text("failure", failure.reason, self._epoch)
        self._close()

    def _open(self) -> SummaryWriter:
        assert self._writer is not None
        return self._writer

    def _close(self) -> None:
        self._open().close()
        self._writer = None


def _free_name(base: Path, wanted: str) -> str:
    """The name of a folder that is not there yet: a run that is computed again is another one."""
    names = itertools.chain([wanted], (f"{wanted}-{number}" for number in itertools.count(2)))
    return next(name for name in names if not (base / name).exists())


def _markdown(facts: dict[str, Fact]) -> str:
    return TrackedTable(("name", "value"), tuple(facts.items())).markdown()
