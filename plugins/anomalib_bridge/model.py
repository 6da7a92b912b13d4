"""A model of anomalib as a detector of adbench."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from typing import TYPE_CHECKING, Any

import torch
from anomalib.pre_processing import PreProcessor
from torchvision.transforms.v2 import CenterCrop, Compose, Normalize, Resize

from adbench import Detector, Epoch, Scores
from adbench.api import CheckpointError, OptionError, TaskError, UsageError, WeightsError, first_line, maps

from . import networks
from .batches import TrainingImages
from .models import LITE0, Model
from .options import BridgeOptions, installed
from .training import WITHOUT_TRAINING, Progress, epochs, silence

if TYPE_CHECKING:
    from anomalib.models import AnomalibModule

    from adbench import BuildContext
    from adbench.api import Batch, Images

EVALUATED = 10
"""Epochs from one evaluation to the next. A model that sets its epochs itself can score only after the last one."""

LISTS = ("layers", "target_layers", "layer_weights")
"""Arguments that some models want as a list."""

DOWNLOADS = ("huggingface_hub", "httpx", "httpcore", "requests", "urllib", "urllib3", "socket", "open_clip")
"""Packages whose errors mean that weights can't be fetched."""


class Bridged(Detector):
    """The detector: ``model`` is anomalib's Lightning module, trained by its engine, without post-processing.

    ``optimizers`` are those of an unfinished training; ``progress`` is what Lightning needs to go on with it.
    """

    frozen = ()
    threads_per_epoch = True

    def __init__(self, options: BridgeOptions, context: BuildContext, entry: Model) -> None:
        super().__init__(options, context)
        self.options: BridgeOptions = options
        self.entry = entry
        silence()
        with downloads(entry):
            self.model = create(entry, options).to(self.device)
        self.optimizers: list[torch.optim.Optimizer] = []
        self.progress: Progress = {}

    def fit(self, images: Images) -> Iterator[Epoch]:
        """Train by anomalib's engine; its validation gets held-out training images, or none."""
        held_out = None
        if self.model.learning_type in WITHOUT_TRAINING:
            held_out = images  # nothing is trained or fitted, and it wants some to run at all
        elif self.options.validation:
            images, held_out = images.split(self.options.validation, self.context.seed)
        data = TrainingImages(images, held_out, category=next(iter(self.context.classes), "object"))
        with downloads(self.entry):
            for found in epochs(self.model, data, self.options, self.device, self.progress):
                self.optimizers, self.progress = found.optimizers, found.progress
                self.model.to(self.device)  # Lightning leaves it on the CPU
                milestone = self.entry.epochs is not None and found.number % EVALUATED == 0
                yield Epoch(found.number, found.total, found.loss, found.learning_rate, milestone)

    def score(self, batch: Batch) -> Scores:
        """The model's raw scores and maps; each image alone unless ``one_by_one`` is off."""
        parts = batch.images.contiguous().split(1 if self.options.one_by_one else len(batch))
        with evaluating(self.model), self.autocast():
            found = [self.model.model(self.model.pre_processor.transform(part)) for part in parts]
        pixels = [getattr(each, "anomaly_map", None) for each in found]
        anomaly_map = None if pixels[0] is None else to_map(torch.cat(pixels), batch.size)
        images = [getattr(each, "pred_score", None) for each in found]
        if images[0] is not None:
            return Scores(torch.cat([each.float().reshape(-1) for each in images]), anomaly_map)
        if anomaly_map is None:
            raise TaskError(f"{self.entry.name} of anomalib", found="neither a score nor a map")
        return Scores(maps.highest(anomaly_map), anomaly_map)

    def state_dict(self) -> dict[str, Any]:
        """The model, and while training is unfinished what Lightning needs to go on."""
        training = {"optimizers": self.progress} if self.progress else {}
        return {"model": self.model.state_dict(), **training}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Load what ``state_dict`` returned. Raises ``CheckpointError`` if it doesn't fit."""
        if "model" not in state:
            raise CheckpointError("checkpoint", found=", ".join(map(str, state)) or "nothing", wanted="'model'")
        try:
            self.model.load_state_dict(state["model"])
        except (KeyError, ValueError, RuntimeError, TypeError, AttributeError) as error:
            hint = "Use the options and the release of anomalib that it was made with"
            raise CheckpointError("state 'model'", found=first_line(error), hint=hint) from error
        self.model.to(self.device)
        self.progress = dict(state.get("optimizers", {}))


@contextmanager
def evaluating(model: torch.nn.Module) -> Iterator[None]:
    """Set a model to eval mode, and each of its modules back afterwards: Lightning goes on with what it finds."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training


def to_map(found: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """Maps of anomalib (B, 1, h, w) or (B, h, w) as (B, H, W)."""
    flat = found.float().reshape(len(found), *found.shape[-2:])
    return flat if tuple(flat.shape[1:]) == size else maps.upsample(flat, size)


def create(entry: Model, options: BridgeOptions) -> AnomalibModule:
    """Construct a model by its options, with its own normalisation and without post-processing."""
    if entry.unfit:
        raise UsageError(f"anomalib:{entry.name} can't run in adbench: {entry.unfit}")
    if options.release != installed():
        hint = f"pip install anomalib=={options.release}, or leave the option out"
        raise OptionError("option release", found=options.release, wanted=installed(), hint=hint)
    if hasattr(options, "patience") and options.patience and not options.validation:
        raise OptionError("option patience without held-out images", found="validation=0", wanted="a share above 0")
    kind = getattr(import_module(f"anomalib.models.image.{entry.name}"), entry.class_name)
    values = {name: getattr(options, name) for name, _, _ in entry.options}
    arguments = {name: list(value) if name in LISTS and value else value for name, value in values.items()}
    arguments |= {name: getattr(options, option) for name, option in entry.tied.items()}
    backbone, named = values.get("backbone"), entry.named or LITE0
    normalise = networks.NORMALISE if backbone == LITE0 else None
    if backbone == LITE0:
        arguments["backbone"] = named
    with networks.local_networks(backbone, options.weights, named):
        made: AnomalibModule = kind(
            **arguments,
            pre_processor=pre_processor(kind, options.size, normalise),
            post_processor=False,
            evaluator=False,
            visualizer=False,
        )
    return made


def pre_processor(kind: type[AnomalibModule], size: tuple[int, int], normalise: Normalize | None) -> PreProcessor:
    """A model's own transforms for images that adbench has resized and cropped already.

    Args:
        kind: the model's class.
        size: height and width of the images, which some models ask the pre-processor for.
        normalise: replaces the model's normalisation, for a backbone that was trained with another one.
    """
    own = kind.configure_pre_processor().transform
    parts = list(own.transforms) if isinstance(own, Compose) else [own]
    shapes = [number for number, part in enumerate(parts) if isinstance(part, (Resize, CenterCrop))]
    kept = parts[max(shapes, default=-1) + 1 :]
    if normalise is not None:
        kept = [normalise if isinstance(part, Normalize) else part for part in kept]
    return PreProcessor(transform=Compose([Resize(size, antialias=True), *kept]))


@contextmanager
def downloads(entry: Model) -> Iterator[None]:
    """Turn a failed download into an error that says what to do."""
    try:
        yield
    except Exception as error:
        chain = [error, error.__cause__, error.__context__]
        places = {type(each).__module__.partition(".")[0] for each in chain if each is not None}
        if not places & set(DOWNLOADS):
            raise
        raise WeightsError(
            f"weights of anomalib:{entry.name} can't be fetched",
            found=first_line(error),
            hint="Connect to the network once; or use the preset cpu or -o pre_trained=false, where the model has them",
        ) from error
