"""``python -m adbench_plugins.efficientad distil``: makes a teacher from a folder of pictures."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from adbench import AdbenchError

from . import PRESETS

if TYPE_CHECKING:
    from .distil import Recipe, Watch

LOG_EVERY = 15.0
"""Seconds between two lines of progress where there is no terminal."""


@click.group()
def main() -> None:
    """Commands of EfficientAD, a method of adbench."""


@main.command()
@click.option(
    "--images",
    required=True,
    metavar="DIR",
    type=click.Path(path_type=Path),
    help="A folder of pictures, with all folders below; the paper's is ImageNet.",
)
@click.option(
    "--output",
    "-o",
    required=True,
    metavar="FILE",
    type=click.Path(path_type=Path, dir_okay=False),
    help="The teacher's file, such as teacher.pt.",
)
@click.option(
    "--preset",
    "-p",
    default="paper",
    show_default=True,
    type=click.Choice(["paper", "cpu"]),
    help="paper: WideResNet-101, 60,000 iterations. cpu: for the method's preset cpu, with EfficientNet-Lite0, "
    "whose weights come as a package.",
)
@click.option(
    "--network",
    default="small",
    show_default=True,
    type=click.Choice(["small", "medium"]),
    help="small for EfficientAD-S, medium for EfficientAD-M.",
)
@click.option("--backbone", metavar="NAME", help="The large network: see adbench list backbones.")
@click.option("--weights", metavar="FILE", type=click.Path(path_type=Path), help="Its state dict.")
@click.option("--iterations", type=click.IntRange(1), help="Steps of Adam.")
@click.option("--batch-size", type=click.IntRange(1), help="Pictures in a step.")
@click.option("--lr", type=click.FloatRange(0, min_open=True), help="Learning rate of Adam.")
@click.option("--channels", type=click.IntRange(1), help="Channels of the teacher, as in -o channels=N of the method.")
@click.option("--divisor", type=click.IntRange(1, 32), help="Divides all widths, as in -o divisor=N of the method.")
@click.option("--seed", default=0, show_default=True, type=click.IntRange(0, 2**31 - 1))
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda, cuda:N or mps.")
@click.option(
    "--amp",
    default="auto",
    show_default=True,
    type=click.Choice(["auto", "off", "bf16"]),
    help="Precision of the teacher's training; off is fp32.",
)
def distil(images: Path, output: Path, preset: str, device: str, amp: str, **changes: Any) -> None:
    """Distil a teacher: a small network that imitates a large one on pictures.

    A stopped distillation goes on where it was saved last, at most five minutes before, if the command is given again.
    """
    try:
        from adbench.api import devices

        from .distil import Distillation

        place = devices.resolve_device(device)
        precision = devices.resolve_amp(amp, place)
        given = {key: value for key, value in changes.items() if value is not None}
        chosen = replace(recipe_of(preset), amp="bf16" if precision == "bf16" else "off", **given)
        with progress() as watch:
            distillation = Distillation(chosen, images, place)
            for line in distillation.pictures.remarks(f"folder {images}"):
                click.echo(line, err=True)
            distillation.run(output, watch)
    except AdbenchError as error:
        failure = click.ClickException(str(error))
        failure.exit_code = error.exit_code
        raise failure from error
    click.echo(output)


def recipe_of(preset: str) -> Recipe:
    """The recipe of a preset, which makes a teacher for the method's preset of that name."""
    from .distil import Recipe

    options: Any = PRESETS[preset].options
    recipe = Recipe(network=options.network, channels=options.channels, divisor=options.divisor)
    if preset != "cpu":
        return recipe
    return replace(
        recipe, backbone="efficientnet_lite0", layers=(1, 2, 3), iterations=800, batch_size=4, lr=1e-3, statistics=400
    )


@contextmanager
def progress() -> Iterator[Watch]:
    """Show the progress and the time left: a bar on a terminal, in a log a line now and then."""
    console = Console(stderr=True)
    if console.is_terminal:
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        with Progress(*columns, console=console, transient=True) as bars:
            yield _bar(bars)
    else:
        yield _lines(console)


def _bar(bars: Progress) -> Watch:
    tasks: dict[str, Any] = {}

    def watch(work: str, done: int, total: int, loss: float | None) -> None:
        if work not in tasks:
            tasks[work] = bars.add_task(work, total=total, completed=done - 1)
        text = work if loss is None else f"{work}: loss {loss:.4f}"
        bars.update(tasks[work], completed=done, description=text)

    return watch


def _lines(console: Console) -> Watch:
    began: dict[str, tuple[float, int]] = {}
    said = time.monotonic()

    def watch(work: str, done: int, total: int, loss: float | None) -> None:
        nonlocal said
        now = time.monotonic()
        start, first = began.setdefault(work, (now, done))
        if now - said < LOG_EVERY and done < total:
            return
        said = now
        left = (now - start) * (total - done) / max(done - first, 1)
        shown = "" if loss is None else f", loss {loss:.4f}"
        console.print(f"{work} {done}/{total}, {left / 60:.0f} min left{shown}", highlight=False, soft_wrap=True)

    return watch


if __name__ == "__main__":
    main(prog_name="python -m adbench_plugins.efficientad")
