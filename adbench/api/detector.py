"""Detectors: what a method builds, to fit on training images and to score batches."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from ..util.errors import TaskError
from .context import BuildContext
from .images import Batch, Images
from .scores import Scores

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    import torch
    from torch import nn

    from ..util.memory import MicroBatches


@dataclass(frozen=True)
class Epoch:
    """Reported by ``fit``: epoch ``number`` (from 1) of ``total`` is finished.

    A first one with the number where ``fit`` starts (0, or that of a resume) only announces the ``total``, so that the
    time left is known within the first epoch.

    ``milestone`` asks for an evaluation here, such as at the end of a meta-epoch; the last epoch always is a
    milestone.
    """

    number: int
    total: int
    loss: float | None = None
    learning_rate: float | None = None
    milestone: bool = True


@dataclass(frozen=True)
class Step:
    """Reported by ``fit`` within an epoch: ``done`` of ``total`` steps of work are finished.

    It is for work other than an iteration over the images, such as the picks of a coreset, or for a schedule that
    counts iterations. It only moves the progress line: nothing is evaluated or saved.

    Raises:
        TaskError: ``done`` is not from 0 to ``total``.
    """

    done: int
    total: int

    def __post_init__(self) -> None:
        if not 0 <= self.done <= self.total:
            raise TaskError("a Step", found=f"{self.done} of {self.total}", wanted="a number from 0 to the total")


class Detector:
    """Base class of a method's model: derive from it and write ``fit`` and ``score``.

    ``fit`` sees only training images. In ``score``, no image's score may depend on another image. The engine
    evaluates, saves and stops *between* two yields of ``fit``.
    """

    frozen: ClassVar[tuple[str, ...]] = ("backbone",)
    """Attributes that ``state_dict`` leaves out, since building the detector makes them again."""

    micro_batching: ClassVar[bool] = False
    """Whether a batch may be split if memory runs out: the loss of a batch is the mean of its images' losses.

    False for methods with batch norm, or with a loss that compares the images of a batch: parts of the batch would
    train them differently.
    """

    threads_per_epoch: ClassVar[bool] = False
    """Whether ``torch.get_num_threads()`` is read only at the start of each epoch, such as by own worker threads.

    With ``--threads auto`` the engine changes the number between batches; if this is True, between epochs.
    """

    score_scale: ClassVar[int] = 1
    """Raise it when image scores change their unit: thresholds in older checkpoints are then not used."""

    not_exportable: ClassVar[str] = ""
    """Why no format can hold the model, for ``adbench export``; empty if it may be tried."""

    epoch: int = 0
    """Number of finished epochs, set by the engine. ``fit`` starts here, which is not 0 after a resume."""

    def __init__(self, options: Any, device: BuildContext | torch.device) -> None:
        """Store the options, the device and the context; a method builds its modules after calling this.

        ``self.micro_batches.backward(losses, features, optimizer)`` is for the training loop. If memory runs out, it
        frees cached features and tries again, with the buffers of all modules in attributes set back; after that it
        goes on in micro-batches, if the method sets ``micro_batching``.

        Args:
            options: the method's options.
            device: the context from ``build``. Plugins of adbench 0.1 pass only its device.
        """
        from ..util.memory import MicroBatches

        self.options = options
        self.context = device if isinstance(device, BuildContext) else BuildContext(device)
        self.device = self.context.device
        self.micro_batches = MicroBatches(
            splits=self.micro_batching,
            modules=lambda: _modules_in([value for name, value in vars(self).items() if name not in self.frozen]),
        )

    @property
    def passes(self) -> MicroBatches:
        """The name of ``micro_batches`` in adbench 0.1, kept for its plugins."""
        return self.micro_batches

    def fit(self, images: Images) -> Iterator[Epoch | Step]:
        """Train on good images; yield an ``Epoch`` after each epoch, and perhaps a ``Step`` within one.

        Args:
            images: the training images; iterate over them, or over ``images.features(backbone)``,
                once per epoch.
        """
        raise NotImplementedError(f"{type(self).__name__} must define fit(self, images)")

    def score(self, batch: Batch) -> Scores:
        """Score a batch of images, each independently of the others. Called without gradients."""
        raise NotImplementedError(f"{type(self).__name__} must define score(self, batch)")

    def calibrate(self, images: Images) -> None:
        """Complete a checkpoint that lacks parts of adbench's own; ``images`` are the training images.

        Called once before an authors' checkpoint is scored. Most methods don't need it.
        """

    def autocast(self) -> AbstractContextManager[object]:
        """Run products and convolutions in the precision of the option ``amp``: ``with self.autocast():``.

        It is for the forward pass and the loss of the method's own modules; ``backward`` goes outside. Backbones see
        to their precision themselves. Where ``options.amp`` is "fp16", small gradients are lost unless
        ``torch.amp.GradScaler`` scales the loss.
        """
        from ..util.devices import autocast

        return autocast(self.options.amp, self.device)

    def module(self) -> nn.Module:
        """The detector as a torch module, for prediction and export; by default it wraps ``score``.

        Returns:
            A module from float RGB in [0, 1], (B, 3, H, W), to the image scores (B,) and the maps (B, H, W), or None
            in place of the maps if the method makes none.
        """
        from .module import ScoreModule

        return ScoreModule(self)

    def checkpoint_bytes(self) -> int | None:
        """Bytes of the checkpoint after training; None if they are those of the present state."""
        return None

    def state_dict(self) -> dict[str, Any]:
        """Everything needed to score and to resume training: modules, optimisers and tensors.

        By default it has every attribute with its own ``state_dict``, and every tensor.
        """
        return {name: _state_of(value) for name, value in self._parts().items()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Load what ``state_dict`` returned. Raises ``CheckpointError`` if it does not fit."""
        from ..util.errors import CheckpointError, first_line

        for name, value in state.items():
            part = getattr(self, name, None)
            if part is not None and hasattr(part, "load_state_dict"):
                try:
                    part.load_state_dict(value)
                except (KeyError, ValueError, RuntimeError, TypeError) as error:
                    raise CheckpointError(
                        f"state '{name}' does not fit {type(self).__name__}",
                        found=first_line(error),
                        hint="Use the method, backbone and options that the checkpoint was made with",
                    ) from error
            elif _is_tensor(value):
                setattr(self, name, value.to(self.device))
            else:
                raise CheckpointError(
                    f"state '{name}'", found="no such part", wanted=f"a part of {type(self).__name__}"
                )

    def _parts(self) -> dict[str, Any]:
        return {
            name: value
            for name, value in vars(self).items()
            if name not in self.frozen and (hasattr(value, "state_dict") or _is_tensor(value))
        }


def _state_of(value: Any) -> Any:
    return value.state_dict() if hasattr(value, "state_dict") else value


def _modules_in(value: Any) -> Iterator[nn.Module]:
    """The modules in nested lists, tuples and dicts."""
    from torch import nn

    if isinstance(value, nn.Module):
        yield value
    elif isinstance(value, (list, tuple, Mapping)):
        for each in value.values() if isinstance(value, Mapping) else value:
            yield from _modules_in(each)


def _is_tensor(value: Any) -> bool:
    return type(value).__module__.startswith("torch") and hasattr(value, "untyped_storage")
