"""The command ``speed``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from . import options as arguments
from . import values
from .console import load_plugins, print_tables, say, status_line

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..api.data import Size
    from ..results.speeds import Speed
    from ..run.speed import Effort
    from ..util.threads import Choice


@click.command(short_help="Measure latency and memory of a model, or of an exported file.")
@click.argument("run", metavar="RUN|FILE")
@click.option("--size", "sizes", multiple=True, metavar="HxW",
              help="Measure this size; repeatable.  [default: the run's own, 256, 512, 1024]")  # fmt: skip
@click.option("--seconds", type=click.FloatRange(min=0), default=3.0, show_default=True, callback=arguments.no_nan,
              help="Measure each size and batch for about so long.")  # fmt: skip
@click.option("--largest-batch", type=click.IntRange(min=1), default=64, show_default=True,
              help="Look for the best batch up to so many images.")  # fmt: skip
@click.option("--weights", type=click.Path(path_type=Path), help="State dict of the backbone, where it isn't at hand.")
@click.option("--trust", is_flag=True, help="Open a .pt2 FILE, though it may run any code of whoever wrote it.")
@arguments.results_option
@arguments.plugin_option
@arguments.device_option
@arguments.threads_option
@arguments.format_option
@arguments.debug_option
def speed(run: str, sizes: Sequence[str], seconds: float, largest_batch: int, weights: Path | None, trust: bool,
          results: Path, plugin_files: tuple[Path, ...], device: str, threads: Choice,
          format_: str) -> None:  # fmt: skip
    """Measure how long scoring takes: from decoded images on the host to scores and maps on the host.

    One image at a time, and the batch with the most images per second; median and 95th percentile after a warm-up,
    and the peak of memory. The measurement of a RUN is stored beside its result, and shown by `adbench leaderboard`.

    RUN is a name as in `adbench list runs`, any part of it that only one run has, its folder, or a checkpoint; FILE is
    one that `adbench export` wrote.

    \b
    adbench speed padim
    adbench speed padim.onnx
    """  # noqa: D301 - the backspace is click's mark for "do not wrap"
    from ..report import speeds as tables
    from ..run.export.runners import target_of
    from ..run.speed import Effort

    wanted = [size for text in sizes if (size := values.size("--size", text))] or None
    effort = Effort(seconds, largest_batch)
    values.compute_with(threads, say)
    if target_of(Path(run)) is not None:
        with status_line() as show:
            found = _of_file(Path(run), trust, wanted, effort, show)
    else:
        found = _of_run(run, results, plugin_files, device, weights, wanted, effort)
    print_tables([tables.table(found)], format_)


def _of_file(
    path: Path, trust: bool, sizes: Sequence[Size] | None, effort: Effort, show: Callable[[str], None]
) -> Speed:
    import torch

    from ..run import speed as measuring
    from ..run.export.runners import open_file

    runner = open_file(path, torch.get_num_threads(), trust=trust)
    return measuring.of_file(runner, sizes=sizes, effort=effort, watch=show)


def _of_run(
    run: str, results: Path, plugin_files: Sequence[Path], device: str, weights: Path | None,
    sizes: Sequence[Size] | None, effort: Effort,
) -> Speed:  # fmt: skip
    """Measure a run, and store it beside its result if there is one."""
    from ..results import speeds
    from ..results.find import find_checkpoint
    from ..results.result_file import RESULT
    from ..run import speed as measuring

    checkpoint = find_checkpoint(run, results, thing=f"adbench speed {run}")
    registry = load_plugins(plugin_files)
    with status_line() as show:
        found = measuring.of_model(
            checkpoint, registry, device=device, weights=weights, sizes=sizes, effort=effort, watch=show
        )
    if found.tiled:
        say("Not stored, since these are the times of single tiles: images of this run are cut into several.")
    elif not (checkpoint.parent / RESULT).is_file():
        say("Not stored, since there is no result beside the checkpoint.")
    elif found.latency() is None:
        say("Not stored, since the run's own size was not measured.")
    else:
        say(f"Stored in {speeds.write(checkpoint.parent, found)}.")
    return found
