"""The ablation switches off one part at a time, and prints its cost."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import adbench_plugins.cflow.block
import adbench_plugins.coupling
import pytest
import torch
from adbench_plugins.cflow import CFlowOptions
from adbench_plugins.cflow.model import CFlow
from adbench_plugins.cuda_graph import GraphedStep
from adbench_plugins.worker_threads import WorkerThreads
from click.testing import CliRunner
from flow_doubles import TinyBackbone, TinyImages, train
from FrEIA.modules import AllInOneBlock
from rich.console import Console

from adbench.api.backbone_table import LITE0
from adbench.backbones import levels, registry
from adbench.util import devices
from benchmarks import ablation
from benchmarks.__main__ import app

CPU = torch.device("cpu")


@pytest.fixture
def put_back(monkeypatch) -> None:
    """Restores at the end what parts replace."""
    for owner, name in (
        (adbench_plugins.coupling.FastBlock, "forward"),
        (adbench_plugins.cflow.block.VectorBlock, "couple"),
        (torch.optim.Adam, "__init__"),
        (levels, "fold_norms"),
        (WorkerThreads, "__init__"),
        (GraphedStep, "__init__"),
    ):
        monkeypatch.setattr(owner, name, getattr(owner, name))


def trained() -> list[float]:
    """The losses of a small CFLOW-AD on two threads."""
    options = replace(
        CFlowOptions(), size=(32, 48), batch_size=3, fibres=16, blocks=2, cond_channels=8, meta_epochs=1,
        sub_epochs=1, lr=1e-3, warmup=0, rotation=0.0, amp="off", layers=(1, 2, 3),
    )  # fmt: skip
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    torch.manual_seed(0)
    detector = CFlow(options, CPU, TinyBackbone((4, 6, 9)))
    losses = [report.loss for report in train(detector, TinyImages())]
    torch.set_num_threads(before)
    return losses


def calls(monkeypatch, owner: object, name: str) -> list[str]:
    """Counts the calls of a function."""
    made: list[str] = []
    original = getattr(owner, name)

    def counted(*arguments: object, **named: object) -> object:
        made.append(name)
        return original(*arguments, **named)

    monkeypatch.setattr(owner, name, counted)
    return made


@pytest.mark.usefixtures("put_back")
@pytest.mark.parametrize(
    ("part", "owner", "name", "off"),
    [
        ("fused coupling blocks", AllInOneBlock, "forward", "called"),
        ("fused Adam", torch, "_fused_adam_", "not called"),
        ("worker threads", torch, "set_num_threads", "not called"),
    ],
)
def test_training_without_a_part_has_the_same_losses(part, owner, name, off, monkeypatch):
    """The part's own function shows that it is switched off; the losses stay."""
    expected = trained()
    ablation.PARTS[part].replace()
    made = calls(monkeypatch, owner, name)
    assert trained() == pytest.approx(expected, rel=1e-4)
    counted = len(made) - (2 if name == "set_num_threads" else 0)  # the test's own
    assert counted == 0 if off == "not called" else counted > 0


@pytest.mark.usefixtures("put_back")
def test_a_backbone_without_folded_norms_has_them():
    """Norms are layers again, and its features are the same."""
    images = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    expected = registry.load(LITE0, device=CPU)(images)
    ablation.PARTS["folded norms"].replace()
    backbone = registry.load(LITE0, device=CPU)
    assert any(isinstance(module, torch.nn.BatchNorm2d) for module in backbone.network.modules())
    for wanted, actual in zip(expected, backbone(images), strict=True):
        torch.testing.assert_close(actual, wanted, rtol=1e-4, atol=1e-4)


@pytest.mark.usefixtures("put_back")
def test_steps_without_graphs_are_eager():
    """A step that could be captured runs eagerly, on the original tensors."""
    ablation.PARTS["CUDA graphs"].replace()
    given = torch.ones(2)
    step = GraphedStep(lambda tensor: tensor, True, lambda reason: pytest.fail(reason))
    assert not step.possible
    assert step(given) is given


def printed(monkeypatch, run: Callable[..., ablation.Spent], *words: str) -> str:
    """The command's output, with ``run`` in place of each real run."""
    monkeypatch.setattr(ablation, "_run_once", run)
    done = CliRunner().invoke(app, ["ablation", *words])
    assert done.exit_code == 0, done.output
    return done.output


