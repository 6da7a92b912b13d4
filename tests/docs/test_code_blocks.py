"""Every code block of README and docs is run, parsed, compared with the code, or listed here with a reason."""

from __future__ import annotations

import configparser
import itertools
import json
import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
import torchvision
from doc_blocks import ALL_BLOCKS, GUIDE, blocks, plugins

import adbench as public
from adbench import BuildContext, Detector, Epoch, Method, backbones
from adbench.api import maps
from adbench.api.images import Batch
from adbench.run.predict import Prediction

pytestmark = pytest.mark.usefixtures("one_thread")

UNCHECKED = {
    ("architecture.md", "cli"): "a drawing; test_architecture.py holds the order of the wings",
}
"""Blocks that no test can check: (page, first word) -> reason. The output of a command above it needs none."""

CPU = torch.device("cpu")

PREDICTED = "results/demo/brick/patchcore/cpu-seed0-holdout0.1-796f41ba"
"""The run of docs/predict.md."""


# ---------------------------------------------------------------- no block is left out


def test_every_block_is_checked_or_listed():
    """A block that no test can check is in ``UNCHECKED``, and no other block is."""
    unknown = {(block.page.name, block.text.split()[0]) for block in blocks("other")}
    assert unknown == set(UNCHECKED)


def test_blocks_are_found():
    """The pages have the known numbers of blocks, so that an empty list can't pass."""
    kinds = {block.kind for block in ALL_BLOCKS if block.page == GUIDE}
    assert kinds == {"plugin", "commands", "declarations", "fragment", "toml"}
    assert set(plugins()) == {"bank", "student", "painted", "flat", "loose", "shufflenet", "lines", "single"}
    text = GUIDE.read_text(encoding="utf-8")
    assert len(re.findall("^```", text, re.MULTILINE)) == 2 * sum(
        block.language != "indented" for block in ALL_BLOCKS if block.page == GUIDE
    )


PARSERS: dict[str, Callable[[str], object]] = {
    "toml": lambda text: pytest.importorskip("tomllib" if sys.version_info >= (3, 11) else "tomli").loads(text),
    "cfg": lambda text: configparser.ConfigParser().read_string(text),
    "json": json.loads,
}


@pytest.mark.parametrize("block", [block for kind in PARSERS for block in blocks(kind)], ids=str)
def test_configuration_can_be_read(block):
    """TOML, cfg and JSON blocks are valid."""
    PARSERS[block.kind](block.text)


# ---------------------------------------------------------------- fragments and outlines


class OneBatch:
    """Training images: one batch of noise."""

    def __init__(self) -> None:
        self.images = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
        self.size, self.batch_size = (64, 64), 2

    def __len__(self) -> int:
        return 2

    def __iter__(self) -> Iterator[Batch]:
        yield Batch.of(self.images)

    def features(self, backbone: Any) -> Iterator[list[torch.Tensor]]:
        for batch in self:
            yield batch.features(backbone)


class WithNetwork(Detector):
    """The surroundings of a fragment of the guide: a network and an optimiser for it."""

    def __init__(self, options, context):
        super().__init__(options, context)
        self.network = torch.nn.Conv2d(3, 2, 3)
        self.optimizer = torch.optim.SGD(self.network.parameters(), lr=0.1)
        self.backbone = torch.nn.Identity().eval()

    def step(self, features):
        return float(features[0].mean())


def run_autocast(text: str, desk: Path) -> None:
    """Gradients reach the network."""
    detector = WithNetwork(public.Options(amp="bf16"), BuildContext(CPU))
    batch = Batch.of(OneBatch().images)
    exec(text, {"self": detector, "batch": batch})
    assert detector.network.weight.grad.abs().sum() > 0


def run_micro_batches(text: str, desk: Path) -> None:
    """The loss falls, and is the same in parts if memory runs out."""
    names: dict[str, Any] = {"Detector": WithNetwork}
    exec(text, names)
    losses = []
    for parts in (1, 2):
        torch.manual_seed(0)
        detector = names["Mine"](public.Options(amp="off"), BuildContext(CPU))
        detector.micro_batches.count = parts
        batch = Batch.of(OneBatch().images)
        losses.append([detector.train_on(batch) for _ in range(3)])
    assert losses[0][2] < losses[0][0]
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)


def run_fit(text: str, desk: Path) -> None:
    """Both a fresh start and a resume after two epochs reach the last one."""

    @dataclass(frozen=True)
    class WithEpochs(public.Options):
        epochs: int = 3

    names: dict[str, Any] = {"Epoch": Epoch}
    exec(text, names)
    for start in (0, 2):
        detector = WithNetwork(WithEpochs(), BuildContext(CPU))
        detector.epoch = start
        assert [each.number for each in names["fit"](detector, OneBatch())] == [start, *range(start + 1, 4)]


def run_checks(text: str, desk: Path) -> None:
    """The test of a plugin passes beside its file."""
    names: dict[str, Any] = {}
    exec(text, names)
    (test,) = (value for name, value in names.items() if name.startswith("test_"))
    test()


