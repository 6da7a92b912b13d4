"""The frozen records that rooms hand each other, and the two classes a plugin author meets.

Standard library only: importing this costs nothing, so ``adbench --help`` answers at once.
"""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

if TYPE_CHECKING:
    import torch

    from .images import Batch, Images

Size = tuple[int, int]
"""Height and width in pixels."""

EvalSize = Size | Literal["native"]
"""Where maps and masks are compared: at one size, or at each picture's own."""

GOOD = "good"
"""The defect type of a picture without a defect."""

METRIC_NAMES = ("image_auroc", "image_ap", "image_f1max", "pixel_auroc", "pixel_ap", "pixel_f1max", "aupro", "aupro_05")
"""The fields of ``Metrics``, in the order in which they are shown."""


# ---------------------------------------------------------------- data


@dataclass(frozen=True)
class Sample:
    """One picture: where it lies, whether it is defective, and where its mask lies (None when good)."""

    path: Path
    label: int = 0
    defect: str = GOOD
    mask: Path | None = None


@dataclass(frozen=True)
class Problem:
    """Something wrong with one file or folder of a data set, with the way out."""

    path: Path
    found: str
    way_out: str


@dataclass(frozen=True)
class Task:
    """One class of one data set: good training pictures, and test pictures of both kinds."""

    dataset: str
    class_name: str
    root: Path
    train: tuple[Sample, ...]
    test: tuple[Sample, ...]
    synthetic: bool = False
    problems: tuple[Problem, ...] = ()

    @property
    def fingerprint(self) -> str:
        """12 hex digits that change when a picture is added, removed, relabelled or of another length.

        Paths count relative to the root, so that a copied data set has the same fingerprint.
        """
        digest = hashlib.sha256()
        for part, samples in (("train", self.train), ("test", self.test)):
            for sample in samples:
                files = [path for path in (sample.path, sample.mask) if path is not None]
                names = [relative_path(path, self.root) for path in files]
                sizes = [path.stat().st_size if path.is_file() else -1 for path in files]
                digest.update(repr((part, sample.label, sample.defect, names, sizes)).encode())
        return digest.hexdigest()[:12]


def relative_path(path: Path, root: Path) -> str:
    """Name a file below the data set's root, with forward slashes on every platform."""
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else path.name


@dataclass(frozen=True)
class Dataset:
    """A data set reader.

    ``classes(root)`` names the classes; ``load(root, class_name)`` finds the pictures of one without
    opening them. Both raise ``DataError`` where the folder is missing. A data set that makes itself
    (``demo``) takes no root: it gets the cache folder.
    """

    name: str
    summary: str
    classes: Callable[[Path], Sequence[str]]
    load: Callable[[Path, str], Task]
    source: str = ""
    needs_root: bool = True
    synthetic: bool = False


