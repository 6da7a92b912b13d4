"""The commands for data sets: ``data list`` and ``data check``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ..util.errors import AdbenchError, DataError, UnknownNameError
from . import options as arguments
from . import values
from .console import load_plugins, print_tables, status_line
from .groups import CommandGroup

if TYPE_CHECKING:
    from ..api.data import Dataset
    from ..api.registry import Registry


@click.group("data", cls=CommandGroup, short_help="List and check data sets.")
def data_() -> None:
    """List the data sets and where they lie, and check one before a run.

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
@arguments.read_by
@arguments.megapixels_option
@arguments.plugin_option
@arguments.format_option
@arguments.debug_option
def check(dataset: str | None, class_text: str, data_roots: Sequence[Path], plugin_files: tuple[Path, ...],
          format_: str) -> None:  # fmt: skip
    """Look at every image and mask, and list all that would stop a run or distort its numbers.

    Without NAME every data set that is found below --data-root is checked. The exit code is 1 if something would stop
    a run. What is unchanged since the last check is not opened again.

    \b
    adbench data check mvtec --data-root ~/data/mvtec -c bottle,cable
    adbench data check folder --data-root ~/parts --good ok
    """  # noqa: D301
    from ..report import data_tables
    from ..run import data_health

    registry = load_plugins(plugin_files)
    places = _places(registry, dataset, data_roots)
    stopped = False
    for reader, root in places:
        names = _classes(reader, root, class_text)
        with status_line() as show:
            found = data_health.check(reader, root, names, show)
        print_tables(data_tables.health(found), format_)
        stopped = stopped or found.stops
    if stopped:
        raise click.exceptions.Exit(AdbenchError.exit_code)


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
        return found
    reader = values.reader(registry, name)
    known = [place.root for place in data_places.find(reader, roots).places]
    return [(reader, root) for root in known or roots or [values.root(reader, None)]]


def _classes(reader: Dataset, root: Path, text: str) -> list[str]:
    """The names of the chosen classes. Raises ``UnknownNameError``."""
    known = list(reader.classes(root))
    if text == "all":
        return known
    names = [name.strip() for name in text.split(",") if name.strip()]
    for name in names:
        if name not in known:
            raise UnknownNameError(f"class of {reader.name}", name, known)
    return names
