"""The commands for the cache: ``cache list``, ``cache prune`` and ``cache clear``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

import click

from . import options as arguments
from .console import print_tables, say
from .groups import CommandGroup

if TYPE_CHECKING:
    from ..util.cache import Entry


@click.group("cache", cls=CommandGroup, short_help="Manage the cache of decoded images and features.")
def cache_() -> None:
    """Manage the cache of decoded images and features, which are made again when they are missing.

    \b
    adbench cache list
    """  # noqa: D301


@cache_.command("list", short_help="List what is cached, and the limit.")
@arguments.cache_limit_option
@arguments.format_option
@arguments.debug_option
def list_(format_: str) -> None:
    """List the content of the cache, with its size, and the common limit.

    \b
    adbench cache list
    """  # noqa: D301
    from ..report import lists
    from ..util import cache, files

    print_tables([lists.cached(cache.entries(), cache.limit(), files.cache_folder())], format_)


@cache_.command(short_help="Remove what is over the limit, longest unused first.")
@arguments.cache_limit_option
@arguments.debug_option
def prune() -> None:
    """Remove the longest unused entries until the rest is within the limit, and the remains of killed runs.

    \b
    adbench cache prune --cache-limit 20GB
    """  # noqa: D301
    from ..util import cache, files

    folder = files.cache_folder()
    swept = files.sweep(folder) + sum(files.sweep(place) for place in cache.places())
    if swept:
        say(f"Removed {swept} unfinished files and folders of killed runs.")
    _print_removed(cache.prune(), cache.entries())


@cache_.command(short_help="Remove all that no run is using.")
@click.option("--only", type=click.Choice(["images", "features"]), help="Keep the other kind.")
@arguments.debug_option
def clear(only: Literal["images", "features"] | None) -> None:
    """Remove all decoded images and features except those that a run is using.

    \b
    adbench cache clear --only features
    """  # noqa: D301
    from ..util import cache, files

    removed = []
    for place in (files.cache_folder(), *cache.places()):
        files.sweep(place)
    for entry in cache.entries():
        if only in (None, entry.kind) and not cache.in_use(entry) and cache.remove(entry):
            removed.append(entry)
    _print_removed(removed, cache.entries())


def _print_removed(removed: Sequence[Entry], left: Sequence[Entry]) -> None:
    from ..util.sizes import bytes_text
    from ..util.text import plural

    def text(entries: Sequence[Entry]) -> str:
        counts = []
        for name, kind in (("image store", "images"), ("feature file", "features")):
            count = sum(entry.kind == kind for entry in entries)
            counts.append(plural(count, name))
        return f"{' and '.join(counts)} ({bytes_text(sum(entry.bytes for entry in entries))})"

    say(f"Removed {text(removed)}. {text(left)} are left.")
