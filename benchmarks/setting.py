"""The setting that both sides of a benchmark share (images, options, weights), and adbench's own path."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, fields, replace
from datetime import date
from pathlib import Path
from typing import Any

import torch

from adbench import BuildContext
from adbench.api import registry
from adbench.api.data import Task
from adbench.api.method import resolve
from adbench.backbones.feature_cache import FeatureCache
from adbench.data.images import Images
from adbench.run.class_run import open_images
from adbench.run.summary import environment
from adbench.run.watch import Watch
from adbench.util.devices import resolve_amp, seed_everything
from adbench.util.files import cache_folder

from .plain import PlainBackbone, PlainCFlow, PlainLoop, PlainMSFlow
from .timing import Stages

PLAIN: dict[str, type[PlainMSFlow] | type[PlainCFlow]] = {"msflow": PlainMSFlow, "cflow": PlainCFlow}


@dataclass(frozen=True)
class Setting:
    """One benchmark: a method's paper preset on some images, at another size and batch."""

    method: str
    data: Path
    class_name: str
    images: int
    size: int
    batch: int
    weights: Path
    device: torch.device
    workers: int

    def changes(self, amp: str) -> dict[str, Any]:
        """Differences from the preset; images are not rotated, so that both sides do the same work."""
        changes: dict[str, Any] = {
            "size": (self.size, self.size), "batch_size": self.batch, "weights": str(self.weights), "amp": amp,
            "resize": "stretch",
        }  # fmt: skip
        return changes | {"rotation": 0.0} if self.method == "cflow" else changes

    def options(self, amp: str) -> Any:
        """The method's options."""
        return resolve(self.plugin, "paper", self.changes(amp), "folder", self.class_name)

    @property
    def plugin(self) -> Any:
        """The method."""
        return registry.load().method(self.method)

    def task(self) -> Task:
        """The first images of each part, with all of the test set's labels."""
        found = registry.load().dataset("folder").load(self.data, self.class_name)
        step = max(1, len(found.test) // self.images)
        return replace(found, train=found.train[: self.images], test=found.test[::step][: self.images])

    def words(self) -> list[str]:
        """The setting as a command line, for a process of its own."""
        return [str(getattr(self, field.name)) for field in fields(self)]

    @classmethod
    def of(cls, words: Sequence[str]) -> Setting:
        """Parse ``words``."""
        kinds: dict[str, Any] = {"int": int, "Path": Path, "torch.device": torch.device, "str": str}
        return cls(**{f.name: kinds[str(f.type)](word) for f, word in zip(fields(cls), words, strict=True)})

    def describe(self, *, whole: bool = False) -> str:
        """Describe the setting in two lines; ``whole`` says that all images of the class were used."""
        images = "all" if whole else str(self.images)
        return (
            f"{self.method}, wide_resnet50_2, {self.size} x {self.size}, batch {self.batch}, "
            f"{images} images of {self.class_name}\n{describe_machine(self.device)}"
        )


def describe_machine(device: torch.device) -> str:
    """Describe the machine in one line: the processor or GPU, its bf16, the threads, torch and the date."""
    return (
        f"{environment(device).device_name}, {_bf16_of(device)}, {torch.get_num_threads()} threads, "
        f"torch {torch.__version__}, {date.today().isoformat()}"
    )


def _bf16_of(device: torch.device) -> str:
    """The hardware that multiplies in bf16: plain loops and adbench gain by it differently."""
    if device.type == "cuda":
        return "bf16" if resolve_amp("auto", device) == "bf16" else "no bf16"
    if getattr(torch.cpu, "_is_amx_tile_supported", bool)():
        return "bf16 by AMX"
    return "bf16 by AVX-512" if resolve_amp("auto", device) == "bf16" else "no bf16"


class Ours:
    """adbench's own path: the detector and its images, as the engine opens them."""

    def __init__(self, setting: Setting, amp: str, cache: FeatureCache) -> None:
        options = setting.options(amp)
        task = setting.task()

        def opened(part: Any) -> Images:
            return open_images(task, part, options, setting.device, skip_bad=False, cache=cache, watch=Watch())

        seed_everything(0)
        self.detector = setting.plugin.make(options, BuildContext(setting.device))
        self.train, self.test = opened("train"), opened("test")
        self.train.prefetch_with(self.test)
        self.fitting: Iterator[object] | None = None

    def epoch(self) -> None:
        """Train on all images once, as ``fit`` does."""
        if self.fitting is None:
            self.fitting = self.detector.fit(self.train)
            next(self.fitting)  # only announces the first epoch
        next(self.fitting)

    def score(self) -> torch.Tensor:
        """Score all test images once."""
        with torch.no_grad():
            return torch.cat([self.detector.score(batch).map for batch in self.test])

    @property
    def graphed(self) -> list[Any]:
        """Objects that take steps as CUDA graphs: none on a CPU."""
        return [each for each in self.detector.graphs if each.possible]

    @contextmanager
    def kernel_by_kernel(self) -> Iterator[None]:
        """Take eager steps, so that their operations can be counted."""
        graphed = self.graphed
        for each in graphed:
            each.possible = False
        try:
            yield
        finally:
            for each in graphed:
                each.possible = True

    @contextmanager
    def staged(self, stages: Stages) -> Iterator[None]:
        """Time the stages of an epoch."""
        from adbench_plugins.cflow import model as cflow
        from adbench_plugins.cuda_graph import GraphedStep

        from adbench.backbones.feature_cache import Table

        with ExitStack() as stack:
            around = [(Table, "gather", "features"), (torch.autograd, "backward", "backward"),
                      (torch.nn.utils, "clip_grad_norm_", "optimiser")]  # fmt: skip
            if self.graphed:  # a graph has no parts to time
                around = [(Table, "gather", "features"), (GraphedStep, "__call__", "steps")]
            elif hasattr(self.detector, "flow"):
                around += [(self.detector.flow, "forward", "flow forward"),
                           (self.detector.optimizer, "step", "optimiser")]  # fmt: skip
            else:
                around.append((cflow, "log_likelihood", "flow forward"))
                around += [(optimizer, "step", "optimiser") for optimizer in self.detector.optimizers]
            for owner, name, stage in around:
                stack.enter_context(stages.around(owner, name, stage))
            yield


def plain(setting: Setting, amp: str, ours: Ours | None = None) -> PlainLoop:
    """Make the plain loop of the method; with ``ours`` it starts from the same parameters."""
    seed_everything(0)
    options = setting.options(amp)
    backbone = PlainBackbone(setting.weights, options.layers, options.padding, pool=setting.method == "msflow")
    loop = PLAIN[setting.method](options, backbone, amp, setting.device, setting.workers)
    if ours is not None:
        loop.take_over(ours.detector)
    return loop


def demo_folder() -> Path:
    """The folder of the classes of ``demo``, which is generated on first use."""
    return registry.load().dataset("demo").load(cache_folder(), "brick").root


def made_weights() -> Path:
    """A file of random wide_resnet50_2 weights with activations of the usual size: enough for timings."""
    import torchvision

    path = Path(tempfile.gettempdir()) / "adbench-benchmark-wide_resnet50_2.pth"
    if not path.exists():
        seed_everything(0)
        net = torchvision.models.wide_resnet50_2().train()
        with torch.no_grad():
            for _ in range(3):  # batch norms collect their statistics
                net(torch.rand(4, 3, 128, 128))
        torch.save(net.state_dict(), path)
    return path
