"""A trained model, read from the checkpoint of a run: what new images, exports and timings need."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from ..api.data import Size
from ..api.detector import Detector
from ..api.levels import UNKNOWN, Levels
from ..api.method import Method
from ..api.options import Options
from ..api.registry import Registry
from ..data.framing import Framing
from ..data.image_store import Store
from ..data.images import Images
from ..stats.thresholds import Stored
from ..util import devices
from ..util.errors import AdbenchError, CheckpointError, OptionError, UsageError, described
from ..util.memory import MicroBatches, is_out_of_memory
from ..util.text import spelled
from . import checkpoint
from .checkpoint import Checkpoint
from .evaluate import TestScores
from .scoring import score_all


@dataclass(frozen=True, eq=False)
class TrainedModel:
    """A detector with everything that scoring new images needs; nothing of its training images is read.

    Attributes:
        saved: the checkpoint that it was read from.
        method: its method.
        options: those of its training; the precision is float32 on a device that lacks the trained one.
        detector: on the present device.
    """

    saved: Checkpoint
    method: Method
    options: Options
    detector: Detector

    @property
    def device(self) -> torch.device:
        """Where it computes."""
        return self.detector.device

    @property
    def size(self) -> Size:
        """Height and width of its input, and of its maps unless images are cut into tiles."""
        return self.options.size

    @property
    def levels(self) -> Levels:
        """The levels with which it was trained; unknown if its training images have 8 bits."""
        return self.saved.levels or UNKNOWN

    @property
    def framing(self) -> Framing:
        """How images get to the size of its input."""
        return Framing.of(self.options)

    def class_named(self, name: str | None) -> str:
        """The class whose threshold counts: the given one, or the only one.

        Raises:
            UsageError: the model has several classes and none was given, or it was not trained on this one.
        """
        if name is None and len(self.saved.classes) == 1:
            return self.saved.classes[0]
        name = None if name is None else spelled(name, self.saved.classes)
        if name is None or name not in self.saved.classes:
            raise UsageError(
                f"class of {self.saved.path}", found="none" if name is None else f"'{name}'",
                wanted=f"one of {', '.join(self.saved.classes)}", hint="Give --class NAME" if name is None else "",
            )  # fmt: skip
        return name

    def threshold(self, class_name: str) -> Stored | None:
        """The stored threshold of one of its classes; None without one, or for scores of an older scale."""
        stored = self.saved.threshold_of(class_name)
        return stored if stored and stored.score_scale == self.detector.score_scale else None

    def pixel_threshold(self, class_name: str) -> Stored | None:
        """The map value above which a pixel counts as defective; None without one, as in runs without a target.

        It promises a share of good images that have no pixel above it, not a share of pixels. A map that is enlarged
        linearly has no value above its highest one, so the promise holds in an image's own shape as well.
        """
        stored = self.threshold(class_name)
        return stored.pixel if stored else None

    def score(
        self,
        store: Store,
        *,
        watch: Callable[[str, int, int], None] | None = None,
        micro_batches: MicroBatches | None = None,
    ) -> TestScores:
        """Score decoded images of the size of the input, in their order.

        Args:
            store: the images.
            watch: called with ("score", done, total).
            micro_batches: remembers between calls how many images fit into memory at once.

        Raises:
            TaskError: the method returned invalid scores, or a single image needs too much memory.
            CheckpointError: tensors of the checkpoint don't fit.
        """
        images, name = Images(store, self.device, self.options.batch_size, shuffle=False), self.method.name
        with scoring(self.saved.path, name):
            return score_all(self.detector, images, name=name, watch=watch, micro_batches=micro_batches)


def open_model(
    path: Path,
    registry: Registry,
    *,
    device: str | torch.device = "auto",
    weights: Path | None = None,
    auxiliary: Mapping[str, Path] | None = None,
    changes: Mapping[str, Any] | None = None,
    hint: str = "",
) -> TrainedModel:
    """Build the model of a checkpoint on this machine.

    Args:
        path: a checkpoint that adbench wrote.
        registry: finds its method.
        device: "auto", "cpu", "cuda", "cuda:N" or "mps".
        weights: file with the backbone's weights, where the one of the training is not at hand.
        auxiliary: paths of the method's auxiliary data.
        changes: options to be used in place of those of the training, such as another size or precision.
        hint: what the user can do about a file that can't be used.

    Raises:
        CheckpointError: the file is missing, unreadable, not adbench's or doesn't fit its method; or the backbone has
            other weights than in training.
        UsageError: the method, its weights or the device are not available here.
        TaskError: building it failed.
    """
    saved = checkpoint.read(path, hint=hint)
    if not isinstance(saved, Checkpoint):
        raise CheckpointError(f"checkpoint {path}", found="another program's", wanted="adbench's", hint=hint)
    where = devices.resolve_device(device) if isinstance(device, str) else device
    method = registry.method(saved.method)
    given = {} if weights is None else {"weights": str(weights)}
    options = saved.options_for(method, {**given, **(changes or {})})
    options = replace(options, amp=_precision(options.amp, where))
    context = registry.offering(saved.context(where, auxiliary), options)
    model = TrainedModel(saved, method, options, checkpoint.build(saved, method, options, context))
    _require_same_backbone(model)
    return model


def _precision(trained: str, device: torch.device) -> devices.Amp:
    """The precision of the training, or float32 on a device that lacks it."""
    try:
        return devices.resolve_amp(trained, device)
    except OptionError:
        return devices.resolve_amp("off", device)


def _require_same_backbone(model: TrainedModel) -> None:
    """Refuse other weights than those of the training: scores would be wrong without a word."""
    trained = model.saved.provenance.backbone_weights if model.saved.provenance else None
    found: str | None = getattr(getattr(model.detector, "backbone", None), "weights_hash", None)
    if trained and found and trained != found:
        raise CheckpointError(
            f"backbone of {model.saved.path}", found=f"weights {found}", wanted=f"weights {trained}, as in training",
            hint="Give the file with --weights FILE",
        )  # fmt: skip


@contextmanager
def scoring(path: Path, method: str) -> Iterator[None]:
    """Turn an error of tensors that don't fit into one of the checkpoint, whose tensors may have any shape.

    Other errors that nobody has foreseen are the method's own.

    Raises:
        CheckpointError: what is done inside raises such an error.
    """
    try:
        yield
    except (RuntimeError, ValueError, IndexError) as error:
        if isinstance(error, AdbenchError) or is_out_of_memory(error):
            raise
        raise CheckpointError(
            f"checkpoint {path} can't be scored by {method}",
            found=described(error),
            hint="Use the method and options that it was made with; --debug shows the traceback",
        ) from error
