"""The command ``export``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ..util.errors import DataError, TaskError
from . import options as arguments
from . import values
from .console import counted, load_plugins, print_path, print_tables, say, status_line

if TYPE_CHECKING:
    from ..api.data import Sample
    from ..api.registry import Registry
    from ..results.records import Result
    from ..run.export.facts import Input, Target
    from ..run.export.job import Exported
    from ..run.trained import TrainedModel
    from ..util.threads import Choice


@dataclass(frozen=True, eq=False)
class _Stored:
    """The result beside a checkpoint, of one class, and its folder; None where the file was copied without it."""

    folder: Path
    result: Result | None


@click.command(short_help="Write a model as one file for ONNX, OpenVINO or torch, and prove that it scores alike.")
@click.argument("run", metavar="RUN")
@click.option(
    "--to", "target", type=click.Choice(["onnx", "openvino", "torch"]), default="onnx", show_default=True,
    help="Format of the file.",
)  # fmt: skip
@click.option(
    "-o", "--output", type=click.Path(path_type=Path),
    help="The file; its name ends in .onnx, .xml or .pt2.  [default: METHOD-CLASS with that end, here]",
)  # fmt: skip
@click.option(
    "--input", "kind", type=click.Choice(["uint8", "float"]), default="uint8", show_default=True,
    help="uint8 takes RGB images (B, H, W, 3) as they are decoded; float takes (B, 3, H, W) in [0, 1].",
)  # fmt: skip
@click.option("--image-size", metavar="HxW", help="Take images of this size alone.  [default: any size]")
@click.option(
    "--class", "-c", "class_name", metavar="NAME", help="Whose threshold it has, of a model of several classes."
)
@click.option(
    "--images", "folder", type=click.Path(path_type=Path), metavar="DIR",
    help="Compare on the images in this folder, without metrics.  [default: the run's test images]",
)  # fmt: skip
@click.option("--accept", is_flag=True, help="Keep the file even if it scores otherwise than the model.")
@click.option("--weights", type=click.Path(path_type=Path), help="State dict of the backbone, where it isn't at hand.")
@arguments.results_option
@arguments.looked_up
@arguments.threads_option
@arguments.megapixels_option
@arguments.format_option
@arguments.debug_option
def export(run: str, target: Target, output: Path | None, kind: Input, image_size: str | None, class_name: str | None,
           folder: Path | None, accept: bool, weights: Path | None, results: Path, data_roots: Sequence[Path],
           plugin_files: tuple[Path, ...], threads: Choice, format_: str) -> None:  # fmt: skip
    """Write a trained model as one file, and run both on test images.

    The file goes from images as they are decoded to score, map and verdict: resizing and threshold are inside. It is
    refused if a score differs by more than a thousandth of the scores' spread, or an AUROC by more than 0.02 points.

    RUN is a name as in `adbench list runs`, a variant such as padim:cpu or brick/padim:cpu/seed0, any part of
    DATASET/CLASS/METHOD/RUN that only one run has, its folder,
    or a checkpoint.

    \b
    adbench export padim --to onnx -o padim.onnx
    """  # noqa: D301 - the backspace is click's mark for "do not wrap"
    from ..report import exports
    from ..results.find import find_checkpoint
    from ..run.export.facts import SUFFIXES
    from ..run.export.job import Plan
    from ..run.export.job import export as carry_out
    from ..run.export.program import refuse
    from ..run.trained import open_model
    from ..util.text import safe_name

    checkpoint = find_checkpoint(run, results, thing=f"adbench export {run}")
    registry = load_plugins(plugin_files)
    values.compute_with(threads, say)
    model = open_model(checkpoint, registry, device="cpu", weights=weights, changes={"amp": "off"})
    name = model.class_named(class_name)
    output = output or Path(f"{safe_name(model.method.name)}-{safe_name(name)}{SUFFIXES[target]}")
    plan = Plan(target, output, kind, values.size("--image-size", image_size), name, accept, _threads())
    refuse(model)
    plan.require()
    stored = _stored(checkpoint, name)
    samples = _samples(stored, folder, registry, data_roots)
    with status_line() as show:
        made = carry_out(model, samples, plan, counted(show, f"export {model.method.name}"))
    print_tables(exports.tables(made, target, _precision(model, stored)), format_)
    _judge(made, output)


def _judge(made: Exported, output: Path) -> None:
    """Print the files, or raise ``TaskError`` where there is none."""
    if not made.files:
        raise TaskError(f"{output} is not written", found=made.check.problem, hint="Keep it anyway with --accept")
    if made.check.problem:
        say(f"Kept by --accept: {made.check.problem}.")
    for path in made.files:
        print_path(path)


def _threads() -> int:
    import torch

    return torch.get_num_threads()


def _stored(checkpoint: Path, class_name: str) -> _Stored:
    """The result of a class beside its checkpoint; a model of several classes has a folder of each."""
    from ..results import result_file
    from ..util.text import safe_name

    run = checkpoint.absolute().parent
    method = run.parent
    folder = method.parent.parent / safe_name(class_name) / method.name / run.name
    place = folder if (folder / result_file.RESULT).is_file() else run
    is_there = (place / result_file.RESULT).is_file()
    return _Stored(place, result_file.read(place / result_file.RESULT) if is_there else None)


def _samples(stored: _Stored, folder: Path | None, registry: Registry, data_roots: Sequence[Path]) -> Sequence[Sample]:
    """The images on which model and file are compared."""
    from ..run.export.check import images_in
    from ..run.reopen import Reopener

    if folder is not None:
        return images_in(folder)
    hint = "Give a folder with --images DIR"
    if stored.result is None:
        raise DataError("test images", found="a checkpoint without its result", wanted="a run", hint=hint)
    try:
        above = stored.folder.parents  # RESULTS/DATASET/CLASS/METHOD/RUN, unless it was copied
        beside = above[3] if len(above) > 3 else None
        return Reopener(registry, data_roots, "cpu", results=beside).task(stored.result).test
    except DataError as error:
        raise DataError(**{**error.parts, "hint": f"{error.parts['hint']}, or {hint[0].lower()}{hint[1:]}"}) from error


def _precision(model: TrainedModel, stored: _Stored) -> list[str]:
    """A line about the precision of the run, if the file has another one."""
    trained = str(model.saved.options.get("amp", "off"))
    if trained == "off":
        return []
    return [f"The run computed in {trained}. The file, and the model beside it here, compute in float32."]