def test_ratios_are_those_of_each_round(monkeypatch):
    """The table has the median of the ratios within a round, and their range: a slow round doesn't move them."""
    clock = iter([(1.0, 2.0, 3.0), (10.0, 15.0, 10.0), (2.0, 8.0, 3.0)])  # nothing, Adam, blocks in each round
    seconds: Iterator[float] = (each for row in clock for each in row)

    def run(command: object, name: str) -> ablation.Spent:
        return ablation.Spent(next(seconds), 7.0, 2_000_000)

    text = printed(monkeypatch, run, "--without", "fused Adam", "--without", "fused coupling blocks")
    rows = {line.split("│")[1].strip(): line.split("│")[2:-1] for line in text.splitlines() if "│" in line}
    cells = {name: [cell.strip() for cell in row] for name, row in rows.items()}
    assert cells == {
        "nothing": ["2.0", "1.00", "", "7.0", "2"],
        "fused Adam": ["8.0", "2.00", "1.50 to 4.00", "7.0", "2"],
        "fused coupling blocks": ["3.0", "1.50", "1.00 to 3.00", "7.0", "2"],
    }


def test_each_method_is_asked_without_what_it_uses(monkeypatch):
    """PaDiM has no decoders and no blocks; bf16 is left out if the machine has none; the command is shown."""
    asked: list[tuple[list[str], str]] = []

    def run(command: list[str], name: str) -> ablation.Spent:
        asked.append((command, name))
        return ablation.Spent(1.0, 1.0, 1)

    monkeypatch.setattr(devices, "_cpu_has_bf16", lambda: False)
    text = printed(monkeypatch, run, "--method", "padim", "--device", "cpu", "-o", "dimensions=7", "--rounds", "1")
    assert [name for _, name in asked] == ["nothing", "cached features", "folded norms", "large pages"]
    words = "run --method padim --dataset demo --class brick --preset cpu --device cpu -o dimensions=7"
    assert {" ".join(command) for command, _ in asked} == {words}
    assert f"adbench {words}" in text
    monkeypatch.setattr(devices, "_cpu_has_bf16", lambda: True)
    asked.clear()
    printed(monkeypatch, run, "--method", "cflow", "--device", "cpu", "--rounds", "1")
    assert {name for _, name in asked} == {"nothing", *ablation.PARTS} - {"CUDA graphs"}


def test_what_a_method_does_not_use_is_refused():
    """The message lists the parts that can be switched off."""
    done = CliRunner().invoke(app, ["ablation", "--method", "padim", "--without", "worker threads"])
    assert done.exit_code == 2
    assert "padim on cpu has: cached features" in done.output


def test_a_run_that_fails_shows_why(monkeypatch):
    """The process's standard error is shown, and no table."""
    failed = SimpleNamespace(returncode=1, stderr="Error: out of luck")
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: failed)
    with pytest.raises(Exception, match="without large pages failed:\nError: out of luck"):
        ablation._run_once(["run"], "large pages")


@pytest.mark.slow
def test_whole_runs_are_timed(tmp_path):
    """Each run is a process that starts without a cache, ends with a result, and takes time and memory."""
    console = Console(width=120, record=True, file=(tmp_path / "out").open("w"))
    command = ["run", "--method", "padim", "--dataset", "demo", "--class", "brick", "--preset", "cpu",
               "-o", "size=64x64", "-o", "dimensions=10"]  # fmt: skip
    ablation.run(command, ["cached features"], 1, console)
    text = console.export_text()
    rows = [line for line in text.splitlines() if "│" in line]
    seconds, memory = ([float(row.split("│")[column]) for row in rows] for column in (2, 6))
    assert min(seconds) > 1
    assert min(memory) > 100


def test_the_child_is_adbench(tmp_path):
    """The process behind each run takes adbench's own command line."""
    words = [sys.executable, "-m", "benchmarks.ablation", "large pages", "--help"]
    done = subprocess.run(words, cwd=Path(__file__).parents[2], env=os.environ, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "Benchmark unsupervised" in done.stdout