# ---------------------------------------------------------------- methods


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

    ``size`` is the input's height and width; ``resize`` says how a picture gets there: "stretch"
    ignores the aspect ratio, "crop" fits the shorter side and cuts the centre out. ``amp`` is the
    precision of the heavy arithmetic: "auto" is resolved by the engine to what the machine does well.
    """

    size: Size = (256, 256)
    resize: Literal["stretch", "crop"] = "stretch"
    batch_size: Count = 8
    amp: Literal["auto", "off", "bf16", "fp16"] = "auto"


@dataclass(frozen=True)
class BackboneOptions(Options):
    """Options of a method that looks through a frozen backbone.

    ``layers`` counts the levels of the backbone: 1 to 4 are its outputs at strides 4, 8, 16 and 32
    (layer1 to layer4 of a ResNet). ``padding`` is that of its convolutions; ``weights`` a file with a
    state dict, None for the published ImageNet weights.
    """

    backbone: str = "wide_resnet50_2"
    layers: tuple[int, ...] = (1, 2, 3)
    padding: Literal["zeros", "reflect"] = "zeros"
    weights: str | None = None


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

    ``image`` (B,), ``map`` (B, H, W) at the input size, or None for a method that does not localise.
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


# ---------------------------------------------------------------- results


@dataclass(frozen=True)
class Metrics:
    """Fractions in [0, 1]; None where not defined, such as pixel metrics without masks.

    ``aupro`` is the per-region overlap up to a false-positive rate of 0.3, ``aupro_05`` up to 0.05,
    each divided by its limit.
    """

    image_auroc: float | None = None
    image_ap: float | None = None
    image_f1max: float | None = None
    pixel_auroc: float | None = None
    pixel_ap: float | None = None
    pixel_f1max: float | None = None
    aupro: float | None = None
    aupro_05: float | None = None


@dataclass(frozen=True)
class Best:
    """The best value of one metric over the evaluated epochs: an *oracle*, chosen on the test set."""

    metric: str
    value: float
    epoch: int


@dataclass(frozen=True)
class EpochRecord:
    """One line of the epoch curve; ``metrics`` is None where nothing was evaluated."""

    number: int
    total: int
    loss: float | None
    learning_rate: float | None
    seconds: float
    metrics: Metrics | None = None


@dataclass(frozen=True)
class Protocol:
    """Everything besides the method that moves a number.

    ``mask_size`` is where maps and masks are compared: a size, or "native" for each picture's own;
    ``map_resampling`` says how maps got there, None where they are of that size. ``holdout`` is the part
    of the training pictures that was kept from training; 0 in results that are older than the field.
    """

    size: Size
    resize: str
    picture_resampling: str
    mask_size: EvalSize
    mask_resampling: str
    epoch_policy: str
    aupro_map: str
    backbone: str | None
    backbone_weights: str | None
    precision: str
    map_resampling: str | None = None
    holdout: float = 0.0


@dataclass(frozen=True)
class Threshold:
    """The score above which a picture is called defective, suggested without a look at the test set.

    ``rule`` says what it was made from. The rates are what it does to the test set: the part of the good
    pictures above it, and of the defective ones not above it; None where there are none of the kind.
    """

    value: float
    rule: str
    false_alarm_rate: float | None
    miss_rate: float | None


@dataclass(frozen=True)
class Timing:
    """Seconds spent, over all sessions of a resumed run.

    ``fit`` counts training alone (with the features it computed), ``score`` and ``evaluate`` all
    evaluations. ``images_per_second`` is measured apart: from decoded picture to anomaly map,
    backbone included, nothing cached.
    """

    fit: float
    score: float
    evaluate: float
    total: float
    images_per_second: float | None


@dataclass(frozen=True)
class Environment:
    """Where a number was made."""

    device: str
    device_name: str
    platform: str
    python: str
    threads: int
    packages: Mapping[str, str]
    cuda: str | None


@dataclass(frozen=True)
class Result:
    """Everything needed to trust and to redo a number.

    ``fingerprint`` is the task's, ``content`` a digest over the bytes of its pictures and masks;
    ``method_package`` names the distribution and version that the method came with. ``evaluations`` counts
    the epochs among which the oracle was chosen; None in results that are older than the field. So is
    ``threshold``, and where the training scores suggest none. ``passes`` says in how many parts batches went
    through training and scoring where memory was short.
    """

    schema: int
    run: str
    method: str
    preset: str
    overrides: Mapping[str, Any]
    options: Mapping[str, Any]
    dataset: str
    class_name: str
    synthetic: bool
    fingerprint: str
    content: str
    train_images: int
    test_images: int
    skipped: tuple[str, ...]
    seed: int
    protocol: Protocol
    metrics: Metrics
    last_epoch: int
    oracle: tuple[Best, ...]
    timing: Timing
    peak_memory_bytes: int
    parameters: int
    environment: Environment
    method_package: str
    command: str
    finished: str
    evaluations: int | None = None
    threshold: Threshold | None = None
    passes: Mapping[str, int] = field(default_factory=dict)

    @property
    def variant(self) -> str:
        """The method's name and what differs from its ``paper`` preset: "msflow:cpu,lr=0.001"."""
        return variant_name(self.method, self.preset, self.overrides)


def variant_name(method: str, preset: str, overrides: Mapping[str, Any]) -> str:
    """Name a configuration of a method by what differs from its ``paper`` preset."""
    differs = ([] if preset == "paper" else [preset]) + [
        f"{key}={option_text(key, value)}" for key, value in overrides.items()
    ]
    return f"{method}:{','.join(differs)}" if differs else method


def size_text(size: EvalSize) -> str:
    """Write a size as people give it: "256x640", or "native"."""
    return size if isinstance(size, str) else "x".join(map(str, size))


def option_text(key: str, value: Any) -> str:
    """Write an option's value as it is given after -o: "256x640" for a size, "2,3" for other tuples."""
    if isinstance(value, (tuple, list)):
        return ("x" if key == "size" else ",").join(map(str, value))
    return str(value)


@dataclass(frozen=True)
class Job:
    """One task to run, small and picklable: names and numbers, nothing opened yet.

    ``options`` are final but for ``amp``, which the engine resolves on the machine that runs it.
    ``eval_size`` is where maps and masks are compared, None for the input's size; ``holdout`` the part of
    the training pictures that is kept from training, for the threshold.
    """

    method: str
    preset: str
    overrides: tuple[tuple[str, Any], ...]
    options: Options
    dataset: str
    class_name: str
    data_root: Path
    seed: int = 0
    device: str = "auto"
    eval_every: int | None = None
    eval_size: EvalSize | None = None
    holdout: float = 0.0
    skip_bad: bool = False
    force: bool = False
    results: Path = Path("results")
    plugin_files: tuple[Path, ...] = ()
    command: str = ""
