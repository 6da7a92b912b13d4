"""``python -m benchmarks``: the command line of the benchmarks."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from adbench.cli import prepare_torch

DATA = Path(__file__).parents[2] / "shared" / "data"


def shared_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Options of every benchmark that runs a method."""
    for option in reversed((
        click.option("--method", default="msflow", show_default=True, type=click.Choice(["msflow", "cflow"])),
        click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda or cuda:N."),
        click.option("--data", type=click.Path(path_type=Path), default=DATA, help="A folder of MVTec-layout classes."),
        click.option("--class", "class_name", default="magnetic_tile", show_default=True),
        click.option("--pictures", default=32, show_default=True, help="So many of each part."),
        click.option("--size", default=256, show_default=True),
        click.option("--batch", default=8, show_default=True),
        click.option("--rounds", default=3, show_default=True, help="Epochs of each side; the median counts."),
        click.option("--workers", default=2, show_default=True, help="Of the plain loop's DataLoader."),
        click.option("--weights", type=click.Path(path_type=Path), help="State dict of wide_resnet50_2. "
                     "[default: random ones, which take as long]"),
    )):  # fmt: skip
        command = option(command)
    return command


def _setting(words: dict[str, Any]) -> Any:
    from adbench.devices import resolve_device

    from .setting import Setting, made_weights

    words = dict(words)
    words["weights"] = words["weights"] or made_weights()
    words["device"] = resolve_device(words["device"])
    return Setting(**words)


def _console() -> Console:
    """A console that is wide enough for the tables where it is no terminal."""
    console = Console()
    return console if console.is_terminal else Console(width=120)


def _precisions(device: Any) -> list[str]:
    from adbench.devices import resolve_amp

    return list(dict.fromkeys(["off", resolve_amp("auto", device)]))


@click.group()
def app() -> None:
    """Measure adbench beside plain loops, in one process, in turn; noise hits both alike."""


@app.command()
@shared_options
def train(rounds: int, **words: Any) -> None:
    """One training epoch from the second on."""
    from . import train as room

    setting = _setting(words)
    room.run(setting, _precisions(setting.device), rounds, _console())


@app.command()
@shared_options
def score(rounds: int, **words: Any) -> None:
    """Scoring the test set: the first time, and again as each evaluation in training does."""
    from . import score as room

    setting = _setting(words)
    room.run(setting, _precisions(setting.device), rounds, _console())


@app.command()
@shared_options
def start(rounds: int, **words: Any) -> None:
    """How soon a run on cached pictures and features reaches its first epoch."""
    from . import start as room

    setting = _setting(words)
    room.run(setting, _precisions(setting.device)[-1], rounds, _console())


@app.command()
@shared_options
def compiled(rounds: int, **words: Any) -> None:
    """Optimiser steps under torch.compile, and after how many of them it pays; needs a C++ compiler on a CPU."""
    from . import compiled as room

    setting = _setting(words)
    room.run(setting, _precisions(setting.device)[-1], rounds, _console())


@app.command()
@click.option("--maps", default=83, show_default=True)
@click.option("--size", default=512, show_default=True)
@click.option("--device", default="cpu", show_default=True)
@click.option("--rounds", default=3, show_default=True)
def evaluate(maps: int, size: int, device: str, rounds: int) -> None:
    """All metrics of a test set, beside scikit-learn's pixel AUROC alone."""
    from . import evaluate as room

    room.run(maps, size, device, rounds, _console())


if __name__ == "__main__":
    prepare_torch()  # for both sides, as `adbench` does
    app()
