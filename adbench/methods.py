"""What a plugin's author meets: a method with its options, and the detector that it builds. Standard library only."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from .samples import Size

if TYPE_CHECKING:
    import torch

    from .images import Batch, Images


@dataclass(frozen=True)
class Range:
    """What numbers an option takes: from ``low`` (left out where ``above``) to ``high``.

    It stands in the option's type, as in ``lr: Annotated[float, Range(0, above=True)]``, and is checked
    wherever the value comes from. NaN and infinity are in no range.
    """

    low: float = -inf
    high: float = inf
    above: bool = False

    def __contains__(self, value: float) -> bool:
        return (self.low < value if self.above else self.low <= value) and value <= self.high and abs(value) < inf

    def __str__(self) -> str:
        low = f"above {self.low:g}" if self.above else f"from {self.low:g}"
        return f"{low} up" if self.high == inf else f"{low} to {self.high:g}"


Count = Annotated[int, Range(1)]
"""The type of an option that counts something: 1 or more."""

Positive = Annotated[float, Range(0, above=True)]
"""The type of an option such as a learning rate: any number above 0."""

Share = Annotated[float, Range(0, 1)]
"""The type of an option that is a part of something: from 0 to 1."""


@dataclass(frozen=True)
class Options:
    """What the engine must know of any method; a method's own options extend it.

    The text below an option says what it means: ``adbench list methods NAME`` shows it.
    """

    size: Size = (256, 256)
    """Height and width of the input in pixels."""

    resize: Literal["stretch", "crop"] = "stretch"
    """How an image gets to that size: stretch ignores the aspect ratio, crop fits the shorter side and cuts the centre
    out."""

    batch_size: Count = 8
    """Images in a batch, in training and in scoring."""

    amp: Literal["auto", "off", "bf16", "fp16"] = "auto"
    """Precision of the heavy arithmetic: off is fp32, auto what the machine does well."""


@dataclass(frozen=True)
class BackboneOptions(Options):
    """Options of a method that looks through a frozen backbone."""

    backbone: str = "wide_resnet50_2"
    """The frozen network that features come from: see adbench list backbones."""

    layers: tuple[int, ...] = (1, 2, 3)
    """Levels of the backbone: 1 to 4 are its outputs at strides 4, 8, 16 and 32 (layer1 to layer4 of a ResNet)."""

    padding: Literal["zeros", "reflect"] = "zeros"
    """How the backbone's convolutions pad their input."""

    weights: str | None = None
    """A file with the backbone's state dict; none for the published ImageNet weights."""


@dataclass(frozen=True)
class Preset:
    """Named options, and what differs for single classes: {"mvtec/transistor": {"size": (256, 256)}}."""

    options: Options
    summary: str = ""
    per_class: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def resolve(self, dataset: str, class_name: str) -> Options:
        """The options for one class."""
        return replace(self.options, **self.per_class.get(f"{dataset}/{class_name}", {}))


@dataclass(frozen=True)
class Published:
    """One number that a method's authors report.

    ``policy`` is "last" for the last epoch, "oracle" for the best epoch on the test set; ``value`` a
    fraction in [0, 1].
    """

    dataset: str
    class_name: str
    metric: str
    value: float
    policy: Literal["last", "oracle"]
    source: str
    epoch: int | None = None

    @classmethod
    def read_csv(cls, path: Path) -> tuple[Published, ...]:
        """Read rows of ``dataset, class, metric, source, epoch, percent``; more columns are ignored."""
        with path.open(encoding="utf-8", newline="") as stream:
            return tuple(
                cls(
                    dataset=row["dataset"],
                    class_name=row["class"],
                    metric=row["metric"],
                    value=float(row["percent"]) / 100,
                    policy="last" if "last evaluated epoch" in row["source"] else "oracle",
                    source=row["source"],
                    epoch=int(row["epoch"]) if row["epoch"] else None,
                )
                for row in csv.DictReader(stream)
            )


@dataclass(frozen=True)
class Method:
    """A method as its plugin offers it.

    ``options`` is a frozen dataclass type derived from ``Options`` whose defaults are the paper's;
    ``presets`` names others (``paper`` is added where it is missing). ``build(options, device)`` makes
    a detector: small, no data; torch is imported there and not before.
    """

    name: str
    summary: str
    build: Callable[[Any, torch.device], Detector]
    options: type[Options] = Options
    presets: Mapping[str, Preset] = field(default_factory=dict)
    paper: str = ""
    published: tuple[Published, ...] = ()

    def __post_init__(self) -> None:
        if "paper" not in self.presets:
            object.__setattr__(self, "presets", {"paper": Preset(self.options()), **self.presets})


