"""Decides the levels of images of more than 8 bits, once for all images of a model, from its training images.

What was found in a file is remembered in the cache. Of an image of 8 bits only the head is read.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from PIL import Image, UnidentifiedImageError

from ..api.data import Sample, Task
from ..api.levels import UNKNOWN, Levels
from ..util.digests import Digests, Signature, Watch
from ..util.errors import OptionError
from ..util.text import plural
from . import deep, image_files
from .deep import Deep, Depth, Kind, levels_for

INDEX = "depths-2.sqlite"
"""The file in the cache; another number makes it anew."""

LITTLE = 1 / 4
"""Share of the levels below which the training images use few of the 256 grey levels."""

_KINDS: Mapping[str, Kind] = {"8": "8 bits", "i": "integers", "f": "floats"}

Depths = Mapping[Path, Depth]


def look(
    paths: Iterable[Path], watch: Watch | None = None, *, known: Mapping[Path, Signature | None] | None = None
) -> dict[Path, Depth]:
    """What images are; those that can't be read are left out.

    Args:
        paths: of the images.
        watch: called with the progress where files must be opened.
        known: the present signatures of the files, if they were looked up before.
    """
    index = Digests(name=INDEX, read=_text_of)
    with image_files.quiet():
        texts = index.of(paths, watch, known=known)
    return {path: parsed_depth(text) for path, text in texts.items() if text is not None}


def decide(
    tasks: Sequence[Task], given: Levels | None = None, seen: Depths | None = None, source: str = "--range"
) -> list[Task]:
    """Decide the levels of the images of one model, and put them into its samples.

    Args:
        tasks: of the classes of the model.
        given: what the user asked for; by default they are found over the training images.
        seen: what their images are, if they were looked at before.
        source: what gave ``given``: the option, or the name of the data set's own file.

    Returns:
        The tasks, with a remark where levels count; a task is unchanged where all images have 8 bits.

    Raises:
        OptionError: levels are given, but no image has more than 8 bits.
    """
    depths = look(sample.path for task in tasks for _, sample in task.used()) if seen is None else seen
    if given is not None and depths and not any(each.is_deep for each in depths.values()):
        key = "" if source == "--range" else ": range"
        raise OptionError(f"{source}{key} {given.text}", found="images of 8 bits", wanted="images of more than 8 bits")
    trained = [depths[sample.path] for task in tasks for sample in task.train if sample.path in depths]
    levels = given or levels_for(trained) or UNKNOWN
    return [_with_remark(task, levels, depths, source if given else "the training images") for task in tasks]


def decided(task: Task, levels: Levels | None, source: str = "the run") -> Task:
    """A task with the levels of a stored model, and with a remark on them; ``source`` says what decided them.

    With None, images of more than 8 bits are refused.
    """
    return _with_remark(task, levels or UNKNOWN, look(sample.path for _, sample in task.used()), source)


def _with_remark(task: Task, levels: Levels, depths: Depths, source: str) -> Task:
    made = _with_levels(task, levels, depths)
    if made.levels is None:
        return made
    remark = _remark(made, made.levels, depths, source)
    return made if remark in made.remarks else replace(made, remarks=(remark, *made.remarks))


def _with_levels(task: Task, levels: Levels, depths: Depths) -> Task:
    """The task whose images of more than 8 bits have these levels; the same one if it has none.

    Images of test splits that are not scored were not looked at. They have the levels as well: with 8 bits they don't
    count.
    """
    used = {sample.path for _, sample in task.used()}

    def of(samples: tuple[Sample, ...]) -> tuple[Sample, ...]:
        return tuple(
            replace(each, levels=levels if _is_deep(each, depths) or each.path not in used else None)
            for each in samples
        )

    if not any(sample.levels or _is_deep(sample, depths) for _, sample in task.used()):
        return task
    tests = {name: of(samples) for name, samples in task.tests.items()}
    return replace(
        task,
        train=of(task.train),
        validation=of(task.validation),
        test=of(task.test),
        tests=tests,
        levels=levels if levels.is_known and any(_is_deep(sample, depths) for _, sample in task.used()) else None,
    )


def reading_facts(depth: Depth | None) -> tuple[object, ...]:
    """What a digest of an image says of how it is read: nothing of an upright one of 8 bits.

    Earlier versions read others in another way, so their numbers are told from those of now.
    """
    if depth is None:
        return ()
    turned = ("turned", depth.orientation) if depth.orientation != 1 else ()
    return (*turned, *(("at full depth",) if depth.is_deep else ()))


def _is_deep(sample: Sample, depths: Depths) -> bool:
    return sample.path in depths and depths[sample.path].is_deep


def _remark(task: Task, levels: Levels, depths: Depths, source: str) -> str:
    """One line on the levels of a class, with what they clip and how much of them is used."""
    trained, others = (
        [depths[sample.path] for sample in samples if _is_deep(sample, depths)]
        for samples in (task.train, (*task.validation, *task.test))
    )
    text = f"{levels.black:.9g} is black and {levels.white:.9g} white in images of more than 8 bits, by {source}"
    high = max((each.high for each in trained), default=levels.white)
    if trained:
        text += f" (values {min(each.low for each in trained):.9g} to {high:.9g})"
    clipped = [
        f"{plural(count, f'{what} image')}"
        for what, part in (("training", trained), ("test", others))
        if (count := sum(levels.clips(each.low, each.high) for each in part))
    ]
    if clipped:
        text += f"; values beyond are clipped in {' and '.join(clipped)}"
    own = f"{task.dataset}/{task.class_name}"
    if high - levels.black < LITTLE * (levels.white - levels.black) and not any(each.own_white for each in trained):
        share = max(high - levels.black, 0) / (levels.white - levels.black)
        wanted = f"--range {levels.black:.9g}:{high:.9g}" if high > levels.black else "another --range"
        return f"Warning: {own}: {text}. They use {share:.1%} of that; {wanted} shows more."
    return f"{own}: {text}."


# ---------------------------------------------------------------- looking at one file


def _text_of(path: Path) -> str | None:
    depth = _depth_of(path)
    return None if depth is None else depth_text(depth)


def depth_text(depth: Depth) -> str:
    """What an image is, in one line for an index; ``parsed_depth`` reads it."""
    return f"{depth.kind[0]} {depth.orientation} {depth.low!r} {depth.high!r} {depth.own_white!r}"


def parsed_depth(text: str) -> Depth:
    """Read what ``depth_text`` wrote."""
    kind, orientation, *values = text.split(" ")
    low, high, own_white = map(float, values)
    return Depth(_KINDS[kind], int(orientation), low, high, own_white)


def _depth_of(path: Path) -> Depth | None:
    """What an image is; None if it can't be read, which decoding it says with the reason."""
    try:
        with path.open("rb") as stream:
            image = Image.open(stream)
            if not deep.is_deep(image):
                return Depth(orientation=1 if image.format == "TIFF" else deep.orientation_of(image))
    except UnidentifiedImageError:
        pass  # perhaps a TIFF of a kind that Pillow does not know
    except Exception:  # broken bytes make Pillow raise errors of any type
        return None
    try:
        found = image_files.values_of(path, image_files.bytes_of(path, "the image"))
        return found.depth if isinstance(found, Deep) else Depth(orientation=deep.orientation_of(found))
    except (image_files.BadError, ValueError):
        return None
