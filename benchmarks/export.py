"""Exports small models of all methods to all formats, and shows how far the files are from the models."""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Container, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch

from adbench.api import registry as plugins
from adbench.api.data import Sample
from adbench.api.method import Method
from adbench.data import memory_store
from adbench.data.framing import Framing
from adbench.data.images import Images
from adbench.report import render
from adbench.report.tables import Column, Table
from adbench.run import loop
from adbench.run.check_bench import CheckBench, MadeImages, small_options
from adbench.run.checkpoint import Checkpoint
from adbench.run.export.facts import SUFFIXES, Target
from adbench.run.export.job import Plan, export
from adbench.run.trained import TrainedModel
from adbench.stats.thresholds import Stored
from adbench.util.devices import seed_everything
from adbench.util.errors import AdbenchError, UsageError

IMAGE = (150, 170)
"""Height and width of the images, which the files resize."""

INPUT = (96, 128)
"""Those of the models' input."""

DINO = "vit_small_patch14_dinov2.lvd142m"


@dataclass(frozen=True)
class Variant:
    """A small model of a method.

    Attributes:
        method: its name.
        changes: options other than those of its smallest preset.
        network: the network whose random weights its backbone gets; None for the preset's own backbone.
    """

    method: str
    changes: Mapping[str, Any] = field(default_factory=dict)
    network: str | None = None

    @property
    def name(self) -> str:
        """How the tables call it."""
        words = [self.network.partition(".")[0]] if self.network else []
        words += [f"{key}={value}" for key, value in self.changes.items() if key not in ("size", "layers")]
        return self.method + (f" ({', '.join(words)})" if words else "")


MORE = (
    Variant("padim", {"layers": (1, 2, 3)}, "resnet18"),
    Variant("patchcore", {"reweighting": 9}),
    Variant("patchcore", {"interpolation": "bilinear-aliased", "resize": "crop"}),
    Variant("dfm", {"score": "likelihood"}),
    Variant("anomalydino", {"size": (112, 140), "layers": (2,)}, DINO),
    Variant("dinomaly", {"size": (112, 140), "layers": (1, 2)}, DINO),
)
"""Beside the smallest preset of each method: other backbones, and options with other steps."""

SMALL: Mapping[str, Mapping[str, Any]] = {
    "cflow": {"blocks": 2},
    "csflow": {"hidden": 16},
    "fastflow": {"steps": 2},
    "uflow": {"steps": 2},
    "msflow": {"blocks": (1, 1, 2)},
    "dinomaly": {"blocks": 4},
    "inp-former": {"blocks": 4},
}
"""Options that leave out repetitions."""

TRAINED = 4
"""Training images."""

EPOCHS = {"draem": 40}
"""Epochs of methods whose scores are all alike after one, so that rounding is a large share of their spread."""

SIZES = {"uniad": (224, 224), "rd4ad": (128, 128), "csflow": (128, 128), "uflow": (128, 128)}
"""Sizes of methods that don't take ``INPUT``."""


@dataclass(frozen=True)
class Row:
    """What came of one export.

    Attributes:
        model: the variant's name.
        target: the format.
        program: what ran the file; empty if there was none.
        reason: why there is no file, or why it is refused; empty if it is kept.
        score: the largest difference of scores, as a share of their spread.
        map: likewise that of the maps.
        verdicts: on how many images model and file disagree; None without a threshold.
        bytes: the size of the files.
        seconds: those of writing the file and of running both.
    """

    model: str
    target: Target
    program: str
    reason: str
    score: float | None
    map: float | None
    verdicts: int | None
    bytes: int | None
    seconds: float


def variants(names: Sequence[str] | None) -> list[Variant]:
    """A variant of each method, and the others; of the named methods alone if there are names."""
    known = [name for name in plugins.load().methods if not name.startswith("anomalib:")]
    chosen = known if names is None else names
    return [each for each in (*map(Variant, known), *MORE) if each.method in chosen]


def run(chosen: Sequence[Variant], targets: Sequence[Target], format_: str, kept: Path | None = None) -> None:
    """Print a table for each target; Ctrl-C prints those of what is done.

    Args:
        chosen: the models.
        targets: the formats.
        format_: how the tables are printed.
        kept: a file of JSON lines: rows in it are not made again, and each new one is added when it is done.
    """
    done = {(row.model, row.target): row for row in _read(kept)}
    with tempfile.TemporaryDirectory(prefix="adbench-export-") as folder, suppress(KeyboardInterrupt):
        for row in rows_of(chosen, targets, Path(folder), done.keys()):
            done[row.model, row.target] = row  # one by one, so that it is there after Ctrl-C
            if kept:
                with kept.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(asdict(row)) + "\n")
    names = [each.name for each in chosen]
    tables = [table(target, [done[name, target] for name in names if (name, target) in done]) for target in targets]
    render.write(tables, format_)


def _read(kept: Path | None) -> list[Row]:
    if kept is None or not kept.exists():
        return []
    return [Row(**json.loads(line)) for line in kept.read_text(encoding="utf-8").splitlines()]