@dataclass(frozen=True)
class Epoch:
    """What ``fit`` reports: epoch ``number`` (from 1) of ``total`` is finished.

    A first one with the number where ``fit`` starts (0, or that of a resume) only tells the ``total``, so
    that the time left is known within the first epoch.

    ``milestone`` says that the method's schedule asks for an evaluation here, as at the end of a
    meta-epoch; the last epoch always counts as one.
    """

    number: int
    total: int
    loss: float | None = None
    learning_rate: float | None = None
    milestone: bool = True


@dataclass(frozen=True, eq=False)
class Scores:
    """Anomaly scores of one batch, higher = more anomalous.

    ``image`` (B,), kept in float64; ``map`` (B, H, W) at the input size, or None for a method that does not
    localise. An image score that saturates, such as 1 - exp(-x), ties images that x itself tells apart.
    ``region_map`` only where a method's paper takes AUPRO from another map.
    """

    image: torch.Tensor
    map: torch.Tensor | None = None
    region_map: torch.Tensor | None = None


class Detector:
    """What a method builds: derive from it and write ``fit`` and ``score``.

    ``fit`` sees training pictures only, and ``score`` must not let one picture's score depend on
    another's. The engine evaluates, saves and stops *between* two yields of ``fit``.
    """

    frozen: ClassVar[tuple[str, ...]] = ("backbone",)
    """Attributes that ``state_dict`` leaves out, since building makes them the same again."""

    threads_per_epoch: ClassVar[bool] = False
    """Whether ``torch.get_num_threads()`` is read at the start of each epoch only, as by worker threads of its own.

    With ``--threads auto`` the engine changes the number between batches; where this is True, between epochs.
    """

    score_scale: ClassVar[int] = 1
    """Raise it when image scores change their unit: the thresholds in older checkpoints are then not used."""

    epoch: int = 0
    """Finished epochs; the engine keeps it. ``fit`` starts here, which is not 0 after a resume."""

    def __init__(self, options: Any, device: torch.device) -> None:
        """Store the options and the device; a method builds its modules after calling this.

        ``passes`` is for the training loop: ``self.passes.backward(losses, features, optimizer)`` survives
        where memory runs out.
        """
        from .memory import Passes

        self.options = options
        self.device = device
        self.passes = Passes()

    def fit(self, images: Images) -> Iterator[Epoch]:
        """Train on good pictures; yield an ``Epoch`` after each epoch.

        Args:
            images: the training pictures; iterate over it, or over ``images.features(backbone)``,
                once per epoch.
        """
        raise NotImplementedError(f"{type(self).__name__} must define fit(self, images)")

    def score(self, batch: Batch) -> Scores:
        """Score a batch of pictures, each on its own. Called without gradients."""
        raise NotImplementedError(f"{type(self).__name__} must define score(self, batch)")

    def calibrate(self, images: Images) -> None:
        """Complete a checkpoint that lacks what adbench's own carry; ``images`` are the training pictures.

        Called once before an authors' checkpoint is scored. Most methods need nothing.
        """

    def state_dict(self) -> dict[str, Any]:
        """Everything needed to score, and to go on training: modules, optimisers and tensors.

        By default every attribute that has a ``state_dict`` of its own, and every tensor.
        """
        return {name: _state_of(value) for name, value in self._parts().items()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over what ``state_dict`` returned. Raises ``CheckpointError`` where it does not fit."""
        from .errors import CheckpointError

        for name, value in state.items():
            part = getattr(self, name, None)
            if part is not None and hasattr(part, "load_state_dict"):
                try:
                    part.load_state_dict(value)
                except (KeyError, ValueError, RuntimeError, TypeError) as error:
                    found = str(error).strip().splitlines()[0]
                    raise CheckpointError(
                        f"state '{name}' does not fit {type(self).__name__}",
                        found=found,
                        way_out="Use the method, backbone and options that the checkpoint was made with",
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


def _is_tensor(value: Any) -> bool:
    return type(value).__module__.startswith("torch") and hasattr(value, "untyped_storage")
