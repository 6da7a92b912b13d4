"""Logs runs to Weights & Biases; without an account offline, in files that ``wandb sync`` uploads later.

The library's own variables hold: WANDB_MODE, WANDB_PROJECT, WANDB_ENTITY, WANDB_DIR and others.
"""

from __future__ import annotations

import contextlib
import netrc
import os
import uuid
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

import wandb

from adbench.api import TrackedEpoch, TrackedFailure, TrackedResult, TrackedRun, TrackedTable, Tracker, TrackerRun

PROJECT = "adbench"


class WandbTracker(Tracker):
    """A run of adbench is a run of Weights & Biases.

    After a break it goes on in the same one. Offline the library can't do that; there a new one gets all epochs.
    """

    def __init__(self) -> None:
        self._run: wandb.Run | None = None
        self._last = 0

    def run_started(self, run: TrackedRun) -> TrackerRun:
        """Open a run, or an earlier one again."""
        run.store.mkdir(parents=True, exist_ok=True)
        mode = _mode()
        earlier = "" if "offline" in (mode, os.environ.get("WANDB_MODE")) else run.earlier
        self._run = wandb.init(
            project=os.environ.get("WANDB_PROJECT") or PROJECT,
            id=earlier or uuid.uuid4().hex[:16],
            resume="allow" if earlier else None,
            name=run.title,
            group=run.dataset,
            job_type=run.method,
            tags=[run.dataset, run.method],
            config=run.facts(),
            allow_val_change=True,
            dir=None if os.environ.get("WANDB_DIR") else str(run.store),
            mode=mode,
            settings=wandb.Settings(console="off", silent=True),
        )
        self._run.define_metric("epoch")
        self._run.define_metric("*", step_metric="epoch")
        self._last = int(self._run.summary.get("epoch") or 0)
        return TrackerRun("" if self._run.offline else self._run.id, _place(self._run))

    def epoch(self, epoch: TrackedEpoch) -> None:
        """Log the numbers of an epoch, unless they were logged before a break."""
        if self._run is not None and epoch.number > self._last:
            self._last = epoch.number
            self._run.log({"epoch": epoch.number, **epoch.values()})

    def finished(self, result: TrackedResult) -> None:
        """Log the tables and maps, and close the run."""
        if self._run is None:
            return
        points = _table(result.frontier_table())
        chart = wandb.plot.scatter(points, "fit_seconds", "image_auroc", title="Accuracy against seconds of training")
        self._run.log({"classes": _table(result.class_table()), "frontier": points, "accuracy_by_time": chart})
        if result.images:
            images = [wandb.Image(image.pixels, caption=f"{image.class_name}: {image.caption}")
                      for image in result.images]  # fmt: skip
            self._run.log({"maps": images})
        self._run.config.update(dict(result.facts), allow_val_change=True)
        self._run.summary.update({**result.values(), "checkpoint": str(result.checkpoint)})
        self._close(0)

    def failed(self, failure: TrackedFailure) -> None:
        """Close the run as failed."""
        if self._run is not None:
            self._run.summary.update({"failure": failure.reason})
            self._close(1)

    def _close(self, exit_code: int) -> None:
        run, self._run = self._run, None
        if run is not None:
            run.finish(exit_code=exit_code)


def _mode() -> Literal["offline"] | None:
    """Offline where nobody has logged in or said otherwise: the library would ask for a key and wait."""
    return None if os.environ.get("WANDB_MODE") or _is_logged_in() else "offline"


def _is_logged_in() -> bool:
    """Whether there is a key in one of the places where the library looks for it."""
    if os.environ.get("WANDB_API_KEY") or os.environ.get("WANDB_IDENTITY_TOKEN_FILE"):
        return True
    settings = wandb.setup().settings
    host = urlsplit(settings.base_url).hostname or ""
    home = Path.home()
    for path in map(Path, filter(None, (os.environ.get("NETRC"), home / ".netrc", home / "_netrc"))):
        if path.is_file():
            with contextlib.suppress(OSError, netrc.NetrcParseError):
                return netrc.netrc(path).authenticators(host) is not None
    return bool(settings.api_key)


def _place(run: wandb.Run) -> str:
    """The address of the project, or the folder of the run's files."""
    if run.offline:
        return f"offline in {os.path.dirname(os.path.dirname(run.dir))}; wandb sync uploads it"
    return run.project_url or ""


def _table(table: TrackedTable) -> wandb.Table:
    return wandb.Table(columns=list(table.columns), data=[list(row) for row in table.rows])
