"""The commands for data sets: ``data list``, ``data check``, ``data get`` and ``data prepare``."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ..util.errors import AdbenchError, DataError
from ..util.text import plural
from . import option_file, values
from . import options as arguments
from .console import load_plugins, print_path, print_tables, say, status_line, warn
from .groups import CommandGroup
from .image_options import range_option
from .reader_options import read_by
from .transfers import transfer

if TYPE_CHECKING:
    from ..api.data import Dataset
    from ..api.levels import Levels
    from ..api.registry import Registry
    from ..run.get_data import Prepared


@click.group("data", cls=CommandGroup, short_help="List, check, fetch and unpack data sets.")
def data_() -> None:
    """List data sets and where they lie, check one before a run, fetch one, or unpack archives.

    \b
    adbench data list
    adbench data check mvtec --data-root ~/data/mvtec
    """  # noqa: D301 - the backspace is click's mark for "do not wrap"


@data_.command("list", short_help="Show licences, numbers, and what is found where.")
@click.argument("dataset", required=False, metavar="[NAME]")
@arguments.data_roots_option("none, so nothing is searched")
@arguments.plugin_option
@arguments.format_option
@arguments.debug_option
def list_(dataset: str | None, data_roots: Sequence[Path], plugin_files: tuple[Path, ...], format_: str) -> None:
    """Show the licence, the published numbers and the place of each data set, or all that is known of one.

    \b
    adbench data list --data-root ~/data
    adbench data list visa
    """  # noqa: D301
    from ..report import data_tables
    from ..run import data_places

    data_roots = arguments.existing_roots(click.get_current_context(), data_roots)
    registry = load_plugins(plugin_files)
    wanted = list(registry.datasets.values()) if dataset is None else [registry.dataset(dataset)]
    with status_line() as show:
        found = []
        for each in wanted:
            show(f"looking for {each.name}")
            found.append(data_places.find(each, data_roots))
    print_tables([data_tables.listed(found) if dataset is None else data_tables.facts_of(found[0])], format_)


@data_.command(short_help="Find all that would stop or distort a run.")
@click.argument("dataset", required=False, metavar="[NAME]")
@click.option("--class", "-c", "class_text", default="all", show_default=True, help="CLASS[,CLASS...] or all.")
@arguments.data_roots_option("a generated or installed data set's own")
@read_by
@range_option("found over the training images")
@arguments.megapixels_option
@arguments.plugin_option
@arguments.format_option
@arguments.debug_option
def check(dataset: str | None, class_text: str, data_roots: Sequence[Path], levels: Levels | None,
          plugin_files: tuple[Path, ...], format_: str) -> None:  # fmt: skip
    """Look at every image and mask, and list all that would stop a run or distort its numbers.

    Without NAME every data set that is found below --data-root is checked. The exit code is 1 if something would stop
    a run. What is unchanged since the last check is not opened again.

    \b
    adbench data check mvtec --data-root ~/data/mvtec -c bottle,cable
    adbench data check folder --data-root ~/parts --good ok
    """  # noqa: D301
    from ..report import data_tables
    from ..run import data_health
    from ..run.plan import choose_classes

    data_roots = arguments.existing_roots(click.get_current_context(), data_roots)
    registry = load_plugins(plugin_files)
    places = _places(registry, dataset, data_roots)
    stopped = False
    for reader, root in places:
        names = choose_classes(reader, root, class_text)
        with status_line() as show:
            given, _ = option_file.levels(reader, root, levels)
            found = data_health.check(reader, root, names, show, given)
        print_tables(data_tables.health(found), format_)
        stopped = stopped or found.stops
    if stopped:
        raise click.exceptions.Exit(AdbenchError.exit_code)


@data_.command(short_help="Download a data set and unpack it.")
@click.argument("dataset", metavar="NAME")
@click.option("--to", "folder", type=click.Path(path_type=Path), default="data", show_default=True,
              help="Folder of all data sets; NAME becomes a folder in it.")  # fmt: skip
@click.option("--accept-licence", is_flag=True, help="You accept the licence of the images; asked once per folder.")
@arguments.plugin_option
@arguments.debug_option
def get(dataset: str, folder: Path, accept_licence: bool, plugin_files: tuple[Path, ...]) -> None:
    """Download the archives of a data set, compare their checksums and unpack them.

    A download that breaks off goes on when the command is run again. Where an address needs a form or has moved, a
    message says where to get the archive by hand and where to put it.

    \b
    adbench data get visa --to ~/data --accept-licence
    """  # noqa: D301
    from ..run import get_data

    reader = load_plugins(plugin_files).dataset(dataset)
    get_data.require_published(reader)
    say(f"{reader.name}: licence {get_data.licence_of(reader)}. {reader.facts.citation if reader.facts else ''}")
    get_data.accept_licence(reader, folder, accept_licence)
    with transfer(reader.name) as watch:
        done = get_data.get(reader, folder, watch)
    _say_prepared(reader, done)


@data_.command(short_help="Unpack archives that you have.")
@click.argument("names", nargs=-1, required=True, metavar="[NAME] [ARCHIVE]...")
@click.option("--to", "folder", type=click.Path(path_type=Path), default="data", show_default=True,
              help="Folder of all data sets; NAME becomes a folder in it.")  # fmt: skip
@arguments.plugin_option
@arguments.debug_option
def prepare(names: Sequence[str], folder: Path, plugin_files: tuple[Path, ...]) -> None:
    """Unpack archives (tar, tar.xz, tar.gz, tgz, zip, also within each other) safely, to where a reader finds them.

    With NAME alone the published archives that lie in --to are taken. Without NAME the archive's own name says which
    data set it is.

    \b
    adbench data prepare visa --to ~/data
    adbench data prepare mvtec ~/Downloads/mvtec_anomaly_detection.tar.xz --to ~/data
    """  # noqa: D301
    from ..run import get_data

    registry = load_plugins(plugin_files)
    first = Path(names[0]).expanduser()
    archives = [Path(name).expanduser() for name in names]
    reader = None
    if names[0] in registry.datasets and not first.is_file():
        reader, archives = registry.dataset(names[0]), archives[1:]
    elif not first.is_file() and not get_data.is_archive(first):
        reader = registry.dataset(names[0])  # an error with the nearest name
    else:
        reader = get_data.owner(archives[0], registry.datasets.values())
    with transfer(reader.name if reader else first.name) as watch:
        if reader is not None:
            done = get_data.prepare(reader, archives, folder, watch)
        else:
            done = get_data.unpack_unknown(archives, folder, watch)
    _say_prepared(reader, done)


def _say_prepared(reader: Dataset | None, done: Prepared) -> None:
    """Say what was found, and how to go on; the folder goes to standard output."""
    name = reader.name if reader else "folder"
    if done.files:
        say(f"{plural(done.files, 'file')} unpacked.")
    if done.place is not None:
        lacking = f", no {', '.join(done.place.lacking)}" if done.place.lacking else ""
        already = "" if done.files else " were there already"
        count = len(done.place.classes)
        say(f"{name}: {done.place.images} images in {count} class{'es' if count != 1 else ''}{already}{lacking}.")
    say(f"Check it with adbench data check {name} --data-root {done.folder}")
    print_path(done.folder)


def _places(registry: Registry, name: str | None, roots: Sequence[Path]) -> list[tuple[Dataset, Path]]:
    """The data sets to check, each with its folder."""
    from ..run import data_places

    if name is None:
        listed = [data_places.find(each, roots) for each in registry.datasets.values()]
        found = [(each.dataset, place.root) for each in listed for place in each.places]
        if not found:
            where = ", ".join(map(str, roots))
            raise DataError(
                f"no known data set in {where}" if where else "no --data-root", wanted="the folder of a data set",
                hint="Give its name, such as adbench data check folder --data-root DIR for your own images",
            )  # fmt: skip
        for root in roots:
            if not any(place.is_relative_to(root.resolve()) for _, place in found):
                own = f"adbench data check folder --data-root {shlex.quote(str(root))}"
                warn(f"{root}: no published data set lies there. Your own images: {own}")
        return found
    reader = values.reader(registry, name)
    known = [place.root for place in data_places.find(reader, roots).places]
    folders = known or roots or [values.root(reader, None)]
    return [(values.reader(registry, name, root=root) if reader.option_file else reader, root) for root in folders]
