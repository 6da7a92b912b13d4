"""The command ``predict``: scores new images with a trained model."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ..util.errors import DataError, UsageError, absent
from ..util.text import duration, plural, printable
from . import options as arguments
from . import values
from .console import load_plugins, now_and_then, say, status_line, warn
from .image_options import range_option

if TYPE_CHECKING:
    from ..api.levels import Levels
    from ..data.sources import Source
    from ..run.predict import Predictor
    from ..util.threads import Choice
    from .predictions import Format, Writer

NAMED = 3
"""Files that were passed over which a message names."""


@click.command(short_help="Score new images with a trained model.")
@click.argument("run", metavar="RUN")
@click.argument("images", nargs=-1, metavar="[IMAGES]...")
@click.option("--maps", type=click.Path(path_type=Path), metavar="DIR", help="Write the anomaly map over each image.")
@click.option(
    "--watch", type=click.Path(path_type=Path), metavar="DIR", help="Score the images in DIR, and go on as more arrive."
)
@click.option(
    "--idle", type=click.FloatRange(min=0), metavar="SECONDS", help="End --watch after so long without a new image."
)
@click.option("--fail-on-anomaly", is_flag=True, help="Exit code 1 if an image is defective.")
@click.option("--threshold", type=float, metavar="SCORE", help="A score above it is defective.  [default: the run's]")
@click.option("--class", "-c", "class_name", metavar="NAME", help="Class of the images, for a model of several.")
@click.option("--log", type=click.Path(path_type=Path), metavar="FILE", help="Append the scores, for adbench drift.")
@click.option(
    "--format", "format_", type=click.Choice(["table", "csv", "jsonl"]), default="table", show_default=True,
    help="A row per image, written as soon as it is scored.",
)  # fmt: skip
@click.option("--weights", type=click.Path(path_type=Path), metavar="FILE", help="Weights of the backbone.")
@range_option("that of the training")
@arguments.device_option
@arguments.threads_option
@arguments.megapixels_option
@arguments.results_option
@arguments.plugin_option
@arguments.debug_option
def predict(run: str, images: Sequence[str], maps: Path | None, watch: Path | None, idle: float | None,
            fail_on_anomaly: bool, threshold: float | None, class_name: str | None, log: Path | None, format_: Format,
            weights: Path | None, levels: Levels | None, device: str, threads: Choice, results: Path,
            plugin_files: tuple[Path, ...]) -> None:  # fmt: skip
    """Score new images with the model of RUN; no training images are needed.

    RUN is a name of adbench list runs, a variant such as brick/padim:cpu, a run's folder, or a copied checkpoint
    (last.pt). IMAGES are files, folders, patterns, or - for a list of them on standard input. Exit code 1 if an image
    can't be read.

    \b
    adbench predict cpu-seed0-1a2b3c4d new/ --maps maps/
    ls new/*.png | adbench predict last.pt - --format csv > scores.csv
    adbench predict last.pt --watch incoming/ --fail-on-anomaly
    """  # noqa: D301 - the backspace is click's mark for "do not wrap"
    groups, total, places = _groups(images, watch, idle)
    if maps is not None:
        _require_apart(maps, places)
    registry = load_plugins(plugin_files)
    values.compute_with(1 if threads == "auto" and total is not None and total < 2 else threads, say)
    from ..run import predict as predicting
    from .predictions import Writer

    predictor = predicting.load(
        run, results=results, class_name=class_name, threshold=threshold, device=device, weights=weights,
        registry=registry, levels=(levels.black, levels.white) if levels else None,
    )  # fmt: skip
    say(predicting.describe(predictor.model))
    _say_threshold(predictor, needed=fail_on_anomaly)
    writer = Writer(predictor, format_, maps=maps, log=log)
    _score(predictor, groups, total, writer, stop=fail_on_anomaly and watch is not None)
    _end(writer, fail_on_anomaly)


def _groups(
    images: Sequence[str], watch: Path | None, idle: float | None
) -> tuple[Iterator[Sequence[Source]], int | None, list[Path]]:
    """The images to score, group by group; their number, None if more may arrive; and the files and folders named.

    Raises:
        UsageError: no images, or both images and a folder to watch.
    """
    from ..data import sources

    if watch is not None and images:
        raise UsageError("--watch and IMAGES", found="both", wanted="one of them")
    if watch is None and idle is not None:
        raise UsageError("--idle", found="no --watch", wanted="a folder to watch")
    if watch is not None:
        return sources.arriving(watch, idle=idle, tell_masks=_say_masks), None, [watch]
    if not images:
        raise UsageError("IMAGES", found="none", wanted="files, folders, patterns or -", hint="Or give --watch DIR")
    named = [name for each in images for name in (_listed() if each == "-" else [each])]
    found = sources.find(named)
    if found.passed_over:
        say(f"{plural(len(found.passed_over), 'file')} passed over, no image by the suffix: {_some(found.passed_over)}")
    if found.masks:
        _say_masks(found.masks)
    if found.named_masks:
        count = plural(len(found.named_masks), "named file")
        say(f"{count} called as the mask of another one, but scored: {_some(found.named_masks)}")
    if not found.images:
        what = f"no image but {plural(len(found.masks), 'mask')}" if found.masks else "no image"
        hint = "Name the files or their folder to score them" if found.masks else ""
        raise DataError(f"images {', '.join(named[:NAMED])}", found=what, wanted="at least one", hint=hint)
    if not any(each.path.exists() for each in found.images):  # before a model is loaded for nothing
        first = found.images[0].path
        what = f"image {first}" if len(found.images) == 1 else f"all {len(found.images)} images, the first {first}"
        raise DataError(what, found=absent(first, "file"), wanted="files, folders, patterns or -")
    return (
        iter([found.images]),
        len(found.images),
        [Path(name) for name in named] + [each.path for each in found.images],
    )


def _some(paths: Sequence[Path]) -> str:
    """The first of some files by name."""
    more = ", ..." if len(paths) > NAMED else ""
    return ", ".join(printable(path.name) for path in paths[:NAMED]) + more


def _say_masks(masks: Sequence[Path]) -> None:
    """Say which files are not scored, since they are masks by their names or folders."""
    count = plural(len(masks), "mask")
    say(f"{count} passed over, beside an image or in a folder of masks: {_some(masks)}")


def _require_apart(maps: Path, places: Sequence[Path]) -> None:
    """Refuse a folder of maps with or within the images: maps would replace images, or be scored as such.

    Raises:
        UsageError: it is such a folder.
    """
    folder = maps.resolve()
    for place in {each.resolve() for each in places}:
        if folder == place or folder in place.parents or (place.is_dir() and place in folder.parents):
            raise UsageError(
                f"--maps {maps}", found=f"{place}, which is to be scored, there",
                wanted="a folder apart from the images",
            )  # fmt: skip


def _listed() -> list[str]:
    """The names on standard input, one in a line."""
    return [line for line in (line.rstrip("\r\n") for line in sys.stdin) if line]


def _say_threshold(predictor: Predictor, *, needed: bool) -> None:
    """Say where the threshold comes from, and what is wrong with it.

    Raises:
        UsageError: there is none, and a verdict is ``needed``.
    """
    if predictor.threshold is None:
        if needed:
            raise UsageError(
                "--fail-on-anomaly", found="a model without a threshold", wanted="one",
                hint="Give --threshold SCORE",
            )  # fmt: skip
        say("The model has no threshold, so there is no verdict. Give --threshold SCORE.")
    elif predictor.stored is not None:
        say(f"Defective above {predictor.threshold:.6g} ({predictor.stored.rule}).")
        if predictor.stored.useless:
            warn(
                f"this threshold is useless: {predictor.stored.useless}. "
                "Train again with --holdout 0.1 or --target-false-alarms 1%, or give --threshold SCORE."
            )


def _score(
    predictor: Predictor, groups: Iterator[Sequence[Source]], total: int | None, writer: Writer, *, stop: bool
) -> None:
    """Score and write one image after the other; with ``stop`` only up to the first defective one."""
    began = time.monotonic()
    rows_are_seen = sys.stdout.isatty()  # a line that changes would be torn by them
    with nullcontext(now_and_then()) if rows_are_seen else status_line() as show:
        writer.begin()
        for group in groups:
            for source, each in zip(group, predictor.stream(group), strict=True):
                writer.write(source, each)
                if not rows_are_seen:
                    show(_progress(writer.done, total, time.monotonic() - began))
                if stop and writer.defective:
                    return


def _progress(done: int, total: int | None, seconds: float) -> str:
    """How far it is: "12 of 40 images, 3 s left"."""
    if total is None:
        return plural(done, "image")
    return f"{done} of {plural(total, 'image')}, {duration(seconds / done * (total - done))} left"


def _end(writer: Writer, fail_on_anomaly: bool) -> None:
    """Say how many there were, and exit with the right code."""
    parts = [plural(writer.done, "image")]
    if writer.judged:
        parts.append(f"{writer.defective} defective")
    if writer.unreadable:
        parts.append(f"{writer.unreadable} unreadable")
    if writer.clipped:
        parts.append(f"{writer.clipped} clipped (with values beyond {writer.predictor.levels.text})")
    if writer.dark:
        parts.append(
            f"{writer.dark} nearly black (read with {writer.predictor.levels.text}; --range gives another one)"
        )
    say(", ".join(parts) + ".")
    if writer.unreadable or (fail_on_anomaly and writer.defective):
        raise click.exceptions.Exit(1)
