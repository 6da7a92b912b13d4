"""One training by anomalib's engine, epoch by epoch, in memory."""

from __future__ import annotations

import logging
import math
import tempfile
import warnings
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from functools import partialmethod
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from anomalib import LearningType
from anomalib.callbacks import ModelCheckpoint
from anomalib.engine import Engine
from lightning.pytorch.callbacks import Callback, Checkpoint, EarlyStopping
from lightning.pytorch.plugins.io import CheckpointIO
from tqdm import tqdm

from .hand_over import HandOver
from .options import BridgeOptions, TrainedOptions

if TYPE_CHECKING:
    from anomalib.models import AnomalibModule
    from lightning.pytorch import Trainer

    from .batches import TrainingImages

Progress = dict[str, Any]
"""What Lightning needs to go on, besides the model: optimisers, schedulers, and how far each loop is."""

KEPT = ("epoch", "global_step", "pytorch-lightning_version", "loops", "optimizer_states", "lr_schedulers")
"""Fields of Lightning's checkpoint that are the progress; of the callbacks, those of early stopping are added."""

MONITORED = "held_out_score"
"""What early stopping looks at: the mean score of the held-out training images. The lower the better."""

WITHOUT_TRAINING = (LearningType.ZERO_SHOT, LearningType.FEW_SHOT)
"""Models that anomalib's engine only validates."""

PRECISIONS = {"off": "32-true", "bf16": "bf16-mixed", "fp16": "16-mixed"}


@dataclass(frozen=True)
class Finished:
    """A finished epoch: its ``number`` from 1, and what Lightning logged and needs to go on."""

    number: int
    total: int
    loss: float | None = None
    learning_rate: float | None = None
    optimizers: list[torch.optim.Optimizer] = field(default_factory=list)
    progress: Progress = field(default_factory=dict)


class Memory(CheckpointIO):
    """Checkpoints in memory instead of files."""

    def __init__(self) -> None:
        self.content: dict[str, Any] = {}

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        """Keep a checkpoint; the path doesn't matter."""
        self.content = checkpoint

    def load_checkpoint(self, path: Any, map_location: Any = None, weights_only: bool | None = None) -> dict[str, Any]:
        """Return the kept one."""
        return self.content

    def remove_checkpoint(self, path: Any) -> None:
        """Keep it all the same."""


class Epochs(Checkpoint):
    """Reports each epoch when the next one begins, after all that Lightning does at its end.

    It is a ``Checkpoint``, which Lightning calls after all other callbacks.
    """

    def __init__(self, line: HandOver[Finished], memory: Memory, done: int) -> None:
        self.line, self.memory, self.done = line, memory, done
        self.finished: Finished | None = None

    def on_train_batch_start(self, trainer: Trainer, pl_module: Any, batch: Any, batch_idx: int) -> None:
        """End the training if nobody asks for more."""
        self.line.check()

    def on_train_epoch_start(self, trainer: Trainer, pl_module: Any) -> None:
        """Report the epoch before this one."""
        if self.finished is not None:
            found, self.finished = self.finished, None
            self.line.report(found)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: Any) -> None:
        """Look at what the epoch left."""
        number = trainer.current_epoch + 1
        if number <= self.done:  # Lightning ends the last epoch before a break once more
            return
        trainer.save_checkpoint("in memory")
        rates = [group["lr"] for optimizer in trainer.optimizers for group in optimizer.param_groups]
        loss = next((float(trainer.callback_metrics[name]) for name in ("train_loss_epoch", "train_loss", "loss")
                     if name in trainer.callback_metrics), None)  # fmt: skip
        self.finished = Finished(
            number, epochs_of(trainer), loss, rates[0] if rates else None,
            list(trainer.optimizers), progress_of(self.memory.content),
        )  # fmt: skip


def epochs_of(trainer: Trainer) -> int:
    """Epochs that a training will take at most; it may end early."""
    limits = [trainer.max_epochs] if trainer.max_epochs and trainer.max_epochs > 0 else []
    if trainer.max_steps > 0:
        limits.append(math.ceil(trainer.max_steps / trainer.num_training_batches))
    return max(trainer.current_epoch + 1, min(limits, default=0))


