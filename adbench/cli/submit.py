"""The command ``submit``: maps of private test images for a data set's server."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ..util.errors import AdbenchError, ResultError, UsageError, absent, reason
from ..util.sizes import bytes_text
from . import options as arguments
from . import values
from .console import load_plugins, print_path, print_tables, say, status_line, warn
from .selection import read, without_stale

if TYPE_CHECKING:
    from ..api.data import Dataset, Size
    from ..api.facts import Facts, Submission
    from ..api.registry import Registry
    from ..run.submission.layout import Private
    from ..util.threads import Choice


@click.command(short_help="Write the maps of private test images for a data set's server, or check such an archive.")
@click.option("--dataset", "-d", metavar="NAME", help="The data set.  [default: the only one with a server]")
@click.option("--method", "-m", metavar="NAME", help="A method, or a variant as adbench leaderboard names it.")
@click.option("--preset", "-p", help="Only runs with this preset.")
@click.option("--seed", type=click.IntRange(0, arguments.LAST_SEED), help="Only runs with this seed.")
@click.option("-o", "--output", type=click.Path(path_type=Path), metavar="FILE", help="The archive, NAME.tar.gz.")
@click.option(
    "--check", "checked", type=click.Path(path_type=Path), metavar="FILE",
    help="Only check this archive: exit code 1 if anything in it is wrong.",
)  # fmt: skip
@arguments.results_option
@arguments.reopened
@arguments.format_option
@arguments.debug_option
def submit(dataset: str | None, method: str | None, preset: str | None, seed: int | None, output: Path | None,
           checked: Path | None, results: Path, data_roots: Sequence[Path], device: str, threads: Choice,
           plugin_files: tuple[Path, ...], format_: str) -> None:  # fmt: skip
    """Score the private test images with the stored runs of one variant, and pack the maps for the server.

    There must be a run of each class. The threshold of pixels is the mean plus three standard deviations of those of
    the validation images. The archive is checked before it gets its name.

    \b
    adbench submit -d mvtec_ad2 -m patchcore -o patchcore.tar.gz
    adbench submit --check patchcore.tar.gz
    """  # noqa: D301 - the backspace is click's mark for "do not wrap"
    registry = load_plugins(plugin_files)
    reader, facts, submission = _server(registry, dataset)
    if checked is not None:
        if output is not None or method is not None:
            raise UsageError("--check", found="-o or --method beside it", wanted="one of them")
        _check(checked, reader, facts, submission, results, data_roots, format_)
        return
    if method is None or output is None:
        missing = "--method NAME" if method is None else "-o FILE"
        raise UsageError("adbench submit", found=f"no {missing}", wanted="both, or --check FILE")
    from ..report import submission as tables
    from ..run.reopen import Reopener
    from ..run.submission import choose, layout, make

    layout.name_of(output)
    if not output.absolute().parent.is_dir():
        raise UsageError(f"-o {output}", found=absent(output.absolute().parent, "folder"), wanted="an existing folder")
    counting = without_stale(results, read(results, reader.name, None), registry, data_roots)
    wanted = choose.Wanted(method, preset, seed)
    chosen = choose.choose(
        reader.name, wanted, counting.results, counting.stale, counting.names, facts.classes, results
    )
    values.compute_with(threads, say)
    reopener = Reopener(registry, data_roots, device, results=results)
    with status_line() as show:
        plans = make.plan(chosen.runs, submission, reopener, results, show)
        if line := layout.count_warning((image for plan in plans for image in plan.private), facts):
            warn(line)
        written = make.make(plans, output, reopener=reopener, results=results, show=show, warn=warn)
    print_tables([tables.written(written, chosen.label, chosen.seed)], format_)
    print_path(output)
    say(f"{bytes_text(output.stat().st_size)}, checked. Upload it at {submission.server}")


def _server(registry: Registry, name: str | None) -> tuple[Dataset, Facts, Submission]:
    """The data set, and what its server wants. Raises ``UsageError`` for one without a server."""
    having = [each.name for each in registry.datasets.values() if each.facts and each.facts.submission]
    if name is None and len(having) != 1:
        raise UsageError("--dataset", found="none", wanted=f"one of {', '.join(sorted(having))}")
    reader = registry.dataset(having[0] if name is None else name)
    if reader.facts is None or reader.facts.submission is None:
        raise UsageError(
            f"data set {reader.name}", found="no server for private test images",
            wanted=f"one of {', '.join(sorted(having))}",
        )  # fmt: skip
    return reader, reader.facts, reader.facts.submission


# ---------------------------------------------------------------- --check


def _check(
    path: Path, reader: Dataset, facts: Facts, submission: Submission, results: Path, data_roots: Sequence[Path],
    format_: str,
) -> None:  # fmt: skip
    """Check an archive, and list what is wrong with it."""
    from ..report import submission as tables
    from ..run.submission import check, layout

    name = layout.name_of(path)
    if not path.is_file():
        raise UsageError(f"--check {path}", found=absent(path, "file"), wanted="an archive")
    images = _images(reader, facts, submission, results, data_roots)
    if images is None:
        images = layout.published(facts, submission)
        warn("the images are not at hand, so the maps' sizes are not compared with theirs. Give --data-root DIR.")
    if line := layout.count_warning(images, facts):
        warn(line)
    try:
        with path.open("rb") as stream, status_line() as show:
            found = check.check(stream, name, images, lambda done, total: show(f"checking {done}/{total}"))
    except OSError as error:
        raise UsageError(f"--check {path} can't be read", found=reason(error)) from error
    if found:
        print_tables([tables.faults(found, str(path))], format_)
        raise click.exceptions.Exit(AdbenchError.exit_code)
    if format_ != "table":
        print_tables([], format_)
    say(f"{path}: {len(images)} images, each with its map and thresholded map. Nothing is wrong.")


def _images(
    reader: Dataset, facts: Facts, submission: Submission, results: Path, data_roots: Sequence[Path]
) -> Mapping[Private, Size | None] | None:
    """The private images with their sizes, in given folders or where stored runs found them; None without any.

    Raises:
        AdbenchError: the given folders lack some of them.
    """
    from ..run.submission import layout

    sizes: dict[Private, Size | None] = {}
    for class_name in facts.classes:
        errors: list[AdbenchError] = []
        for root in data_roots or _known_roots(reader, results):
            try:
                private = layout.private_images(reader.load(root, class_name), submission)
                sizes |= {image: layout.size_of(sample.path) for image, sample in private.items()}
                break
            except AdbenchError as error:
                errors.append(error)
        else:
            if data_roots:
                raise errors[0]
            return None
    return sizes


def _known_roots(reader: Dataset, results: Path) -> list[Path]:
    """Where stored runs found the data set."""
    from ..results import store
    from ..run.places import of_data

    try:
        runs = store.read_all(results, dataset=reader.name).results
    except ResultError:
        return []
    return list(dict.fromkeys(root for run in runs for root in of_data(run, results) if root.is_dir()))