def rows_of(
    chosen: Sequence[Variant], targets: Sequence[Target], folder: Path, done: Container[tuple[str, Target]] = ()
) -> Iterator[Row]:
    """Train each variant briefly and export it to each target; those that are done are left out."""
    made = MadeImages(folder / "images", IMAGE)
    test = made.test(0).samples
    for variant in chosen:
        missing = [target for target in targets if (variant.name, target) not in done]
        if not missing:
            continue
        model = model_of(variant, made.train.samples, test, folder)
        for target in missing:
            found = _row(variant, model, target, test, folder)
            share = "" if found.score is None else f", {found.score:.1e} of the spread"
            outcome = (found.reason or "kept") + share
            print(f"{variant.name}, {target}: {outcome}, {found.seconds:.0f} s", file=sys.stderr, flush=True)
            yield found


def _row(variant: Variant, model: TrainedModel, target: Target, test: Sequence[Sample], folder: Path) -> Row:
    plan = Plan(target, folder / f"model{SUFFIXES[target]}", "uint8", None, "made", threads=torch.get_num_threads())
    started = time.perf_counter()
    try:
        made = export(model, test, plan)
    except AdbenchError as error:
        reason = error.parts["found"] or str(error)
        return Row(variant.name, target, "", reason, None, None, None, None, time.perf_counter() - started)
    check = made.check
    return Row(
        variant.name, target, made.program, check.problem, check.score.share, check.map.share if check.map else None,
        check.verdicts, made.bytes, time.perf_counter() - started,
    )  # fmt: skip


def model_of(variant: Variant, train: Sequence[Sample], test: Sequence[Sample], folder: Path) -> TrainedModel:
    """Train a variant for an epoch or a few; a method that needs more than images stays untrained."""
    method = plugins.load().method(variant.method)
    fixed = {"size": SIZES.get(variant.method, INPUT), **SMALL.get(variant.method, {})}
    changes = {**fixed, **variant.changes, **_backbone(variant, folder)}
    options = small_options(method, None, changes, size=None)
    seed_everything(0)
    bench = CheckBench(method, options, MadeImages(folder / "bench", INPUT), torch.device("cpu"))
    detector = bench.build(0)
    framing = Framing.of(options)
    images = Images(memory_store.read(train[:TRAINED], framing), bench.device, options.batch_size, shuffle=True)
    with suppress(UsageError):
        for epoch in loop.epochs(detector, images, name=method.name):
            if epoch.number >= EPOCHS.get(variant.method, 1):
                break
    store = memory_store.read(test, framing)
    with torch.no_grad():
        middle = float(
            detector.score(Images(store, bench.device, len(test), shuffle=False).part(0, len(test))).image.mean()
        )
    return TrainedModel(_checkpoint(method, middle, detector.score_scale), method, options, detector)


def _backbone(variant: Variant, folder: Path) -> dict[str, Any]:
    """Options for a network with random weights."""
    name = variant.network
    if name is None:
        return {}
    path = folder / f"{name}.pt"
    if "vit" in name:
        import timm

        if not path.exists():
            seed_everything(0)
            torch.save(timm.create_model(name, pretrained=False).state_dict(), path)
        return {"backbone": f"timm:{name}", "weights": str(path)}
    import torchvision

    if not path.exists():
        seed_everything(0)
        network = torchvision.models.get_model(name, weights=None).train()
        with torch.no_grad():
            for _ in range(5):  # batch norms collect their statistics
                network(torch.randn(4, 3, 96, 96))
        torch.save(network.state_dict(), path)
    return {"backbone": name, "weights": str(path)}


def _checkpoint(method: Method, threshold: float, scale: int) -> Checkpoint:
    """A checkpoint that was never in a file, with a threshold between the images."""
    stored = Stored(threshold, "mean of the test images", score_scale=scale)
    return Checkpoint(
        path=Path("made"), method=method.name, options={}, dataset="made", classes=("made",), seed=0, epoch=1,
        state={}, parts=None, thresholds={"made": stored}, eval_size=None,
        holdout=0.0, setting="one-class", shots=None, train_images=0, validation=0.0,
    )  # fmt: skip


def table(target: Target, rows: Sequence[Row]) -> Table[Row]:
    """How far the files of one format are from the models."""
    columns: tuple[Column[Row], ...] = (
        Column("model", "model", lambda row: row.model, role="key"),
        Column("verdict", "kept", lambda row: "yes" if row.program and not row.reason else "no"),
        Column("score", "score", lambda row: row.score, "score"),
        Column("map", "map", lambda row: row.map, "score"),
        Column("verdicts", "other verdicts", lambda row: row.verdicts, "count"),
        Column("bytes", "size", lambda row: row.bytes, "bytes"),
        Column("seconds", "seconds", lambda row: row.seconds, "seconds"),
        Column("reason", "why not", lambda row: row.reason or None),
    )
    program = next((row.program for row in rows if row.program), target)
    notes = ("score, map: the largest difference as a share of the spread of the model's own, over seven images.",)
    return Table(f"Exported to {target}, run by {program}", columns, tuple(rows), notes)