def progress_of(checkpoint: Mapping[str, Any]) -> Progress:
    """The parts of Lightning's checkpoint that training needs to go on, besides the model."""
    found = {key: checkpoint[key] for key in KEPT if key in checkpoint}
    stopping = {key: state for key, state in checkpoint.get("callbacks", {}).items() if key.startswith("EarlyStopping")}
    return {**found, "callbacks": stopping}


class HeldOutScore(Callback):
    """Logs the mean score of the held-out images after each validation."""

    def __init__(self) -> None:
        self.scores: list[torch.Tensor] = []

    def on_validation_epoch_start(self, trainer: Trainer, pl_module: Any) -> None:
        """Begin anew."""
        self.scores = []

    def on_validation_batch_end(
        self, trainer: Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        """Collect the scores of a batch."""
        self.scores.append(outputs.pred_score.float().flatten())

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: Any) -> None:
        """Log their mean."""
        if self.scores:
            pl_module.log(MONITORED, torch.cat(self.scores).mean())


def epochs(
    model: AnomalibModule, images: TrainingImages, options: BridgeOptions, device: torch.device, progress: Progress
) -> Iterator[Finished]:
    """Train by anomalib's engine, and yield each finished epoch; the last one after the engine is through.

    Args:
        model: the model, trained in place.
        images: adbench's training images.
        options: the run's.
        device: where to train.
        progress: that of an earlier training to go on with, or empty.
    """
    done = int(progress["epoch"]) + 1 if progress else 0
    last: Finished | None = None

    def work(line: HandOver[Finished]) -> None:
        nonlocal last
        memory = Memory()
        reporter = Epochs(line, memory, done)
        if progress:
            memory.content = {**progress, "state_dict": model.state_dict()}
        with no_bars(), tempfile.TemporaryDirectory(prefix="adbench-anomalib-") as folder:
            engine = engine_for(
                options, device, Path(folder), memory, reporter,
                validates_only=model.learning_type in WITHOUT_TRAINING,
            )  # fmt: skip
            engine.fit(model, datamodule=images, ckpt_path=folder if progress else None)
        last = reporter.finished

    line = HandOver(work)
    try:
        with closing(iter(line)) as reports:
            yield from reports
        model.trainer = None  # frees optimisers and loops
        number = last.number if last else 1  # a model that anomalib only validates has no epoch
        yield Finished(number, number, last.loss if last else None, last.learning_rate if last else None)
    finally:
        model.trainer = None


def silence() -> None:
    """Keep Lightning, timm and anomalib from writing over adbench's own lines; errors are still raised."""
    for name in ("lightning", "lightning.pytorch", "lightning.fabric", "lightning_fabric", "timm", "anomalib"):
        logging.getLogger(name).setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module=r"(anomalib|lightning)\.")


@contextmanager
def no_bars() -> Iterator[None]:
    """Keep anomalib's own progress bars, which it always draws, out of adbench's progress."""
    draw = tqdm.__init__
    tqdm.__init__ = partialmethod(draw, disable=True)
    try:
        yield
    finally:
        tqdm.__init__ = draw


def engine_for(
    options: BridgeOptions,
    device: torch.device,
    folder: Path,
    memory: Memory,
    reporter: Epochs,
    *,
    validates_only: bool,
) -> Engine:
    """The engine of anomalib, silent and without files of its own."""
    callbacks: list[Callback] = [reporter, ModelCheckpoint(dirpath=folder, save_top_k=0)]
    patience = options.patience if isinstance(options, TrainedOptions) else 0
    if patience:
        callbacks += [HeldOutScore(), EarlyStopping(MONITORED, patience=patience, mode="min")]
    if device.type == "cuda":
        torch.cuda.set_device(device)
    limits = {"max_epochs": options.max_epochs} if isinstance(options, TrainedOptions) else {}
    return Engine(
        callbacks=callbacks,
        logger=False,
        default_root_dir=folder,
        plugins=[memory],
        accelerator={"cuda": "gpu"}.get(device.type, device.type),
        devices=[device.index or 0] if device.type == "cuda" else 1,
        precision=PRECISIONS[options.amp],
        enable_progress_bar=False,
        enable_model_summary=False,
        limit_val_batches=1 if validates_only else 1.0,
        **limits,
    )