def run_stored_maps(text: str, desk: Path) -> None:
    """The maps that a run stores are restored as in the guide."""
    from adbench.run.heatmaps import _write_raw

    given = np.linspace(-1, 3, 2 * 4 * 5, dtype=np.float32).reshape(2, 4, 5)
    samples = [SimpleNamespace(label=0), SimpleNamespace(label=1)]
    rescored = SimpleNamespace(store=SimpleNamespace(samples=samples), image=np.array([0.5, 2.5]))
    _write_raw(desk / "maps.npz", ["a.png", "b.png"], rescored, given)
    names: dict[str, Any] = {"np": np}
    exec(text, names)
    np.testing.assert_allclose(names["maps"], given, atol=4 / 131070 * 1.01)
    assert [*names["paths"]] == ["a.png", "b.png"]
    assert [*names["labels"]] == [0, 1]
    assert [*names["scores"]] == [0.5, 2.5]


def options_of(name: str, desk: Path, layers: tuple[int, ...]) -> public.BackboneOptions:
    """Options with a backbone of random weights, in a file."""
    path = desk / f"{name.removeprefix('timm:')}.pt"
    with torch.random.fork_rng():
        model = name.removeprefix("timm:")
        net = timm_model(model) if model != name else torchvision.models.get_model(name, weights=None)
    torch.save(net.state_dict(), path)
    return public.BackboneOptions(size=(64, 64), backbone=name, layers=layers, weights=str(path), amp="off")


def timm_model(name: str) -> torch.nn.Module:
    return pytest.importorskip("timm").create_model(name)


def run_adapted(text: str, desk: Path) -> None:
    """The last stage gets gradients, and nothing else does."""
    names: dict[str, Any] = {"Detector": Detector, "backbones": backbones}
    exec(text, names)
    detector = names["Adapted"](options_of("resnet18", desk, (1, 2)), BuildContext(CPU))
    batch = Batch.of(OneBatch().images)
    sum(level.square().mean() for level in detector.network(batch.images)).backward()
    trained = {name for name, value in detector.network.named_parameters() if value.grad is not None}
    assert trained == {name for name, _ in detector.network.named_parameters() if "layer2" in name} != set()


def run_all_tokens(text: str, desk: Path) -> None:
    """The sequence has the class token and all patches."""
    names: dict[str, Any] = {"Detector": Detector, "backbones": backbones, "torch": torch}
    exec(text, names)
    detector = names["AllTokens"](options_of("timm:test_vit", desk, (2, 3)), BuildContext(CPU))
    assert detector.sequence(Batch.of(OneBatch().images)).shape == (2, 1 + 16, 64)


def run_predict(text: str, desk: Path) -> None:
    """The model of a run scores images and has a full map of each."""
    made = {"path": "", "score": 1.0, "verdict": "good", "full_map": lambda: np.zeros((4, 6))}
    asked: list[object] = []

    class Model:
        def predict(self, images: list[str]) -> list[SimpleNamespace]:
            asked.extend(images)
            return [SimpleNamespace(**made) for _ in images]

    (place,) = re.findall(r'adbench\.load\("(.+)"\)', text)
    assert (
        {field for field in made if f"found.{field}" in text}
        == set(made)
        <= set(dir(Prediction)) | set(Prediction.__dataclass_fields__)
    )
    exec(text, {"adbench": SimpleNamespace(load=lambda run: Model() if run == place else None)})
    assert asked == ["new/000.png", "new/001.png"]


FRAGMENTS: dict[str, Callable[[str, Path], None]] = {
    "with self.autocast():": run_autocast,
    "class Mine(Detector):": run_micro_batches,
    "def fit(self, images):": run_fit,
    "class Adapted(Detector):": run_adapted,
    "class AllTokens(Detector):": run_all_tokens,
    "from adbench import checks": run_checks,
    f'model = adbench.load("{PREDICTED}")': run_predict,
    'with np.load("maps.npz") as stored:': run_stored_maps,
}
"""Surroundings of a fragment, by its first line."""


def test_every_fragment_is_run():
    """Every fragment has surroundings, and all surroundings have a fragment."""
    assert {block.text.splitlines()[0] for block in blocks("fragment")} == set(FRAGMENTS)


@pytest.mark.parametrize("block", blocks("fragment"), ids=str)
def test_fragments_run(block, desk, monkeypatch):
    """A fragment does what the page says, in its surroundings."""
    monkeypatch.chdir(desk)
    FRAGMENTS[block.text.splitlines()[0]](block.text, desk)


@pytest.mark.parametrize("block", blocks("outline"), ids=str)
def test_outlines_train(block):
    """An outlined method builds and trains; the parts it leaves out ("...") are filled in."""
    names = {name: getattr(public, name) for name in public.__all__}
    names |= {"dataclass": dataclass, "replace": replace, "backbones": backbones, "maps": maps, "torch": torch}
    exec(block.text, names)
    (method,) = names["adbench_methods"]()
    assert isinstance(method, Method)
    changes = {"size": (64, 64), "amp": "off", "backbone": "efficientnet_lite0", "epochs": 2}
    options = replace(
        method.options(), **{key: value for key, value in changes.items() if hasattr(method.options(), key)}
    )
    detector = method.make(options, BuildContext(CPU))
    if not hasattr(detector, "step"):
        type(detector).step = lambda self, features: float(features[0].float().mean())
    reported = list(itertools.islice(detector.fit(OneBatch()), 10))
    assert reported[-1].number == reported[-1].total == 2
