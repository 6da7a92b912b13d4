"""The command ``figure``: figures for papers from stored results."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ..api.scores import MAIN_METRICS
from ..util.errors import UsageError
from . import options as arguments
from . import values
from .console import print_path, say, status_line, warn
from .gathered import gathered
from .groups import CommandGroup
from .selection import Chosen, LookedUp

if TYPE_CHECKING:
    from ..api.data import Setting
    from ..report.plots.pareto import Against
    from ..report.ranks import Unit
    from ..results.records import Result
    from ..util.threads import Choice

FOLDER = "figures"
"""Default folder of figures, below that of the results."""


def _output(kind: str, width: float) -> Callable[[arguments.Command], arguments.Command]:
    """Add ``--output`` and ``--width``."""

    def add(command: arguments.Command) -> arguments.Command:
        place = click.option(
            "-o", "--output", type=click.Path(path_type=Path),
            help=f"FILE.svg or FILE.pdf.  [default: RESULTS/{FOLDER}/{kind}.svg]",
        )  # fmt: skip
        wide = click.option(
            "--width", type=click.FloatRange(2, 20), default=width, show_default=True, callback=arguments.no_nan,
            help="Width in inches.",
        )  # fmt: skip
        return place(wide(command))

    return add


@click.group("figure", cls=CommandGroup)
def figure() -> None:
    """Draw figures for papers, as SVG or PDF.

    \b
    adbench figure pareto -d demo -o pareto.pdf
    adbench figure ranks --over classes -o ranks.svg
    adbench figure curves -d demo -c brick -o curves.svg
    adbench figure maps -d demo -c brick --count 3 -o maps.pdf

    Fonts are embedded, colours can be told apart in grey, and the same results give the same file. Figures need
    Matplotlib: pip install -e ".[figures]".
    """  # noqa: D301 - the backspace is click's mark for "do not wrap"


@figure.command("pareto")
@_output("pareto", 5.5)
@arguments.results_option
@arguments.chosen
@arguments.metric_option
@click.option(
    "--against", type=click.Choice(["images/s", "ms"]), default="images/s", show_default=True,
    help="Speed, or the time for an image.",
)  # fmt: skip
@arguments.setting_filter
@arguments.looked_up
@arguments.debug_option
@gathered("asked", LookedUp)
def pareto(output: Path | None, width: float, asked: LookedUp, metric: str, against: Against,
           setting: Setting | None) -> None:  # fmt: skip
    """Draw accuracy against speed, with the Pareto front.

    On the front are the variants that no other one beats in both.

    \b
    adbench figure pareto -d demo --metric pixel_auroc --against ms -o pareto.pdf
    """  # noqa: D301
    from ..report import frontier
    from ..report.plots import pareto as plot
    from ..report.plots import style
    from ..results.variants import boards

    place = _place(output, asked.results, "pareto")
    style.require()
    chosen = values.metric(metric)
    counting = asked.counting(setting)
    several = boards(counting.results, names=counting.names)
    if len(several) > 1:
        found = f"results of {', '.join(board.name for board in several)}"
        hint = "Choose it with -d DATASET"
        raise UsageError("adbench figure pareto", found=found, wanted="those of one data set", hint=hint)
    drawn = frontier.of_board(several[0], counting.results, chosen, names=counting.names)
    if drawn.left_out:
        say(f"Left out, since they don't rank or have no speed: {', '.join(drawn.left_out)}.")
    with style.settings():
        _written(style.write(plot.draw(drawn, against=against, width=width), place), place)


@figure.command("ranks")
@_output("ranks", 6.0)
@arguments.results_option
@arguments.chosen
@arguments.metric_option
@click.option(
    "--over", "unit", type=click.Choice(["datasets", "classes"]), default="datasets", show_default=True,
    help="What counts once.",
)  # fmt: skip
@arguments.setting_filter
@arguments.looked_up
@arguments.debug_option
@gathered("asked", LookedUp)
def ranks(output: Path | None, width: float, asked: LookedUp, metric: str, unit: Unit, setting: Setting | None) -> None:
    """Draw the critical-difference diagram: mean ranks over data sets or classes.

    Bars join variants whose mean ranks differ by no more than Nemenyi's critical difference.

    \b
    adbench figure ranks --over classes -d demo -o ranks.pdf
    """  # noqa: D301
    from ..report import ranks as ranking
    from ..report.plots import ranks as plot
    from ..report.plots import style
    from ..results.variants import boards

    place = _place(output, asked.results, "ranks")
    style.require()
    chosen = values.metric(metric)
    counting = asked.counting(setting)
    found = ranking.ranked(boards(counting.results, names=counting.names), chosen, unit)
    with style.settings():
        _written(style.write(plot.draw(found, width=width), place), place)


@figure.command("curves")
@click.argument("runs", nargs=-1, metavar="[RUN...]")
@_output("curves", 7.0)
@arguments.results_option
@arguments.chosen
@click.option("--all", "every", is_flag=True, help="All stored runs.")
@click.option(
    "--metric", "metrics", multiple=True,
    help="Draw this metric; may be given several times.  [default: image_auroc, pixel_auroc, aupro]",
)  # fmt: skip
@arguments.debug_option
@gathered("asked", Chosen)
def curves(runs: Sequence[str], output: Path | None, width: float, asked: Chosen, every: bool,
           metrics: Sequence[str]) -> None:  # fmt: skip
    """Draw loss and metrics by epoch.

    RUN is a name as in `adbench list runs`, a variant such as padim:cpu or brick/padim:cpu/seed0, any part of
    DATASET/CLASS/METHOD/RUN that only one run has, or a folder.

    \b
    adbench figure curves -d demo -c brick --metric image_auroc -o curves.pdf
    """  # noqa: D301
    from ..report.plots import curves as plot
    from ..report.plots import style
    from ..results.run_files import folder_of, read_epochs

    place = _place(output, asked.results, "curves")
    style.require()
    chosen = tuple(values.metric(name) for name in metrics) or MAIN_METRICS
    found = [
        plot.Curve(label, run, read_epochs(folder_of(asked.results, run), run))
        for label, run in _runs("curves", asked, runs, every=every)
    ]
    with style.settings():
        made = plot.draw(found, chosen, width=width)
        without = plot.without_curve(found, chosen)
        if without:
            say(f"Trained or evaluated in a single epoch, so without a curve: {', '.join(without)}.")
        _written(style.write(made, place), place)


@figure.command("maps")
@click.argument("runs", nargs=-1, metavar="[RUN...]")
@_output("maps", 7.0)
@arguments.results_option
@arguments.chosen
@click.option(
    "--image", "images", multiple=True, metavar="PART",
    help="A test image: its path in scores.csv, or any part that only one has; may be given several times.",
)  # fmt: skip
@click.option(
    "--count", type=click.IntRange(1, 20), default=4, show_default=True,
    help="Without --image: so many defective images, each type in turn, from the middle of its scores.",
)  # fmt: skip
@arguments.reopened
@arguments.debug_option
@gathered("asked", LookedUp)
def maps(runs: Sequence[str], output: Path | None, width: float, asked: LookedUp, images: Sequence[str], count: int,
         device: str, threads: Choice) -> None:  # fmt: skip
    """Draw test images of a class and the maps of runs.

    A row has an image, its ground truth, and the maps of up to 8 runs over it.

    RUN is a name as in `adbench list runs`, a variant such as padim:cpu or brick/padim:cpu/seed0, any part of
    DATASET/CLASS/METHOD/RUN that only one run has, or a folder.
    The images are scored again with each run's last.pt.

    \b
    adbench figure maps -d demo -c brick --image crack/003 --image hole/001 -o maps.pdf
    """  # noqa: D301
    from ..report.plots import maps as plot
    from ..report.plots import style
    from ..run import montage
    from ..run.reopen import Reopener

    place = _place(output, asked.results, "maps")
    style.require()
    chosen = _runs("maps", asked, runs)
    values.compute_with(threads, say)
    reopener = Reopener(asked.registry, asked.data_roots, device, results=asked.results)
    with status_line() as show:
        made = montage.make(chosen, asked.results, reopener, images=images, count=count, watch=show)
    say(plot.described(made))
    with style.settings():
        _written(style.write(plot.draw(made, width=width), place), place)


def _place(output: Path | None, results: Path, kind: str) -> Path:
    """The file to write. Raises ``UsageError`` for another format than SVG and PDF, before anything is computed."""
    from ..report.plots import style

    place = output or results / FOLDER / f"{kind}.svg"
    style.suffix_of(place)
    return place


def _written(warnings: Sequence[str], place: Path) -> None:
    for each in warnings:
        warn(each)
    print_path(place)


def _runs(kind: str, asked: Chosen, runs: Sequence[str], *, every: bool | None = None) -> list[tuple[str, Result]]:
    """The chosen runs with labels that tell them apart: the variant, and the class and the seed where these differ."""
    chosen = asked.runs(f"adbench figure {kind}", runs, every=every)
    if not chosen:
        raise UsageError(
            f"adbench figure {kind}", found=f"no such run in {asked.results}", hint="See adbench list runs"
        )
    names = asked.names_of(chosen)
    places = {f"{run.dataset}/{run.class_name}" for run in chosen}
    by_data = len({run.dataset for run in chosen}) > 1
    seeds = len({run.seed for run in chosen}) > 1

    def label(run: Result) -> str:
        where = (f"{run.dataset}/{run.class_name}" if by_data else run.class_name) if len(places) > 1 else ""
        return ", ".join(filter(None, (names.of(run), where, f"seed {run.seed}" if seeds else "")))

    return [(label(run), run) for run in chosen]
